package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/worker/ship"
)

// point is how far one stream is. It is part of the checkpoint.
type point struct {
	Stream string `json:"stream"`
	First  uint64 `json:"first"`
	End    uint64 `json:"end"`
	// Next: everything before it is dealt with.
	Next uint64 `json:"next"`
	// Ahead: nothing from here on was ever begun.
	Ahead uint64 `json:"ahead"`
}

// checkpoint is what a successor needs.
type checkpoint struct {
	Points []point `json:"points"`
	// Deferred letters of a redrive wait for their destination; all others before
	// Next are dealt with.
	Deferred []uint64 `json:"deferred,omitempty"`
	// Partly has those of them of which something was taken.
	Partly []uint64 `json:"partly,omitempty"`
	// Orphaned is that of the job when the checkpoint was made.
	Orphaned int `json:"orphaned,omitempty"`
}

// Bounds of the mark ahead.
const (
	minAhead  = 16
	maxAhead  = 4096
	saveAgain = time.Second
	// maxSpan is how many messages may be begun beyond one that is not done.
	maxSpan = 1024
)

// tracker knows which messages are begun and which are done, keeps the checkpoint
// at the first that is not done, and never lets one begin beyond the mark that is
// stored.
type tracker struct {
	run *job.Run
	// holds tells whether the streams are to be kept.
	holds bool
	// defers tells whether what is begun and not done can be put off.
	defers bool

	mu       sync.Mutex
	cp       checkpoint
	cur      int // point that is being read
	progress job.Progress
	pending  []*step  // begun or passed, in order, from the first that is not done
	before   uint64   // what a predecessor may have begun, of the current point
	resent   []uint64 // letters of which a predecessor delivered something, which is not known any more
	kept     time.Time

	durable uint64 // the mark that is stored; begin's alone
	window  uint64 // distance of the next mark; begin's alone
	marked  time.Time
}

// step is one message.
type step struct {
	seq      uint64
	done     bool
	again    bool // a predecessor may have sent it
	sent     atomic.Bool
	deferred bool
	out      outcome
}

// load reads the checkpoint of a job; false when it has none.
func (t *tracker) load(j job.Job) (bool, error) {
	t.progress = j.Progress
	if len(j.Checkpoint) == 0 {
		return false, nil
	}
	if err := json.Unmarshal(j.Checkpoint, &t.cp); err != nil {
		return false, fmt.Errorf("checkpoint of job %s: %w", j.ID, err)
	}
	t.resent = slices.Clone(t.cp.Partly)
	return true, nil
}

// enter goes on to a point.
func (t *tracker) enter(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &t.cp.Points[i]
	t.cur, t.pending = i, nil
	t.before, t.durable = p.Ahead, p.Ahead
	t.window, t.marked = minAhead, time.Time{}
}

// begin notes that a message is begun, once the mark beyond it is stored.
func (t *tracker) begin(ctx context.Context, seq uint64) (*step, error) {
	if seq >= t.durable {
		if err := t.mark(ctx, seq); err != nil {
			return nil, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &step{seq: seq, again: seq < t.before}
	t.pending = append(t.pending, s)
	return s, nil
}

// mark stores a mark beyond a message. It is as far ahead as takes about a
// second, so that neither marks are many nor duplicates.
func (t *tracker) mark(ctx context.Context, seq uint64) error {
	switch since := time.Since(t.marked); {
	case t.marked.IsZero():
	case since < saveAgain:
		t.window = min(2*t.window, maxAhead)
	case since > 4*saveAgain:
		t.window = max(t.window/2, minAhead)
	}
	t.mu.Lock()
	p := &t.cp.Points[t.cur]
	p.Ahead = max(p.Ahead, min(seq+t.window, max(p.End, seq+1)))
	ahead := p.Ahead
	t.mu.Unlock()
	if err := t.save(ctx); err != nil {
		return err
	}
	t.durable, t.marked = ahead, time.Now()
	return nil
}

// save stores the checkpoint, however long that takes.
func (t *tracker) save(ctx context.Context) error {
	if err := t.keep(true); err != nil {
		return err
	}
	for {
		err := t.run.Save(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case isLost(err):
			return err
		}
		if err := pause(ctx, saveAgain); err != nil {
			return err
		}
	}
}

// end notes what a message came to.
func (t *tracker) end(s *step, out outcome) error {
	t.mu.Lock()
	s.done, s.out = true, out
	t.advance()
	t.mu.Unlock()
	return t.keep(false)
}

// pass notes a message that came to something without being begun.
func (t *tracker) pass(seq uint64, out outcome) error {
	t.mu.Lock()
	t.pending = append(t.pending, &step{seq: seq, done: true, out: out})
	t.advance()
	t.mu.Unlock()
	return t.keep(false)
}

// advance moves Next over what is done.
func (t *tracker) advance() {
	p := &t.cp.Points[t.cur]
	n := 0
	for ; n < len(t.pending) && t.pending[n].done; n++ {
		s := t.pending[n]
		if p.Next = s.seq + 1; s.deferred {
			t.cp.Deferred = append(t.cp.Deferred, s.seq)
			continue
		}
		s.out.into(&t.progress, s.again)
	}
	t.pending = t.pending[n:]
}

// full tells whether too much is begun beyond the first that is not done.
func (t *tracker) full() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.pending) >= maxSpan
}

