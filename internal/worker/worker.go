package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Options are what a worker works with.
type Options struct {
	Config Config
	Queue  queue.Queue
	// Plan has been applied to the queue.
	Plan topology.Plan
	// Exporters by destination name; the worker closes them when it stops.
	Destinations []Destination
	Exporters    map[string]exporter.Exporter
	Metrics      *Metrics
	Logger       *slog.Logger
}

// Worker is the role. Made by New, started by Start, ended by Stop.
type Worker struct {
	o     Options
	lanes []*lane

	pull     context.Context // ends when no more is to be pulled
	stopPull context.CancelFunc
	work     context.Context // ends when exports are to be given up
	stopWork context.CancelFunc
	pulling  sync.WaitGroup
	working  sync.WaitGroup
}

// New makes a worker that has started nothing.
func New(o Options) (*Worker, error) {
	w := &Worker{o: o}
	w.pull, w.stopPull = context.WithCancel(context.Background())
	w.work, w.stopWork = context.WithCancel(context.Background())
	for _, d := range o.Destinations {
		x, ok := o.Exporters[d.Name]
		if !ok {
			return nil, fmt.Errorf("destination %s has no exporter", d.Name)
		}
		slots := newSlots(d.MaxInFlight, int64(d.MaxInFlightBytes))
		m := o.Metrics.of(d.Name)
		for _, s := range d.Takes() {
			for _, stream := range o.Plan.Streams(s) {
				w.lanes = append(w.lanes, &lane{w: w, d: d, exporter: x, stream: stream, slots: slots, metrics: m,
					log: o.Logger.With("destination", d.Name, "stream", stream)})
			}
		}
	}
	return w, nil
}

// Start begins to drain. It does not block.
func (w *Worker) Start() {
	for _, l := range w.lanes {
		w.pulling.Go(l.run)
	}
}

// Stop ends pulling, lets exports finish until ctx ends, gives the rest back to
// the queue and closes the exporters.
func (w *Worker) Stop(ctx context.Context) error {
	w.stopPull()
	w.pulling.Wait()
	done := make(chan struct{})
	go func() {
		w.working.Wait()
		close(done)
	}()
	var errs []error
	select {
	case <-done:
	case <-ctx.Done():
		errs = append(errs, errors.New("exports in flight were given up and given back to the queue: they may arrive twice"))
		w.stopWork()
		<-done
	}
	w.stopWork()
	for name, x := range w.o.Exporters {
		if err := x.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close destination %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// draining tells whether the worker is stopping: acks then wait for the
// server, as nothing would notice their loss.
func (w *Worker) draining() bool { return w.pull.Err() != nil }

// pause waits, unless pulling is to end; it tells whether it is to go on.
func (w *Worker) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.pull.Done():
		return false
	}
}
