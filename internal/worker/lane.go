package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// reopenPause is the wait before a reader that failed is opened again.
const reopenPause = time.Second

// lane drains one stream for one destination.
type lane struct {
	w        *Worker
	d        Destination
	exporter exporter.Exporter
	stream   string
	slots    *slots // shared by the lanes of the destination
	metrics  *destinationMetrics
	log      *slog.Logger
}

// run pulls until the worker stops; trouble with the queue is waited out.
func (l *lane) run() {
	for said := ""; ; {
		err := l.drain(l.w.pull)
		if l.w.draining() {
			return
		}
		if msg := err.Error(); msg != said { // a repeated error is said once
			l.log.Error("cannot read the queue; trying on", "error", msg)
			said = msg
		}
		if !l.w.pause(reopenPause) {
			return
		}
	}
}

// drain reads one consumer until it fails or ctx ends.
func (l *lane) drain(ctx context.Context) error {
	reader, err := l.w.o.Queue.Consume(ctx, l.stream, topology.Durable(l.d.Name), queue.ConsumeOptions{MaxBytes: int(l.w.o.Config.PullMaxBytes)})
	if err != nil {
		return err
	}
	for {
		if err = l.slots.exports.Acquire(ctx, 1); err != nil {
			break
		}
		var d queue.Delivery
		if d, err = reader.Next(ctx); err != nil {
			l.slots.exports.Release(1)
			break
		}
		l.w.working.Go(func() {
			defer l.slots.exports.Release(1)
			l.process(d)
		})
	}
	return errors.Join(err, reader.Close())
}
