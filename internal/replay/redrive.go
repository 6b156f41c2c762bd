package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker/ship"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Redriver delivers dead letters again. It implements job.Handler.
//
// A letter is removed after its destination confirmed it, or after a new one,
// with what it still does not take and one more redrive, was confirmed. Letters
// whose destination takes nothing now are put off, so that those of others go on;
// so are letters of a destination that this process does not have left alone.
type Redriver struct{ o Options }

// NewRedriver makes the handler of KindRedrive.
func NewRedriver(o Options) *Redriver { return &Redriver{o} }

// Can implements job.Handler.
func (h *Redriver) Can(j *job.Job) (bool, string) {
	var r Redrive
	if err := json.Unmarshal(j.Spec, &r); err != nil {
		return false, fmt.Sprintf("the spec cannot be read: %v; upgrade the workers", err)
	}
	switch {
	case r.Destination != "":
		return h.o.knows(r.Destination)
	case r.Filter.Destination != "":
		return h.o.knows(r.Filter.Destination)
	}
	return true, ""
}

// maxDeferred bounds the letters that are put off; with more, nothing new is
// begun.
const maxDeferred = 2000

// redriving is one run of a redrive.
type redriving struct {
	o      *Options
	r      Redrive
	track  *tracker
	crew   *crew
	limits *limits
	orphan bool // a predecessor died since the checkpoint

	mu      sync.Mutex
	to      map[string]*line          // mu
	where   map[uint64]*line          // mu; of letters that are put off
	partial map[uint64]*ship.Progress // mu; letters that were taken in part
	leaving map[uint64]bool           // mu; letters that are being removed
	cramped map[uint64]*cramped       // mu; letters that wait for room for new ones

	remover remover
}

// line is a destination, and how long it is left alone.
type line struct {
	*delivery
	tries int
	until time.Time
}

// cramped is a letter whose rest is dead again, and finds no room in the
// dead-letter stream. Whoever waited for that in place would keep out the letters
// whose removal makes the room.
type cramped struct {
	renewed int // new letters of it that are stored
	tries   int
	until   time.Time
}

// Run implements job.Handler.
func (h *Redriver) Run(ctx context.Context, run *job.Run) error {
	j := run.Job()
	x := &redriving{o: &h.o, track: &tracker{run: run, defers: true}, to: map[string]*line{}, where: map[uint64]*line{}, partial: map[uint64]*ship.Progress{},
		leaving: map[uint64]bool{}, cramped: map[uint64]*cramped{}}
	x.remover.x = x
	if err := json.Unmarshal(j.Spec, &x.r); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	if err := x.r.Validate(); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	s := x.r.spec()
	s = s.withDefaults()
	resumed, err := x.track.load(j)
	if err != nil {
		return err
	}
	if err := h.removable(ctx); err != nil {
		return err
	}
	x.orphan = resumed && j.Orphaned > x.track.cp.Orphaned
	if !resumed {
		if err := x.count(ctx); err != nil {
			return again(ctx, err)
		}
		x.track.cp.Points = []point{{Stream: topology.DeadLetters, First: 1, End: x.r.Filter.UpTo + 1, Next: 1, Ahead: 1}}
	}
	x.track.cp.Orphaned = j.Orphaned
	if err := x.track.save(ctx); err != nil {
		return err
	}
	x.crew = newCrew(ctx, s.Concurrency)
	defer x.crew.close()
	x.limits = newLimits(&s)
	x.track.enter(0)
	if err := x.all(); err != nil {
		x.crew.fail(err)
	}
	err = x.crew.wait()
	if failed := x.track.leave(err == nil); failed != nil {
		err = errors.Join(err, failed)
	}
	return err
}

// removable finds a dead-letter stream that single letters cannot be removed from
// before any is delivered.
func (h *Redriver) removable(ctx context.Context) error {
	switch err := h.o.Queue.RemoveMessage(ctx, topology.DeadLetters, 0); { // no message has it
	case err == nil, errors.Is(err, queue.ErrNotFound):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrClosed):
		return job.Again(err)
	default:
		return fmt.Errorf("letters of %s cannot be removed one by one, and nothing was delivered: %w; an earlier version made the stream: see docs/dead-letters.md", topology.DeadLetters, err)
	}
}

// count sums up what is to be done.
func (x *redriving) count(ctx context.Context) error {
	for found, err := range deadletter.Read(ctx, x.o.Queue, topology.DeadLetters, x.r.Filter, deadletter.ReadOptions{}) {
		if err != nil {
			return err
		}
		x.track.progress.Total.Add(amountOf(found.Info))
	}
	return nil
}

func amountOf(i deadletter.Info) job.Amount {
	return job.Amount{Messages: 1, Items: uint64(i.Items), Bytes: uint64(i.RawBytes)}
}

