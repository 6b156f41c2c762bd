package intake

import (
	"context"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// lookTimeout bounds a question.
const lookTimeout = 5 * time.Second

// look asks the stream how far it has come. A question that fails is no error: the
// watermark stands still. The error is errAnew, or that of ctx.
func (f *follower) look(ctx context.Context) error {
	asked, st, err := f.ask(ctx)
	if err == nil && f.isAnother(st) {
		// A server that has fallen behind may have answered. Nothing is read before
		// that is clear: it would be taken for what follows.
		t := time.NewTimer(f.in.o.LookEvery)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if asked, st, err = f.ask(ctx); err == nil && f.isAnother(st) {
			f.next, f.asked, f.seen, f.vacant = 1, time.Time{}, 0, 0
			return errAnew
		}
	}
	f.due = time.Now().Add(f.in.o.LookEvery)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		f.in.o.Metrics.failures.WithLabelValues(f.name).Inc()
		if !f.blind {
			f.log.Warn("alerts: the stream cannot be asked; the watermark stands still", "error", err)
		}
		f.blind = true
		return nil
	case f.blind:
		f.blind = false
		f.log.Info("alerts: the stream can be asked again")
	}
	f.passGap(st)
	f.asked, f.seen = asked, st.LastSeq
	f.drained()
	f.in.o.Metrics.behind.WithLabelValues(f.name).Set(float64(st.LastSeq + 1 - min(f.next, st.LastSeq+1)))
	f.in.o.Metrics.ahead.WithLabelValues(f.name).Set(f.ahead.Seconds())
	f.ahead = 0
	return nil
}

// ask is one question, and the wall clock before it.
func (f *follower) ask(ctx context.Context) (asked time.Time, st queue.StreamState, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	asked = time.Now().Round(0) // compared with the queue's times alone
	st, err = f.in.o.Source.StreamState(ctx, f.name)
	return asked, st, err
}

// isAnother tells that the stream is not the one that was read: it ends before what
// has been read, or what lies before that is younger.
func (f *follower) isAnother(st queue.StreamState) bool {
	return st.LastSeq+1 < f.next || st.Messages > 0 && st.FirstSeq < f.next && st.FirstTime.After(f.stored)
}

// passGap goes on behind messages that were purged up to the end, for no message
// comes that would show the gap. It does so at the second look between which nothing
// was read: what Browse had read ahead of the purge has come by then.
func (f *follower) passGap(st queue.StreamState) {
	switch {
	case st.Messages > 0 || f.next > st.LastSeq:
		f.vacant = 0
	case f.vacant == st.LastSeq:
		f.lost(f.next, st.LastSeq+1)
		f.next, f.vacant = st.LastSeq+1, 0
	default:
		f.vacant = st.LastSeq
	}
}
