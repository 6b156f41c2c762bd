package audit

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// What waits to be stored, at most. Refusals have places of their own.
const (
	maxActions  = 1024
	maxRefusals = 512
)

const (
	// patience is how long an event is tried to be stored, once there is a queue.
	patience = 30 * time.Second
	// lookEvery is the pace at which counted refusals are looked through.
	lookEvery = time.Second
)

// Options are what a Log works with.
type Options struct {
	Config Config
	// Process is the id by which the others see this one.
	Process string
	Metrics *Metrics
	Logger  *slog.Logger
}

// Log is the Recorder of a process. It takes events from New on, keeps them in
// bounds until Start gives it the queue, and stores what it has by the end of Stop.
type Log struct {
	o     Options
	began time.Time
	wake  chan struct{} // has a token when something waits
	done  chan struct{} // closed when the goroutine of Start has ended

	mu       sync.Mutex // guards everything below
	actions  []waiting
	refusals []waiting
	limiter  *limiter
	chain    *chain // nil before Start
	stopping bool
	stopped  bool
	end      context.CancelFunc // of the goroutine; nil before Start
}

// waiting is an event that is to be stored.
type waiting struct {
	e     Event
	since time.Time
}

var _ Recorder = (*Log)(nil)

// New makes a Log. Who does not call Start calls Stop all the same.
func New(o Options) *Log {
	return &Log{o: o, began: time.Now(), wake: make(chan struct{}, 1), done: make(chan struct{}), limiter: newLimiter(time.Now())}
}

// Record implements Recorder.
func (l *Log) Record(e Event) {
	now := time.Now()
	if e.At.IsZero() {
		e.At = now
	}
	e.Process = l.o.Process
	l.mu.Lock()
	if e.Outcome == Refused && !l.stopped && !l.limiter.take(e, now) {
		l.mu.Unlock()
		l.o.Metrics.merged.Add(float64(max(1, e.Count)))
		return
	}
	reason := l.enqueue(e.bounded(), now)
	l.mu.Unlock()
	if reason != "" {
		l.unrecorded(e.bounded(), reason, nil)
		return
	}
	l.nudge()
}

// enqueue says why an event finds no place, "" when it has one. mu is held.
func (l *Log) enqueue(e Event, now time.Time) (reason string) {
	places, most := &l.actions, maxActions
	if e.Outcome == Refused {
		places, most = &l.refusals, maxRefusals
	}
	switch {
	case l.stopped:
		return reasonStopped
	case len(*places) >= most:
		return reasonOverflow
	}
	*places = append(*places, waiting{e, now})
	return ""
}

func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Start gives the Log its queue. It is called once.
func (l *Log) Start(q Queue) {
	ctx, cancel := context.WithCancel(context.Background())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		cancel()
		return
	}
	now := time.Now()
	for _, places := range [][]waiting{l.actions, l.refusals} {
		for i := range places {
			places[i].since = now // not while there was no queue
		}
	}
	l.chain = newChain(q, l.o.Metrics, l.o.Logger)
	l.end = cancel
	go l.run(ctx)
}

// Stop stores what waits, refusals that were only counted among it, as long as
// ctx allows; what is left then is logged and counted, as is all that comes later.
// It is idempotent.
func (l *Log) Stop(ctx context.Context) error {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return nil
	}
	l.collect(time.Now(), true)
	l.stopping = true
	end := l.end
	l.mu.Unlock()
	if end != nil {
		l.nudge()
		select {
		case <-l.done:
		case <-ctx.Done():
			end()
			<-l.done
		}
		end()
	}
	l.mu.Lock()
	l.stopped = true
	left := append(l.actions, l.refusals...)
	l.actions, l.refusals = nil, nil
	l.collect(time.Now(), true) // what was counted meanwhile
	left = append(left, l.refusals...)
	l.refusals = nil
	l.mu.Unlock()
	for _, w := range left {
		l.unrecorded(w.e, reasonStopped, nil)
	}
	if h := l.Head(); h.N > 0 {
		l.o.Logger.Info("audit chain", "head", h.String())
	}
	if len(left) > 0 && end != nil {
		return errors.New("not all audit events could be stored in time: they are in the log")
	}
	return nil
}

// collect takes what the limiter gives out now. mu is held.
func (l *Log) collect(now time.Time, end bool) {
	for _, e := range l.limiter.due(now, end) {
		e.Process = l.o.Process
		e = e.bounded()
		if l.enqueue(e, now) != "" { // beyond the bound, by one for a key at most
			l.refusals = append(l.refusals, waiting{e, now})
		}
	}
}

// run stores one event after another until Stop.
func (l *Log) run(ctx context.Context) {
	defer close(l.done)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for ctx.Err() == nil {
		w, ok, stopping := l.next()
		switch {
		case ok:
			l.store(ctx, w)
			continue
		case stopping:
			return
		}
		select {
		case <-l.wake:
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// next takes the oldest action, or refusal if there is none. Once it has told run
// that all is stored and the Log stops, no later event finds a place: one that came
// between run's end and Stop's would have nobody to store it.
func (l *Log) next() (w waiting, ok, stopping bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collect(time.Now(), l.stopping)
	for _, places := range []*[]waiting{&l.actions, &l.refusals} {
		if len(*places) > 0 {
			w = (*places)[0]
			*places = (*places)[1:]
			if len(*places) == 0 {
				*places = nil // gives the array back
			}
			return w, true, l.stopping
		}
	}
	l.stopped = l.stopping
	return w, false, l.stopping
}

// store appends an event, or says why it is not in the stream.
func (l *Log) store(ctx context.Context, w waiting) {
	ctx, cancel := context.WithDeadline(ctx, w.since.Add(patience))
	defer cancel()
	_, err := l.chain.append(ctx, w.e, nil, false)
	switch {
	case err == nil:
		l.o.Metrics.entries.WithLabelValues(outcome(w.e)).Inc()
	case errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrNoRoom):
		l.unrecorded(w.e, reasonFull, err)
	case context.Cause(ctx) == context.Canceled:
		l.unrecorded(w.e, reasonStopped, err)
	default:
		l.unrecorded(w.e, reasonUnavailable, err)
	}
}

// outcome is a bounded value of a label.
func outcome(e Event) string {
	switch e.Outcome {
	case Done, Refused:
		return e.Outcome
	}
	return Failed
}

// unrecorded logs an event whole. e is bounded.
func (l *Log) unrecorded(e Event, reason string, err error) {
	l.o.Metrics.unrecorded.WithLabelValues(reason).Inc()
	text, encodeErr := json.Marshal(e)
	if encodeErr != nil {
		text = []byte(encodeErr.Error())
	}
	args := []any{"reason", reason, "event", string(text)}
	if err != nil {
		args = append(args, "error", err)
	}
	l.o.Logger.Error("an audit event is not in the audit stream", args...)
}

// Head is the last entry that this process has seen; N is 0 without one.
func (l *Log) Head() Head {
	l.mu.Lock()
	c := l.chain
	l.mu.Unlock()
	if c == nil {
		return Head{}
	}
	return c.last()
}
