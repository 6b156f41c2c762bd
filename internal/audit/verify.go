package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Kinds of breaks.
const (
	BreakMissing   = "missing"   // entries are not there, and none says that they were purged
	BreakChanged   = "changed"   // an entry has not the hash that the next one has
	BreakMisplaced = "misplaced" // an entry has another number than its place
	BreakForeign   = "foreign"   // a message is no entry
	BreakCut       = "cut"       // the chain ends before the head that was kept
	BreakRewritten = "rewritten" // the entry of the head that was kept is another
)

// maxBreaks that a Report has whole; the others are counted.
const maxBreaks = 100

// progressEvery is after how many entries a Verify tells how far it is.
const progressEvery = 1000

// Break is a place at which the chain does not hold.
type Break struct {
	Kind   string `json:"kind" enum:"missing,changed,misplaced,foreign,cut,rewritten" doc:"missing: entries are not there and were not purged; changed: an entry has not the hash that the next one has; misplaced: an entry has another number than its place; foreign: a message is no entry; cut: the chain ends before the head that was kept; rewritten: the entry of the head that was kept is another."`
	From   uint64 `json:"from" doc:"First entry that is concerned."`
	To     uint64 `json:"to" doc:"Last entry that is concerned."`
	Detail string `json:"detail" doc:"What was expected, and what is there."`
}

// Report is what a Verify found.
type Report struct {
	OK      bool   `json:"ok" doc:"Every entry follows the one before, nothing is missing that was not purged by the rules, and the head that was given is in the chain."`
	Entries uint64 `json:"entries" doc:"Entries looked at."`
	First   uint64 `json:"first" doc:"The first of them; 0: none."`
	Head    Head   `json:"head" doc:"The last of them, to be kept elsewhere: with it the next verify finds that the chain was cut or written anew. Its n is 0 without entries."`
	// PurgedTo is the last entry that was removed by the rules.
	PurgedTo *Head   `json:"purged_to,omitempty" doc:"The last of the entries that were removed because of their age or for space, as an entry recorded it."`
	Since    *Head   `json:"since,omitempty" doc:"The head that was given and found in the chain: all since then is as it was written."`
	Unproved string  `json:"unproved,omitempty" doc:"Why the head that was given can be neither found nor missed."`
	Breaks   []Break `json:"breaks" doc:"Where the chain does not hold, at most 100."`
	More     int     `json:"more_breaks,omitempty" doc:"Further ones."`
}

// gap is where entries are missing, and what the entry behind it says of the last
// of them.
type gap struct {
	from, to uint64
	prev     string // "" when what is behind is no entry
	recorded bool   // an entry says that it was purged
}

// verification walks along the chain.
type verification struct {
	report Report
	kept   *Head
	found  bool   // the entry of the head that was given
	next   uint64 // the sequence that follows
	prev   string // hash of the message before; "" behind a gap
	gaps   []gap
}

// Verify walks along the whole chain as it is now, with bounded memory. kept is a
// head from before, nil for none; progress is told how many of how many entries
// were looked at, and may be nil. An error is a queue that cannot be read, and says
// nothing of the chain.
func Verify(ctx context.Context, q Queue, kept *Head, progress func(done, of uint64) error) (Report, error) {
	v := &verification{kept: kept, next: 1, prev: genesis, report: Report{Breaks: []Break{}}}
	st, err := q.StreamState(ctx, topology.Audit)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return v.report, err
	}
	if err == nil && st.LastSeq > 0 {
		if st, err = v.walk(ctx, q, st, progress); err != nil {
			return v.report, err
		}
	}
	v.judge(st)
	return v.report, nil
}

// walk reads up to the end that the stream has when it begins; further when
// entries were purged meanwhile, whose record lies behind that.
func (v *verification) walk(ctx context.Context, q Queue, st queue.StreamState, progress func(done, of uint64) error) (queue.StreamState, error) {
	r, err := newReader(ctx, q, 1)
	if err != nil {
		return st, err
	}
	defer r.close()
	var ahead *queue.Entry // read already, behind the end
	for {
		for {
			e, ok := queue.Entry{}, false
			if ahead != nil {
				e, ok, ahead = *ahead, true, nil
			} else if e, ok, err = r.next(ctx, st.LastSeq); err != nil {
				return st, err
			}
			if !ok {
				if e.Message != nil {
					ahead = &e
				}
				break
			}
			v.look(e)
			if n := v.report.Entries; progress != nil && n%progressEvery == 0 {
				if err := progress(n, max(n, st.Messages)); err != nil {
					return st, err
				}
			}
		}
		if v.next <= st.LastSeq { // the end was taken out
			v.missing(gap{from: v.next, to: st.LastSeq})
			v.next, v.prev = st.LastSeq+1, ""
		}
		now, err := q.StreamState(ctx, topology.Audit)
		if err != nil {
			return st, err
		}
		if now.LastSeq == st.LastSeq || !v.waits(now.FirstSeq) {
			now.LastSeq = st.LastSeq
			return now, nil
		}
		st = now
	}
}

