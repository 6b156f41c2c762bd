package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// reopenPause is the wait before a reader that failed is opened again.
const reopenPause = time.Second

// lane drains one stream for one destination. It takes a message first and a
// slot for it after: an idle lane holds no slot, and a lane that waits for one
// holds a single message, which it keeps alive.
type lane struct {
	w      *Worker
	to     *destination
	signal otlp.Signal
	stream string
	log    *slog.Logger
	// waited is when the lane last had to wait for a slot or a throttle. What the reader has
	// pulled may have waited with it, its ack wait running; run's alone.
	waited time.Time
	// left was taken from the reader and not exported yet; run's alone.
	left      *held
	strangers strangers
}

// run pulls until the worker stops; trouble with the queue is waited out.
func (l *lane) run() {
	for said := ""; ; {
		reader, err := l.w.o.Queue.Consume(l.w.pull, l.stream, topology.Durable(l.to.Name), l.options())
		if err == nil {
			said = ""
			err = l.drain(l.w.pull, reader)
		}
		if l.w.draining() {
			return
		}
		say := "cannot read the queue; trying on"
		if errors.Is(err, queue.ErrNotFound) {
			say = "the durable of this destination does not exist; waiting until a gateway or worker that starts makes it"
		}
		if say != said { // what lasts is said once
			l.log.Error(say, "error", err)
			said = say
		}
		if !l.w.pause(reopenPause) {
			return
		}
	}
}

// options bound what waits in the reader for this lane: enough to keep the
// slots busy, and not so much that it waits for long.
func (l *lane) options() queue.ConsumeOptions {
	return queue.ConsumeOptions{MaxBytes: int(l.w.o.Config.PullMaxBytes), MaxMessages: min(max(2*l.to.MaxInFlight, 4), 64)}
}

// drain reads one consumer until it fails or ctx ends.
func (l *lane) drain(ctx context.Context, reader queue.Consumer) error {
	err := l.pull(ctx, reader)
	if l.left != nil {
		l.left.giveBack(0)
		l.left = nil
	}
	return errors.Join(err, reader.Close())
}

func (l *lane) pull(ctx context.Context, reader queue.Consumer) error {
	for {
		waited, err := l.to.throttle.wait(ctx)
		l.note(waited)
		if err != nil {
			return err
		}
		h := l.left
		l.left = nil
		if h == nil {
			d, err := reader.Next(ctx)
			if err != nil {
				return err
			}
			h = l.hold(d)
		}
		if !l.wanted(h) {
			l.passOver(h)
			continue
		}
		switch err := l.admit(ctx, h); {
		case err == nil:
			if hs := l.gather(reader, h); hs != nil {
				l.w.working.Go(func() { l.processMerged(hs) })
			} else {
				l.w.working.Go(func() { l.process(h) })
			}
		case errors.Is(err, errPostponed):
			l.postpone(h)
		default:
			h.giveBack(0)
			return err
		}
	}
}

// admit waits until a delivery may be exported; it then has its claim. The slot
// comes before the throttle, so that nothing that waited for one is exported
// into a hold that began meanwhile.
func (l *lane) admit(ctx context.Context, h *held) error {
	repeated := h.Attempt() > 1
	claim, waited, err := l.to.slots.take(ctx, repeated)
	l.note(waited)
	if err != nil {
		return err
	}
	probe, waited, err := l.to.throttle.enter(ctx, !repeated)
	if errors.Is(err, errPostponed) && !l.to.news.expected(ctx, l) {
		// No first delivery can come to probe: a redelivery does.
		probe, waited, err = l.to.throttle.enter(ctx, true)
	}
	l.note(waited)
	if err != nil {
		claim.release()
		return err
	}
	if probe {
		l.to.breaker.probing()
	}
	h.claim, h.lead = claim, h
	h.holders.Store(1)
	h.send = sender{l: l, h: h, probe: probe, first: !repeated}
	return nil
}

func (l *lane) note(waited bool) {
	if waited {
		l.waited = time.Now()
	}
}

// hold keeps a delivery alive. A lane that never had to wait emptied its reader
// at once, so that the delivery is fresh; else its ack wait begins anew now.
func (l *lane) hold(d queue.Delivery) *held {
	ackWait := time.Duration(l.w.o.Config.AckWait)
	h := &held{Delivery: d, l: l, period: ackWait / 3}
	if d.Attempt() > 1 {
		l.to.metrics.redelivered.Inc()
		h.past = l.to.memo.recall(h.place(), d.Attempt())
	}
	h.keepAlive(!l.waited.IsZero() && time.Since(l.waited) < ackWait)
	return h
}
