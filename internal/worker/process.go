package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker/deadletter"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// deadLetterTimeout bounds the wait for the dead-letter stream; the message is
// given back when it passes.
const deadLetterTimeout = 30 * time.Second

// process exports one delivery and settles it, in every case.
func (l *lane) process(d queue.Delivery) {
	if d.Attempt() > 1 {
		l.metrics.redelivered.Inc()
	}
	stop := keepAlive(d, time.Duration(l.w.o.Config.AckWait)/3, l.log.Warn)
	defer stop()
	r, err := record.Decode(d.Message())
	if err != nil {
		l.log.Error("message is damaged", "sequence", d.Sequence(), "error", err)
		l.bury(d, r, deadletter.Letter{Reason: deadletter.ReasonDamaged, Detail: err.Error()})
		return
	}
	release, err := l.slots.takeBytes(l.w.work, int64(r.RawBytes+len(r.Body)))
	if err != nil {
		l.giveBack(d, 0)
		return
	}
	defer release()
	l.metrics.inFlight.Inc()
	begin := time.Now()
	result, err := l.exporter.Export(l.w.work, &exporter.Request{
		Signal: r.Signal, Tenant: r.Tenant, ID: r.ID, Items: r.Items, RawBytes: r.RawBytes, Codec: r.Codec, Body: r.Body,
	})
	l.metrics.seconds.Observe(time.Since(begin).Seconds())
	l.metrics.inFlight.Dec()
	l.settle(d, r, result, err)
}

// settle ends a delivery by what the destination said.
func (l *lane) settle(d queue.Delivery, r *record.Record, result exporter.Result, err error) {
	if err == nil {
		l.metrics.sent[r.Signal].Add(float64(r.Items) - float64(result.Rejected))
		if result.Rejected > 0 {
			l.metrics.rejected[r.Signal].Add(float64(result.Rejected))
			l.log.Warn("destination took the request and rejected items of it", "rejected", result.Rejected, "of", r.Items, "message", result.Message)
		}
		l.ack(d)
		return
	}
	var failed *exporter.Error
	if !errors.As(err, &failed) {
		failed = &exporter.Error{Kind: exporter.Retryable, Code: "internal", Err: err}
	}
	l.metrics.failed.WithLabelValues(l.d.Name, r.Signal.String(), failed.Code, failed.Kind.String()).Inc()
	switch failed.Kind {
	case exporter.Retryable:
		l.metrics.say(l.log, failed)
		l.giveBack(d, backoff(d.Attempt(), time.Duration(l.d.Retry.Initial), time.Duration(l.d.Retry.Max), failed.After))
	case exporter.TooLarge:
		l.bury(d, r, deadletter.Letter{Reason: deadletter.ReasonTooLarge, Code: failed.Code, Detail: failed.Err.Error()})
	default:
		l.bury(d, r, deadletter.Letter{Reason: deadletter.ReasonRejected, Code: failed.Code, Detail: failed.Err.Error()})
	}
}

// ack settles a delivered message. A lost ack means a duplicate, never a loss.
func (l *lane) ack(d queue.Delivery) {
	var err error
	if l.w.draining() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err = d.AckSync(ctx)
		cancel()
	} else {
		err = d.Ack()
	}
	if err != nil {
		l.metrics.ackFailures.Inc()
		l.log.Warn("ack failed: the message will be exported again", "sequence", d.Sequence(), "error", err)
	}
}

// giveBack returns a delivery to the queue.
func (l *lane) giveBack(d queue.Delivery, after time.Duration) {
	l.metrics.retries.Inc()
	if err := d.Retry(after); err != nil {
		l.log.Warn("giving a message back failed: it returns after worker.ack_wait", "sequence", d.Sequence(), "error", err)
	}
}

// bury moves a delivery to the dead-letter stream, or gives it back when the
// stream does not confirm.
func (l *lane) bury(d queue.Delivery, r *record.Record, letter deadletter.Letter) {
	letter.Destination = l.d.Name
	ctx, cancel := context.WithTimeout(l.w.work, deadLetterTimeout)
	defer cancel()
	if err := deadletter.Publish(ctx, l.w.o.Queue, topology.DeadLetters, d, letter); err != nil {
		l.log.Error("cannot dead-letter a message; it stays in the queue and is tried again", "sequence", d.Sequence(), "reason", letter.Reason, "error", err)
		l.giveBack(d, backoff(d.Attempt(), time.Duration(l.d.Retry.Initial), time.Duration(l.d.Retry.Max), 0))
		return
	}
	l.metrics.deadLetters.WithLabelValues(l.d.Name, letter.Reason).Inc()
	l.metrics.dead[r.Signal].Add(float64(r.Items))
	l.log.Error("message moved to the dead-letter stream", "sequence", d.Sequence(), "items", r.Items,
		"reason", letter.Reason, "code", letter.Code, "detail", letter.Detail)
	l.ack(d)
}

// keepAlive extends a delivery's ack wait every period until stop is called.
func keepAlive(d queue.Delivery, period time.Duration, warn func(string, ...any)) (stop func()) {
	var mu sync.Mutex
	stopped := false
	var t *time.Timer
	mu.Lock()
	defer mu.Unlock()
	t = time.AfterFunc(period, func() {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		if err := d.Extend(); err != nil {
			warn("extending the ack wait failed: the message may be exported twice", "sequence", d.Sequence(), "error", err)
		}
		t.Reset(period)
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		t.Stop()
	}
}
