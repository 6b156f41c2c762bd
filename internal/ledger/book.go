package ledger

import (
	"maps"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// book is what was counted of one stream, from its first message that was there.
type book struct {
	Stream  string `json:"stream"`
	Signal  string `json:"signal"`
	Counted uint64 `json:"counted_sequence"` // all up to here are in
	First   uint64 `json:"first_sequence"`   // of the stream, when it was last looked at
	// StoredAt is that of the last message counted.
	StoredAt time.Time `json:"stored_at,omitzero"`
	Tenants  byTenant  `json:"tenants"`
	Total    Sum       `json:"total"`
	// Gaps are messages that were gone before they were counted: their items are
	// not known.
	Gaps uint64 `json:"uncounted_messages"`
	// Unreadable have no header that tells their items, which count as none.
	Unreadable uint64 `json:"unreadable_messages"`
	// Lost was counted, and was gone when the stream was found shorter.
	Lost Sum `json:"lost,omitzero"`

	Sparse []point `json:"index"`
	Step   uint64  `json:"index_step"`

	// recent[i] is the total up to sequence recentFrom+i.
	recent     []Sum
	recentFrom uint64
	// behind: recent is being read again, and counts from nothing until it has come
	// to Counted, where the total is known.
	behind bool
}

// point is the total up to and including a sequence.
type point struct {
	Seq uint64 `json:"q"`
	Sum Sum    `json:"s"`
}

// Sizes of the index. Of the last maxRecent messages it is exact.
const (
	maxRecent = 8 << 10
	maxSparse = 512
	minStep   = 64
)

func newBook(stream, signal string) book {
	return book{Stream: stream, Signal: signal, Tenants: byTenant{}, Step: minStep}
}

// begin starts an empty book before the first message of the stream.
func (b *book) begin(st queue.StreamState) {
	b.First, b.Counted = st.FirstSeq, st.FirstSeq-1
	b.Sparse, b.Step = []point{{b.Counted, b.Total}}, minStep
	b.forget()
}

// forget empties what is only in memory.
func (b *book) forget() { b.recent, b.recentFrom, b.behind = []Sum{b.Total}, b.Counted, false }

// rewind begins to read what was counted before again, as far as recent goes, and
// returns the sequence after which to read.
func (b *book) rewind() (after uint64) {
	after = max(b.First, 1) - 1
	if b.Counted > maxRecent {
		after = max(after, b.Counted-maxRecent)
	}
	if after >= b.Counted {
		b.forget()
		return b.Counted
	}
	b.recent, b.recentFrom, b.behind = []Sum{{}}, after, true
	return after
}

// caughtUp makes what was read again end at the total.
func (b *book) caughtUp() {
	if !b.behind {
		return
	}
	b.note(b.Counted, b.recent[len(b.recent)-1])
	before := b.Total.minus(b.recent[len(b.recent)-1])
	for i := range b.recent {
		b.recent[i] = b.recent[i].plus(before)
	}
	b.behind = false
}

// amount of a message, by its headers.
func amount(h map[string]string) (s Sum, ok bool) {
	items, err := strconv.ParseUint(h[record.HeaderItems], 10, 64)
	if err != nil || items > maxItems {
		return Sum{Messages: 1}, false
	}
	raw, err := strconv.ParseUint(h[record.HeaderRawBytes], 10, 64)
	return Sum{Messages: 1, Items: items, Bytes: raw}, err == nil
}

// add counts a message that was read.
func (b *book) add(e queue.Entry) {
	s, ok := amount(e.Message.Header)
	if e.Sequence <= b.Counted {
		if b.behind {
			b.note(e.Sequence, b.recent[len(b.recent)-1].plus(s))
		}
		if e.Sequence == b.Counted {
			b.caughtUp()
		}
		return
	}
	b.caughtUp()
	b.skip(e.Sequence - 1)
	if !ok {
		b.Unreadable++
	}
	b.Total = b.Total.plus(s)
	b.Tenants.add(e.Message.Header[record.HeaderTenant], s)
	b.Counted, b.StoredAt = e.Sequence, e.StoredAt.UTC()
	b.note(e.Sequence, b.Total)
	if e.Sequence-b.Sparse[len(b.Sparse)-1].Seq >= b.Step {
		b.Sparse = append(b.Sparse, point{e.Sequence, b.Total})
		b.thin()
	}
}

// skip passes over messages that are gone.
func (b *book) skip(to uint64) {
	if to <= b.Counted {
		return
	}
	b.caughtUp()
	b.Gaps += to - b.Counted
	b.Counted = to
	b.Sparse = append(b.Sparse, point{to, b.Total})
	b.thin()
	b.note(to, b.Total)
}

// note extends recent to a sequence.
func (b *book) note(seq uint64, total Sum) {
	end := b.recentFrom + uint64(len(b.recent)) // the first one not in it
	if seq < end {
		return
	}
	if seq-end > maxRecent {
		b.recent, b.recentFrom = []Sum{total}, seq
		return
	}
	last := b.recent[len(b.recent)-1]
	for ; end < seq; end++ {
		b.recent = append(b.recent, last)
	}
	b.recent = append(b.recent, total)
	if len(b.recent) >= 2*maxRecent {
		n := len(b.recent) - maxRecent
		b.recent = slices.Delete(b.recent, 0, n)
		b.recentFrom += uint64(n)
	}
}

// cut takes out what was counted after a sequence, and returns it. Tenants lose
// what is known of them in no order: of what is gone nobody knows the tenant.
func (b *book) cut(last uint64) (lost Sum) {
	upTo, _, _ := b.upTo(last)
	lost = b.Total.minus(upTo)
	b.Lost, b.Total, b.Counted = b.Lost.plus(lost), upTo, last
	left := lost
	for _, tenant := range slices.Sorted(maps.Keys(b.Tenants)) {
		was := b.Tenants[tenant]
		b.Tenants[tenant] = was.minus(left)
		left = left.minus(was)
	}
	b.Sparse = slices.DeleteFunc(b.Sparse, func(p point) bool { return p.Seq >= last })
	b.Sparse = append(b.Sparse, point{last, upTo})
	b.forget()
	return lost
}

// thin keeps the sparse index within its size.
func (b *book) thin() {
	if len(b.Sparse) <= maxSparse {
		return
	}
	kept := b.Sparse[:0]
	for i, p := range b.Sparse {
		if i%2 == 0 || i == len(b.Sparse)-1 {
			kept = append(kept, p)
		}
	}
	b.Sparse = kept
	b.Step *= 2
}

// purged forgets the index of what is gone.
func (b *book) purged(first uint64) {
	b.First = max(b.First, first)
	n := 0
	for n+1 < len(b.Sparse) && b.Sparse[n+1].Seq < first {
		n++
	}
	b.Sparse = slices.Delete(b.Sparse, 0, n)
	if len(b.Sparse) < maxSparse/8 && b.Step > minStep {
		b.Step /= 2
	}
}

// upTo is the total up to and including a sequence; low is at most that, and the
// same when exact.
func (b *book) upTo(seq uint64) (sum, low Sum, exact bool) {
	if seq >= b.Counted {
		return b.Total, b.Total, true
	}
	if !b.behind && len(b.recent) > 0 && seq >= b.recentFrom && seq < b.recentFrom+uint64(len(b.recent)) {
		s := b.recent[seq-b.recentFrom]
		return s, s, true
	}
	i := sort.Search(len(b.Sparse), func(i int) bool { return b.Sparse[i].Seq > seq })
	if i == 0 { // before the book, or purged
		if len(b.Sparse) == 0 {
			return Sum{}, Sum{}, false
		}
		return b.Sparse[0].Sum, b.Sparse[0].Sum, false
	}
	lo, hi := b.Sparse[i-1], point{b.Counted, b.Total}
	if i < len(b.Sparse) {
		hi = b.Sparse[i]
	}
	if lo.Seq == seq {
		return lo.Sum, lo.Sum, true
	}
	share := float64(seq-lo.Seq) / float64(hi.Seq-lo.Seq)
	d := hi.Sum.minus(lo.Sum)
	part := func(n uint64) uint64 { return uint64(float64(n) * share) }
	return lo.Sum.plus(Sum{part(d.Messages), part(d.Items), part(d.Bytes)}), lo.Sum, false
}

// copy is for readers beside the one that counts.
func (b *book) copy() *book {
	c := *b
	c.Sparse, c.recent, c.Tenants = slices.Clone(b.Sparse), slices.Clone(b.recent), nil
	return &c
}
