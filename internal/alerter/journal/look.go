package journal

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
)

const (
	// lookEvery is how often the stream is asked whether it is still the same.
	lookEvery = 2 * time.Second
	// maxHoles is how far it is looked for a message where some were taken out.
	maxHoles = 1000
)

// look asks the stream whether it is still the one that was read, and tells the caller
// when all of it was.
func (f *follower) look(ctx context.Context) (queue.StreamState, error) {
	st, err := f.j.state(ctx)
	if err != nil {
		return st, err
	}
	another, err := f.isAnother(ctx, st)
	if err == nil && another {
		// A server that has fallen behind may have answered.
		if !pause(ctx, lookEvery) {
			return st, ctx.Err()
		}
		if st, err = f.j.state(ctx); err != nil {
			return st, err
		}
		if another, err = f.isAnother(ctx, st); another {
			return st, f.restart(ctx, st)
		}
	}
	if err != nil {
		return st, err
	}
	f.known = st.LastSeq
	if !f.caught && st.LastSeq == f.at && f.base == 0 {
		return st, f.tell(ctx, alerts.Entry{At: f.at}, f.id)
	}
	return st, nil
}

// isAnother tells that the stream is not the one that was read: it ends before what
// has been read, or what lies before that is younger and there is another message in
// its place. That alone may be the clock of another server.
func (f *follower) isAnother(ctx context.Context, st queue.StreamState) (bool, error) {
	if st.LastSeq < f.at {
		return true, nil
	}
	if f.id == "" || st.Messages == 0 || st.FirstSeq > f.at || !st.FirstTime.After(f.stored) {
		return false, nil
	}
	once, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	m, stored, err := f.j.q.Get(once, topology.Alerts, f.at)
	if errors.Is(err, queue.ErrNotFound) {
		return false, nil // it was taken out
	}
	return err == nil && (m.ID != f.id || !stored.Equal(f.stored)), err
}

// restart reads a stream that was made anew from its beginning. If it is empty, what is
// known here is put there first: another that is quicker knows as much.
func (f *follower) restart(ctx context.Context, st queue.StreamState) error {
	if snap, at := f.j.o.State.SnapshotAt(); st.LastSeq == 0 && at > 0 {
		switch err := f.j.write(ctx, snap, 0); {
		case err == nil, errors.Is(err, alerts.ErrConflict):
		case errors.Is(err, alerts.ErrUnavailable):
			return err
		default: // never to be stored
			f.j.o.Logger.Error("alerts: the log was lost, and what was known of it cannot be stored", "error", err)
		}
	}
	f.j.o.Metrics.anew.Inc()
	f.j.o.Logger.Error("alerts: the log was lost and made anew; it is read from its beginning", "had_read", f.at, "ends_at", st.LastSeq)
	*f = follower{j: f.j, give: f.give, anew: true, came: f.came}
	return errAgain
}

// holes goes on behind messages that were taken out up to the end, for none comes that
// would show that they are gone: who decides has to know the last position.
func (f *follower) holes(ctx context.Context, st queue.StreamState) error {
	if st.LastSeq <= f.at {
		return nil
	}
	from := max(f.at+1, st.FirstSeq)
	if st.LastSeq-from >= maxHoles && st.Messages > 0 {
		return nil
	}
	for seq := st.LastSeq; seq >= from; seq-- {
		once, cancel := context.WithTimeout(ctx, tryTimeout)
		_, _, err := f.j.q.Get(once, topology.Alerts, seq)
		cancel()
		switch {
		case err == nil: // it is only slow
			return nil
		case !errors.Is(err, queue.ErrNotFound):
			return err
		}
	}
	if f.base != 0 {
		return f.elsewhere()
	}
	f.gap(st.LastSeq + 1)
	return f.tell(ctx, alerts.Entry{At: st.LastSeq}, "")
}