// update changes the progress beside messages.
func (t *tracker) update(change func(*job.Progress)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.progress)
}

// keepEvery is how often the checkpoint is handed on at most.
const keepEvery = 100 * time.Millisecond

// keep hands the checkpoint to the job.
func (t *tracker) keep(now bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !now && time.Since(t.kept) < keepEvery {
		return nil
	}
	t.kept = time.Now()
	s := job.State{Checkpoint: t.cp, Progress: t.progress}
	if t.holds {
		s.Hold = map[string]uint64{}
		for _, p := range t.cp.Points {
			if p.Next < p.End {
				s.Hold[p.Stream] = p.Next
			}
		}
	}
	return t.run.Checkpoint(s)
}

// leave ends a point, or the run: nothing runs any more. What a predecessor or
// this run may have sent stays marked.
func (t *tracker) leave(finished bool) error {
	t.mu.Lock()
	p := &t.cp.Points[t.cur]
	if finished {
		p.Next = p.End
	}
	if t.defers {
		t.settle()
	}
	p.Ahead = max(p.Next, t.before)
	for _, s := range t.pending {
		if s.done || s.sent.Load() {
			p.Ahead = max(p.Ahead, s.seq+1)
		}
	}
	t.mu.Unlock()
	return t.keep(true)
}

// settle puts off what is begun and not done, so that what is done behind it counts:
// a letter that is removed is not found again. mu is held, and nothing runs.
func (t *tracker) settle() {
	p := &t.cp.Points[t.cur]
	for _, s := range t.pending {
		p.Next = s.seq + 1
		if s.done && !s.deferred {
			s.out.into(&t.progress, s.again)
			continue
		}
		t.cp.Deferred = append(t.cp.Deferred, s.seq)
		if s.again || s.sent.Load() {
			t.cp.Partly = append(t.cp.Partly, s.seq)
		}
	}
	t.pending = nil
}

// endOrDefer notes what a letter came to, or that it is put off.
func (t *tracker) endOrDefer(s *step, out outcome, deferred bool) error {
	t.mu.Lock()
	s.deferred = deferred
	t.mu.Unlock()
	return t.end(s, out)
}

// deferred lists the letters that are put off.
func (t *tracker) deferred() []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.cp.Deferred)
}

// partly notes that something of a letter that is put off was taken.
func (t *tracker) partly(seq uint64, p *ship.Progress) {
	if p.Delivered() == 0 && p.Rejected() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.cp.Partly, seq) {
		t.cp.Partly = append(t.cp.Partly, seq)
	}
}

// undefer notes what a letter that was put off came to, unless that is noted.
func (t *tracker) undefer(seq uint64, out outcome, again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	is := func(s uint64) bool { return s == seq }
	if !slices.ContainsFunc(t.cp.Deferred, is) {
		return
	}
	t.cp.Deferred, t.cp.Partly = slices.DeleteFunc(t.cp.Deferred, is), slices.DeleteFunc(t.cp.Partly, is)
	out.into(&t.progress, again || slices.ContainsFunc(t.resent, is))
}
