package worker

import (
	"errors"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship"
)

// settle ends a turn by its outcome.
func (l *lane) settle(h *held, r *record.Record, out ship.Outcome, err error) {
	switch {
	case err == nil && len(out.Dead) == 0:
		l.delivered(h)
	case err == nil:
		l.bury(h, r, out.Dead)
	case l.w.work.Err() != nil:
		h.past.doubt = true
		l.giveUp(h)
	case errors.Is(err, errPostponed), errors.Is(err, errHeld):
		l.postpone(h)
	default:
		l.failed(h, r, asError(err))
	}
}

// giveUp ends what Stop has no more time for.
func (l *lane) giveUp(h *held) {
	l.w.gaveUp.Add(1)
	h.giveBack(0)
}

// delivered settles what the destination took.
func (l *lane) delivered(h *held) {
	l.settled(h, 0)
	if after, over := l.to.outage.success(); over {
		l.log.Info("destination takes data again", "after", after.Round(time.Second).String())
	}
}

// settled counts a message of which everything is decided, and acknowledges it. It
// is counted first: an ack of which nobody knows whether it arrived may have
// settled the message, and what the queue has settled must be counted somewhere.
func (l *lane) settled(h *held, dead int) {
	l.to.tally.settled(l.signal, h, dead)
	l.to.metrics.unwanted[l.signal].Add(float64(h.unwanted))
	l.to.metrics.unrouted[l.signal].Add(float64(h.unrouted))
	l.acknowledge(h)
}

// acknowledge a message that is counted. It is remembered when that fails, so that
// nothing of it is sent again when it comes back to this process.
func (l *lane) acknowledge(h *held) {
	if h.ack() {
		l.forget(h)
		return
	}
	l.to.lone.settled(h.place())
	l.to.memo.keep(h.place(), past{attempt: h.Attempt(), done: true})
}

// forget what is remembered of a message that is settled.
func (l *lane) forget(h *held) {
	if h.Attempt() > 1 {
		l.to.lone.settled(h.place())
		l.to.memo.forget(h.place())
	}
}

// failed gives a message back that is to be tried again, or ends it when it was
// tried for too long.
func (l *lane) failed(h *held, r *record.Record, e *exporter.Error) {
	h.past.doubt = h.past.doubt || inDoubt(e)
	now := time.Now()
	if h.past.failed.IsZero() {
		h.past.failed = now
	}
	taken := l.to.outage.failure()
	if most := time.Duration(l.to.Retry.MaxElapsed); most > 0 && now.Sub(h.past.failed) >= most {
		l.expire(h, r, e, now.Sub(h.past.failed))
		return
	}
	times := 1
	if e.After <= 0 { // else it is no matter of the message
		times = l.to.lone.failure(h.place(), taken)
	}
	l.retry(h, e, times)
}

// expire buries what was not taken of a message. Its age is the time since this
// process first saw it fail, so that a message is never given up early: another
// process begins anew, and so does this one after a restart.
func (l *lane) expire(h *held, r *record.Record, e *exporter.Error, after time.Duration) {
	out, err := ship.GiveUp(r, l.shipping(h), ship.Reason{Reason: deadletter.ReasonExpired, Code: e.Code,
		Detail: fmt.Sprintf("failing for %s, more than retry.max_elapsed of %s: %v", after.Round(time.Second), l.to.Retry.MaxElapsed, e.Err)})
	switch {
	case errors.Is(err, errPostponed):
		l.postpone(h)
	case err != nil:
		l.retry(h, asError(err), 1)
	default:
		l.bury(h, r, out.Dead)
	}
}

// retry gives a message back, to come again after the back-off of at most so
// many times retry.max.
func (l *lane) retry(h *held, e *exporter.Error, times int) {
	wait := l.backoff(h, times)
	switch {
	case e.Kind == exporter.Permanent:
		if l.to.said.due("refuses") {
			l.log.Error("destination refuses whatever is sent: see to its credentials, endpoints and signals. The data stays in the queue and is tried again; on_refusal: dead_letter would move it to the dead letters",
				"error", e.Error(), "again_in", wait.Round(time.Millisecond).String())
		}
	case l.to.said.due(e.Code):
		l.log.Warn("export failed; the data stays in the queue and is tried again", "error", e.Error(), "attempt", h.Attempt(), "again_in", wait.Round(time.Millisecond).String())
	}
	l.to.metrics.retries.Inc()
	h.giveBack(wait)
}

// postpone gives a message back because others are to have its place.
func (l *lane) postpone(h *held) {
	l.to.metrics.retries.Inc()
	h.giveBack(l.backoff(h, l.to.lone.times(h.place())))
}

func (l *lane) backoff(h *held, times int) time.Duration {
	return backoff(h.Attempt(), time.Duration(l.to.Retry.Initial), longest(time.Duration(l.to.Retry.Max), times))
}
