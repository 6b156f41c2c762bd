package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
)

// deadLetterTimeout bounds the wait for the dead-letter stream; the message is
// given back when it passes.
const deadLetterTimeout = 30 * time.Second

// process exports one delivery and settles it, in every case. It ends the claim.
func (l *lane) process(h *held) {
	defer h.rest()
	defer h.claim.release()
	defer l.noAnswer(h)
	r, err := record.Decode(h.Message())
	if err == nil && r.Signal != l.signal {
		err = fmt.Errorf("%w: %s is %s in a stream of %s", record.ErrDamaged, record.HeaderSignal, r.Signal, l.signal)
	}
	switch {
	case errors.Is(err, record.ErrNewer): // a newer worker can read it
		l.retry(h, &exporter.Error{Kind: exporter.Retryable, Code: "newer_version", Err: err}, 1)
		return
	case err != nil:
		l.bury(h, r, deadletter.Letter{Reason: deadletter.ReasonDamaged, Detail: err.Error()})
		return
	}
	if err := h.claim.takeBytes(l.w.work, r.RawBytes, len(r.Body)); err != nil {
		l.giveUp(h)
		return
	}
	result, err := l.export(r)
	switch {
	case err == nil:
		l.delivered(h, r, result)
	case l.w.work.Err() != nil:
		l.giveUp(h)
	default:
		l.failed(h, r, err)
	}
}

func (l *lane) export(r *record.Record) (exporter.Result, error) {
	m := l.to.metrics
	l.to.running.Add(1)
	defer l.to.running.Add(-1)
	m.inFlight.Inc()
	defer m.inFlight.Dec()
	begin := time.Now()
	result, err := l.to.exporter.Export(l.w.work, &exporter.Request{
		Signal: r.Signal, Tenant: r.Tenant, ID: r.ID, Items: r.Items, RawBytes: r.RawBytes, Codec: r.Codec, Body: r.Body,
	})
	m.seconds.Observe(time.Since(begin).Seconds())
	return result, err
}

// giveUp ends what Stop has no more time for.
func (l *lane) giveUp(h *held) {
	l.w.gaveUp.Add(1)
	h.giveBack(0)
}

// delivered settles what the destination took. A partial success is final
// (OTLP 1.11, "Partial Success"); its count is the destination's word and may
// be any number.
func (l *lane) delivered(h *held, r *record.Record, result exporter.Result) {
	l.answered(h, 0)
	if h.Attempt() > 1 {
		l.to.lone.settled(h.place())
	}
	rejected := min(max(result.Rejected, 0), int64(r.Items))
	l.to.metrics.sent[r.Signal].Add(float64(int64(r.Items) - rejected))
	l.to.metrics.rejected[r.Signal].Add(float64(rejected))
	h.ack()
	switch {
	case rejected > 0 && l.to.said.due("partial success"):
		l.log.Warn("destination took a request and rejected items of it; they are not sent again", "rejected", rejected, "of", r.Items, "message", result.Message)
	case rejected == 0 && result.Message != "" && l.to.said.due("warning"):
		l.log.Warn("destination took a request with a warning", "message", result.Message)
	}
	if after, over := l.to.outage.success(); over {
		l.log.Info("destination takes data again", "after", after.Round(time.Second).String())
	}
}

// failed settles by the kind of the failure.
func (l *lane) failed(h *held, r *record.Record, err error) {
	var e *exporter.Error
	if !errors.As(err, &e) {
		e = &exporter.Error{Kind: exporter.Retryable, Code: "internal", Err: err}
	}
	l.answered(h, e.After)
	switch e.Kind {
	case exporter.Retryable:
		times := 1
		if taken := l.to.outage.failure(); e.After <= 0 { // else it is no matter of the message
			times = l.to.lone.failure(h.place(), taken)
		}
		l.retry(h, e, times)
		return
	case exporter.TooLarge:
		l.count(e)
		l.bury(h, r, deadletter.Letter{Reason: deadletter.ReasonTooLarge, Code: e.Code, Detail: text(e.Err)})
	default:
		l.count(e)
		l.bury(h, r, deadletter.Letter{Reason: deadletter.ReasonRejected, Code: e.Code, Detail: text(e.Err)})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (l *lane) count(e *exporter.Error) {
	l.to.metrics.failed.WithLabelValues(l.to.Name, l.signal.String(), e.Code, e.Kind.String()).Inc()
}

// answered tells the throttle what the destination asked for.
func (l *lane) answered(h *held, asked time.Duration) {
	hold := l.to.throttle.answered(h.probe, h.Attempt() == 1, asked)
	h.probe = false
	if hold > 0 && l.to.said.due("throttle") {
		l.log.Warn("destination asks to be left alone; nothing is sent to it until one export has probed it", "asked", asked.String(), "waits", hold.String())
	}
}

// noAnswer lets another message probe when this one did not come to it.
func (l *lane) noAnswer(h *held) {
	if h.probe {
		h.probe = false
		l.to.throttle.abandoned()
	}
}

// retry gives a message back, to come again after the back-off of at most so
// many times retry.max.
func (l *lane) retry(h *held, e *exporter.Error, times int) {
	l.count(e)
	wait := l.backoff(h, times)
	if l.to.said.due(e.Code) {
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

// letter stores the dead letter; a damaged message as it lies in the queue.
func (l *lane) letter(ctx context.Context, h *held, r *record.Record, letter deadletter.Letter) error {
	if letter.Reason == deadletter.ReasonDamaged {
		return deadletter.PublishRaw(ctx, l.w.o.Queue, topology.DeadLetters, deadletter.OriginOf(h), h.Message(), letter)
	}
	return deadletter.Publish(ctx, l.w.o.Queue, topology.DeadLetters, deadletter.OriginOf(h), r, "", letter)
}

// bury moves a message to the dead-letter stream, or gives it back when the
// stream does not confirm. It ends the claim: exports go on meanwhile.
func (l *lane) bury(h *held, r *record.Record, letter deadletter.Letter) {
	l.noAnswer(h)
	switch err := l.to.slots.takeGrave(l.w.work); {
	case errors.Is(err, errPostponed):
		l.postpone(h)
		return
	case err != nil:
		l.giveUp(h)
		return
	}
	defer l.to.slots.graves.Release(1)
	h.claim.release()
	letter.Destination = l.to.Name
	ctx, cancel := context.WithTimeout(l.w.work, deadLetterTimeout)
	defer cancel()
	if err := l.letter(ctx, h, r, letter); err != nil {
		if l.w.work.Err() != nil {
			l.giveUp(h)
			return
		}
		l.to.metrics.deadLetterFailures.Inc()
		l.to.metrics.retries.Inc()
		if l.to.said.due("no dead letter") {
			l.log.Error("cannot dead-letter a message; it stays in the queue and is tried again", "sequence", h.Sequence(), "reason", letter.Reason, "error", err)
		}
		h.giveBack(l.backoff(h, 1))
		return
	}
	l.to.metrics.deadLetters.WithLabelValues(l.to.Name, letter.Reason).Inc()
	l.to.metrics.dead[l.signal].Add(float64(r.Items))
	if l.to.said.due("dead letter " + letter.Reason + letter.Code) {
		l.log.Error("message moved to the dead-letter stream", "sequence", h.Sequence(), "items", r.Items,
			"reason", letter.Reason, "code", letter.Code, "detail", letter.Detail)
	}
	l.to.lone.settled(h.place())
	h.ack()
}
