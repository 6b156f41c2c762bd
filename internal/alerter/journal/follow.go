package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// errAgain: reading has to begin at another place.
var errAgain = errors.New("another place")

// givenError is an error of whoever is given entries.
type givenError struct{ error }

// Follow implements alerts.Log.
func (j *Journal) Follow(ctx context.Context, after uint64, give func(alerts.Entry) error) error {
	f := &follower{j: j, give: give, at: after}
	said := ""
	for ctx.Err() == nil {
		err := f.read(ctx)
		var given givenError
		if errors.As(err, &given) {
			return given.error
		}
		if f.came && said != "" {
			j.o.Logger.Info("alerts: the log is read again", "at", f.at)
			said = ""
		}
		f.came = false
		if ctx.Err() != nil || errors.Is(err, errAgain) {
			continue
		}
		j.o.Metrics.errors.Inc()
		if text := err.Error(); text != said {
			j.o.Logger.Warn("alerts: the log cannot be read, and is tried again", "behind", f.at, "error", err)
			said = text
		}
		if errors.Is(err, queue.ErrNoRoom) && !f.caught {
			// There is no stream, and so nothing in it: who waits for that can go on,
			// and finds that the log is full.
			if err := give(alerts.Entry{At: f.at, CaughtUp: true}); err != nil {
				return err
			}
			f.caught = true
		}
		pause(ctx, retryPause)
	}
	return nil
}

// follower reads the stream for one caller.
type follower struct {
	j    *Journal
	give func(alerts.Entry) error

	at     uint64    // of the last entry given
	id     string    // of its message; "": not known
	stored time.Time // when that was stored
	caught bool      // it was told to be the last
	known  uint64    // the last sequence of the stream that was heard of
	anew   bool      // to be told with the next entry
	came   bool      // an entry, since the last error

	parts collector
	// base is the first part of a snapshot that comes in place of what was before:
	// nothing is given before it is whole. 0: what comes follows on at.
	base uint64
	// jump: what is directly behind at is gone. accept: no snapshot is in its place.
	jump, accept bool
	bad          uint64 // a snapshot that cannot be read
}

// read reads until something is wrong.
func (f *follower) read(ctx context.Context) error {
	if err := f.j.ensure(ctx); err != nil {
		return err
	}
	if _, err := f.look(ctx); err != nil {
		return err
	}
	next, err := f.from(ctx)
	if err != nil {
		return err
	}
	b, err := f.j.q.Browse(ctx, topology.Alerts, queue.BrowseOptions{From: next})
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // always nil
	for due := time.Now().Add(lookEvery); ; {
		once, cancel := context.WithDeadline(ctx, due)
		e, err := b.Next(once)
		cancel()
		quiet := err != nil
		switch {
		case !quiet:
			f.came = true
			if err := f.entry(ctx, e, next); err != nil {
				return err
			}
			next = e.Sequence + 1
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		if !quiet && time.Now().Before(due) {
			continue
		}
		st, err := f.look(ctx)
		if err == nil && quiet {
			err = f.holes(ctx, st)
		}
		if err != nil {
			return err
		}
		next = max(next, f.at+1)
		due = time.Now().Add(lookEvery)
	}
}

// from is where to begin: with the last snapshot where what is before it is not known.
func (f *follower) from(ctx context.Context) (uint64, error) {
	f.parts, f.base = collector{}, 0
	if f.at > 0 && !f.jump {
		return f.at + 1, nil
	}
	first, err := f.j.last(ctx)
	switch {
	case err != nil:
		return 0, err
	case first > f.at && first != f.bad:
		f.base = first
	default:
		f.accept, first = f.jump, f.at+1
	}
	f.jump = false
	return first, nil
}

// elsewhere begins anew without the snapshot that was to be the base.
func (f *follower) elsewhere() error {
	f.bad, f.jump = f.base, true
	return errAgain
}

// entry gives one on. next is the sequence that was to come.
func (f *follower) entry(ctx context.Context, e queue.Entry, next uint64) error {
	if e.Sequence > next && f.base == 0 {
		n, _ := partOf(e.Message)
		switch {
		case n == 1 && e.Sequence != f.bad:
			f.base = e.Sequence
		case f.accept:
			f.gap(e.Sequence)
		default:
			f.jump = true
			return errAgain
		}
	}
	f.accept = false
	x := alerts.Entry{At: e.Sequence, StoredAt: e.StoredAt}
	whole, part := f.parts.add(e.Message, e.Sequence)
	switch {
	case whole != nil:
		snap, err := decodeSnapshot(e.Message.Header[headerCodec], whole)
		if err != nil {
			f.unreadable(e.Sequence, 1, err)
			if f.base != 0 {
				return f.elsewhere()
			}
		}
		x.Snapshot, f.base = snap, 0
	case f.base != 0:
		if !f.parts.awaits() { // it was purged while it was read
			return f.elsewhere()
		}
		return nil
	case part:
	case e.Message.Header[headerVersion] != version || e.Message.Header[headerKind] != kindEvents:
		f.unreadable(e.Sequence, 1, fmt.Errorf("its kind is %.32q of version %.32q", e.Message.Header[headerKind], e.Message.Header[headerVersion]))
	default:
		events, bad, err := alerts.DecodeEvents(e.Message.Body)
		if err != nil {
			bad = 1
		}
		f.unreadable(e.Sequence, bad, err)
		x.Events = events
	}
	return f.tell(ctx, x, e.Message.ID)
}

// unreadable says that n things are passed over; 0 is nothing to say.
func (f *follower) unreadable(at uint64, n int, err error) {
	if n == 0 {
		return
	}
	f.j.o.Metrics.unreadable.Add(float64(n))
	f.j.o.Logger.Error("alerts: what is in the log cannot be read and is passed over", "at", at, "number", n, "error", err)
}

func (f *follower) gap(to uint64) {
	f.j.o.Metrics.gaps.Inc()
	f.j.o.Logger.Error("alerts: entries of the log are gone that were not read, and there is no snapshot in their place: what they said is not known", "behind", f.at, "before", to)
}

// tell gives an entry, which is of the message of an id.
func (f *follower) tell(ctx context.Context, x alerts.Entry, id string) error {
	if x.At >= f.known {
		// An error is found out by the next look, which also tells that it was the last.
		if st, err := f.j.state(ctx); err == nil {
			f.known = st.LastSeq
			x.CaughtUp = st.LastSeq == x.At
		}
	}
	x.Anew = f.anew
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := f.give(x); err != nil {
		return givenError{err}
	}
	f.at, f.id, f.caught, f.anew = x.At, id, x.CaughtUp, false
	if !x.StoredAt.IsZero() {
		f.stored = x.StoredAt
	}
	return nil
}