// look checks one message.
func (v *verification) look(e queue.Entry) {
	if e.Sequence > v.next {
		v.missing(gap{from: v.next, to: e.Sequence - 1})
		v.prev = ""
	}
	r := &v.report
	if r.Entries == 0 {
		r.First = e.Sequence
	}
	r.Entries++
	before := v.prev
	h := Head{N: e.Sequence, Hash: hashOf(e.Message.Body)}
	v.next, v.prev, r.Head = e.Sequence+1, h.Hash, h
	if v.kept != nil && v.kept.N == h.N {
		v.found = true
		if v.kept.Hash != h.Hash {
			v.add(Break{BreakRewritten, h.N, h.N, fmt.Sprintf("entry %d has the hash %s, and had %s when its head was kept: it, or some before it, was changed", h.N, h.Hash, v.kept.Hash)})
		}
	}
	entry, err := parse(e.Message.Body)
	if err != nil {
		v.add(Break{BreakForeign, h.N, h.N, fmt.Sprintf("the message at %d is no audit entry: %v", h.N, err)})
		return
	}
	if entry.N != h.N {
		v.add(Break{BreakMisplaced, h.N, h.N, fmt.Sprintf("the entry at %d says that it is number %d: it was moved, or others were put in or taken out before it", h.N, entry.N)})
	}
	switch {
	case before == "":
		v.gaps[len(v.gaps)-1].prev = entry.Prev
	case entry.Prev != before:
		v.add(Break{BreakChanged, h.N - 1, h.N, fmt.Sprintf("entry %d says that the one before it has the hash %s, and entry %d has %s: one of the two was changed or put in", h.N, entry.Prev, h.N-1, before)})
	}
	if p := entry.Purged; p != nil {
		for i := range v.gaps {
			if g := &v.gaps[i]; g.to == p.N && g.prev == p.Hash {
				g.recorded = true
			}
		}
	}
}

func (v *verification) missing(g gap) {
	if len(v.gaps) >= maxBreaks { // judged at once, so that memory is bounded
		g0 := v.gaps[0]
		v.gaps = v.gaps[1:]
		v.judgeGap(g0, 0)
	}
	v.gaps = append(v.gaps, g)
}

// waits tells whether entries were purged whose record was not seen yet.
func (v *verification) waits(first uint64) bool {
	for _, g := range v.gaps {
		if !g.recorded && g.to < first {
			return true
		}
	}
	return false
}

func (v *verification) add(b Break) {
	if len(v.report.Breaks) >= maxBreaks {
		v.report.More++
		return
	}
	v.report.Breaks = append(v.report.Breaks, b)
}

// judgeGap says whether what is missing was purged by the rules: it is the
// beginning of the chain, and an entry has recorded it.
func (v *verification) judgeGap(g gap, first uint64) {
	switch {
	case g.recorded && g.to < first:
		v.report.PurgedTo = &Head{N: g.to, Hash: g.prev}
	case g.recorded:
		v.add(Break{BreakMissing, g.from, g.to, fmt.Sprintf("entries %d to %d are missing, and an entry says that they were purged although older ones are there", g.from, g.to)})
	default:
		v.add(Break{BreakMissing, g.from, g.to, fmt.Sprintf("entries %d to %d are missing, and no entry says that they were purged", g.from, g.to)})
	}
}

// judge comes to the end. The stream is as it was after the walk.
func (v *verification) judge(st queue.StreamState) {
	for _, g := range v.gaps {
		v.judgeGap(g, st.FirstSeq)
	}
	r := &v.report
	if k := v.kept; k != nil && !v.found {
		switch {
		case k.N >= v.next:
			v.add(Break{BreakCut, v.next, k.N, fmt.Sprintf("the chain ends at entry %d, and its head was %s when it was kept: the entries behind %d were cut off, or the stream was made anew", v.next-1, k, v.next-1)})
		case r.PurgedTo != nil && k.N == r.PurgedTo.N && k.Hash != r.PurgedTo.Hash:
			v.add(Break{BreakRewritten, k.N, k.N, fmt.Sprintf("entry %d was purged with the hash %s, and had %s when its head was kept", k.N, r.PurgedTo.Hash, k.Hash)})
		case r.PurgedTo != nil && *k == *r.PurgedTo:
			v.found = true
		case r.PurgedTo != nil && k.N < r.PurgedTo.N:
			r.Unproved = fmt.Sprintf("entry %d was purged by the rules, with all up to %d: keep a newer head", k.N, r.PurgedTo.N)
		default:
			r.Unproved = fmt.Sprintf("entry %d is among those that are missing", k.N)
		}
	}
	r.OK = len(r.Breaks) == 0
	if v.found && r.OK {
		r.Since = v.kept
	}
}