// all goes through the letters once, and then through those put off until none is
// left.
func (x *redriving) all() error {
	start := x.track.cp.Points[0].Next
	for found, err := range deadletter.Read(x.crew.ctx, x.o.Queue, topology.DeadLetters, x.r.Filter, deadletter.ReadOptions{After: start - 1, Bodies: true}) {
		if err != nil {
			return again(x.crew.ctx, err)
		}
		if err := x.letter(found); err != nil {
			return err
		}
		for x.track.full() {
			if err := pause(x.crew.ctx, 50*time.Millisecond); err != nil {
				return err
			}
		}
		if err := x.putOff(maxDeferred); err != nil {
			return err
		}
	}
	// What was begun may be put off yet.
	x.crew.steps.Wait()
	if x.crew.ctx.Err() != nil {
		return context.Cause(x.crew.ctx)
	}
	return x.putOff(1)
}

// putOff tries those put off again while there are so many.
func (x *redriving) putOff(many int) error {
	for {
		list := x.track.deferred()
		if len(list) < many {
			return nil
		}
		for _, seq := range list {
			if err := x.again(seq); err != nil {
				return err
			}
		}
		if err := pause(x.crew.ctx, yieldFor); err != nil {
			return err
		}
	}
}

// again tries a letter that was put off, unless its destination is still left
// alone.
func (x *redriving) again(seq uint64) error {
	if x.mayNot(seq) {
		return nil
	}
	m, at, err := x.o.Queue.Get(x.crew.ctx, topology.DeadLetters, seq)
	if errors.Is(err, queue.ErrNotFound) { // another removed it
		x.track.undefer(seq, outcome{missing: job.Amount{Messages: 1}}, false)
		return nil
	}
	if err != nil {
		return again(x.crew.ctx, err)
	}
	i, _ := deadletter.Decode(queue.Entry{Message: m, Sequence: seq, StoredAt: at, Size: len(m.Body)}) // it was read before
	return x.try(deadletter.Found{Info: i, Message: m}, &atomic.Bool{}, func(out outcome, done bool) error {
		if !done {
			return nil
		}
		x.o.Metrics.count(KindRedrive, out)
		x.track.undefer(seq, out, x.orphan)
		return x.track.keep(false)
	})
}

// letter begins one, or passes it.
func (x *redriving) letter(f deadletter.Found) error {
	f.Message = &queue.Message{ID: f.Message.ID, Header: f.Message.Header, Body: slices.Clone(f.Message.Body)} // it outlives the loop
	step, err := x.track.begin(x.crew.ctx, f.Sequence)
	if err != nil {
		return err
	}
	return x.crew.do(func() error {
		return x.try(f, &step.sent, func(out outcome, done bool) error {
			if done {
				x.o.Metrics.count(KindRedrive, out)
			}
			return x.track.endOrDefer(step, out, !done)
		})
	})
}

