package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Waits between tries, growing.
const (
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// errAnew ends reading of a stream that was made anew.
var errAnew = errors.New("the stream was made anew: it is read from its beginning")

// follower reads one stream. Only the goroutine of its run uses it.
type follower struct {
	in    *Intake
	index int
	name  string
	log   *slog.Logger

	begun  bool
	next   uint64    // the sequence that is to come
	stored time.Time // the latest that a message taken was stored; before that, where to begin

	// The last look at the stream: all up to seen was stored when it was asked, at
	// asked. The zero time: it has not been asked.
	asked  time.Time
	seen   uint64
	due    time.Time     // of the next look
	blind  bool          // the last look failed
	vacant uint64        // the last look found nothing, and this as the last sequence
	ahead  time.Duration // by which this clock was seen to be ahead, since the last look

	raw, kept []byte // of the present message
	told      map[string]time.Time
}

func (f *follower) run(ctx context.Context) error {
	for try := 0; ; try++ {
		before := f.next
		err := f.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, queue.ErrClosed):
			return fmt.Errorf("read metrics for alerts: stream %s: %w", f.name, err)
		case errors.Is(err, errAnew):
			f.in.o.Metrics.anew.WithLabelValues(f.name).Inc()
			f.log.Warn("alerts: the stream was made anew, and is read from its beginning")
			continue
		}
		if f.next != before {
			try = 0
		}
		f.in.o.Metrics.failures.WithLabelValues(f.name).Inc()
		f.tell("reading is interrupted; trying on", "next", f.next, "error", err)
		if pause(ctx, try) != nil {
			return nil
		}
	}
}

// follow reads until something is wrong.
func (f *follower) follow(ctx context.Context) (err error) {
	if err := f.begin(ctx); err != nil {
		return err
	}
	if err := f.look(ctx); err != nil {
		return err
	}
	b, err := f.in.o.Source.Browse(ctx, f.name, queue.BrowseOptions{From: f.next, MaxBytes: f.in.o.ReadAheadBytes})
	if err != nil {
		return fmt.Errorf("browse from sequence %d: %w", f.next, err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for {
		if err := f.readUntilDue(ctx, b); err != nil {
			return err
		}
		if err := f.look(ctx); err != nil {
			return err
		}
	}
}

// begin finds the first message once.
func (f *follower) begin(ctx context.Context) (err error) {
	if f.begun {
		return nil
	}
	from := f.in.o.From
	if f.next, err = f.in.o.Source.SequenceAt(ctx, f.name, from); err != nil {
		return fmt.Errorf("find the first message stored at %s or later: %w", from.UTC().Format(time.RFC3339), err)
	}
	f.next = max(f.next, 1)
	st, err := f.in.o.Source.StreamState(ctx, f.name)
	if err != nil {
		return fmt.Errorf("ask for its state: %w", err)
	}
	f.begun = true
	first := st.FirstTime
	if st.Messages == 0 {
		first = st.LastTime
	}
	if st.FirstSeq > 1 && f.next <= st.FirstSeq && first.After(from) {
		short := first.Sub(from)
		f.in.o.Metrics.short.WithLabelValues(f.name).Set(short.Seconds())
		f.log.Warn("alerts: the stream does not go back as far as the rules look: alerts that need more fire later; raise retention.replay_window",
			"wanted_since", from, "has_since", first, "missing", short)
	}
	return nil
}

// readUntilDue takes messages until a look is due.
func (f *follower) readUntilDue(ctx context.Context, b queue.Browser) error {
	until, cancel := context.WithDeadline(ctx, f.due)
	defer cancel()
	for time.Now().Before(f.due) {
		e, err := b.Next(until)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case until.Err() != nil:
			return nil
		default:
			return fmt.Errorf("read from sequence %d: %w", f.next, err)
		}
		if err := f.take(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// take hands on one message. The error is that of ctx.
func (f *follower) take(ctx context.Context, e queue.Entry) error {
	if e.Sequence > f.next {
		f.lost(f.next, e.Sequence)
	}
	f.vacant = 0
	if !f.asked.IsZero() && e.Sequence > f.seen { // stored after it was asked
		f.ahead = max(f.ahead, f.asked.Sub(e.StoredAt))
	}
	// All that is before it has been taken.
	f.in.marks.raise(f.index, e.StoredAt.Add(-1))
	if err := f.in.marks.wait(ctx, f.index, e.StoredAt); err != nil {
		return err
	}
	if err := f.message(ctx, e); err != nil {
		return err
	}
	f.next = max(f.next, e.Sequence+1)
	if e.StoredAt.After(f.stored) {
		f.stored = e.StoredAt
	}
	f.in.marks.raise(f.index, e.StoredAt)
	f.drained()
	return nil
}

// drained lets the watermark be the time of the last look, if all that the stream
// had then is taken.
func (f *follower) drained() {
	if f.next > f.seen {
		f.in.marks.raise(f.index, f.asked)
	}
}

// lost tells of messages from one sequence to before another.
func (f *follower) lost(from, to uint64) {
	f.in.o.Metrics.dropped.WithLabelValues(f.name, reasonPurged).Add(float64(to - from))
	f.tell("messages were purged before they could be read: alerts may be late or missing", "from", from, "messages", to-from)
	if f.in.o.Lost != nil {
		f.in.o.Lost(f.name, from, to)
	}
}

// tellEvery is how often the same thing is logged.
const tellEvery = time.Minute

// tell warns of what may come with each message.
func (f *follower) tell(what string, about ...any) {
	if now := time.Now(); f.told[what].IsZero() || now.Sub(f.told[what]) >= tellEvery {
		if f.told == nil {
			f.told = map[string]time.Time{}
		}
		f.told[what] = now
		f.log.Warn("alerts: "+what, about...)
	}
}

// pause waits before the try after the given one; the error is that of ctx.
func pause(ctx context.Context, try int) error {
	d := min(maxPause, minPause<<min(try, 10))
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