// line of a letter's destination; nil when it is not configured here.
func (x *redriving) line(i deadletter.Info) *line {
	name := x.r.Destination
	if name == "" {
		name = i.Destination
	}
	d, ok := x.o.Destinations[name]
	if !ok {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.to[name]
	if l == nil {
		l = &line{delivery: newDelivery(KindRedrive, name, x.o, x.crew, x.track, d, x.limits)}
		x.to[name] = l
	}
	return l
}

// try delivers a letter and calls then with what it came to, perhaps after it has
// returned, or with done unset when the letter is put off.
func (x *redriving) try(f deadletter.Found, attempted *atomic.Bool, then func(out outcome, done bool) error) error {
	r, err := record.Decode(f.Message)
	switch {
	case errors.Is(err, record.ErrNewer):
		return job.Again(fmt.Errorf("dead letter %d: %w", f.Sequence, err))
	case err != nil || f.Problem != "":
		x.track.run.Note("letter %d stays: it cannot be read: %s%v", f.Sequence, f.Problem, errText(err))
		return then(outcome{damaged: amountOf(f.Info)}, true)
	}
	if f.ID != "" {
		r.ID = f.ID // of the message, as its live attempts had it
	}
	l := x.line(f.Info)
	if l == nil {
		x.track.run.Note("letters for destination %q stay: no such destination is configured in the worker; redrive them to another", f.Destination)
		return then(outcome{skipped: amountOf(f.Info)}, true)
	}
	x.mu.Lock()
	x.where[f.Sequence] = l
	x.mu.Unlock()
	if x.mayNot(f.Sequence) {
		return then(outcome{}, false)
	}
	p := x.partOf(f.Sequence)
	sent, retry, err := l.once(r, p, attempted)
	switch {
	case retry:
		x.leaveAlone(l, f.Sequence, p)
		return then(outcome{}, false)
	case errors.Is(err, errNotSound):
		x.track.run.Note("letter %d stays: %v", f.Sequence, err)
		return then(outcome{damaged: amountOf(f.Info)}, true)
	case err != nil:
		return err
	}
	l.works(&x.mu)
	switch err := x.renew(l, f.Info, sent.Dead); {
	case errors.Is(err, queue.ErrFull):
		x.noRoom(f.Sequence, p, err)
		return then(outcome{}, false)
	case err != nil:
		return err
	}
	x.took(f.Sequence)
	out := outcomeOf(p, sent.Dead, uint64(r.RawBytes))
	x.remover.add(removal{letter: f.Info, items: out.done.Items + out.rejected, line: l, then: func(gone bool) error {
		out.twice = gone // by another redrive, which delivered it too, or by a purge
		err := then(out, true)
		x.mu.Lock()
		delete(x.leaving, f.Sequence)
		x.mu.Unlock()
		return err
	}})
	return nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return " " + err.Error()
}

// renew makes new letters of what is dead again, but for those that are made.
// queue.ErrFull when there is no room for one.
func (x *redriving) renew(l *line, old deadletter.Info, dead []ship.Dead) error {
	for i := x.renewed(old.Sequence); i < len(dead); i++ {
		d := &dead[i]
		letter := deadletter.Letter{Reason: d.Reason.Reason, Code: d.Code, Detail: d.Detail}
		if l.name != old.Destination {
			letter.Detail = "redriven to " + l.name + ": " + d.Detail
		}
		var full error
		err := l.insist("renew a dead letter", func(ctx context.Context) error {
			err := deadletter.Renew(ctx, x.o.Queue, topology.DeadLetters, old, d.Record, d.Part(within(old.Part)), 1, letter)
			if errors.Is(err, queue.ErrFull) {
				full = err
				return nil
			}
			return err
		})
		if err = errors.Join(err, full); err != nil {
			return err
		}
		if len(dead) > 1 {
			x.stored(old.Sequence, i+1)
		}
	}
	return nil
}

func (x *redriving) renewed(seq uint64) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c := x.cramped[seq]; c != nil {
		return c.renewed
	}
	return 0
}

func (x *redriving) stored(seq uint64, n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cramped[seq] == nil {
		x.cramped[seq] = &cramped{}
	}
	x.cramped[seq].renewed = n
}

// noRoom puts a letter off until there may be room for its new ones.
func (x *redriving) noRoom(seq uint64, p *ship.Progress, why error) {
	x.track.run.Trouble(fmt.Sprintf("letters that die again wait for room in %s, and others go on: %v", topology.DeadLetters, why))
	x.track.partly(seq, p)
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.cramped[seq]
	if c == nil {
		c = &cramped{}
		x.cramped[seq] = c
	}
	c.tries++
	c.until = time.Now().Add(backoff(c.tries))
	if p.Began() { // else nothing of it was taken, and it is tried as a whole
		x.partial[seq] = p
	}
}

// within is the part of which a letter's items are, short enough to be made
// longer.
func within(part string) string {
	if _, _, plain := deadletter.ParsePart(part); plain || part == "" {
		return part
	}
	return markPart(part)
}

// mayNot tells whether a letter is being removed, or its destination, where that
// is known, is left alone for now.
func (x *redriving) mayNot(seq uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	l, c, now := x.where[seq], x.cramped[seq], time.Now()
	return x.leaving[seq] || l != nil && now.Before(l.until) || c != nil && now.Before(c.until)
}

// leaveAlone puts the letters of a destination off, and keeps what is known of
// one that was taken in part.
func (x *redriving) leaveAlone(l *line, seq uint64, p *ship.Progress) {
	x.track.partly(seq, p)
	x.mu.Lock()
	defer x.mu.Unlock()
	if now := time.Now(); !now.Before(l.until) { // one try at a time counts
		l.tries++
		l.until = now.Add(max(backoff(l.tries), l.to.held()))
	}
	if p.Began() && len(x.partial) < maxDeferred {
		x.partial[seq] = p
	}
}

// works forgets trouble; mu guards it.
func (l *line) works(mu *sync.Mutex) {
	mu.Lock()
	defer mu.Unlock()
	l.tries, l.until = 0, time.Time{}
}

// took: the letter is on its way out.
func (x *redriving) took(seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.leaving[seq] = true
	delete(x.partial, seq)
	delete(x.where, seq)
	delete(x.cramped, seq)
}

func (x *redriving) partOf(seq uint64) *ship.Progress {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p := x.partial[seq]; p != nil {
		return p
	}
	return &ship.Progress{}
}
