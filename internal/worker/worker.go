package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
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
	// Allows tells whether a destination may have the data of a tenant, "" being
	// what has none. It is asked for each message when it is taken, so that it may
	// answer otherwise from one to the next, and is called from many goroutines.
	// nil: each may have all.
	Allows  func(tenant, destination string) bool
	Metrics *Metrics
	Logger  *slog.Logger
}

// Worker is the role. Made by New, started by Start, ended by Stop.
type Worker struct {
	o            Options
	destinations []*destination
	lanes        []*lane
	routes       atomic.Pointer[routes]
	gaveUp       atomic.Int64 // exports ended by Stop

	// Three contexts, ended in this order by Stop.
	pull       context.Context // no more is to be pulled
	stopPull   context.CancelFunc
	work       context.Context // exports are to be given up
	stopWork   context.CancelFunc
	settle     context.Context // no more is to be waited for
	stopSettle context.CancelFunc

	pulling sync.WaitGroup // lanes
	working sync.WaitGroup // exports; added to by lanes only
}

// destination is what the lanes of one destination share.
type destination struct {
	Destination
	at       int // in Worker.destinations and in routes
	signals  [otlp.NumSignals]bool
	exporter exporter.Exporter
	slots    *slots
	metrics  *destinationMetrics
	running  atomic.Int64 // Export calls
	said     said
	outage   outage
	lone     lone
	memo     memo
	throttle throttle
	breaker  *breaker
	hearing  sync.Mutex // an answer is told to breaker and throttle at once, or they part
	limit    *limit
	health   health
	tally    tally
	news     news
	joins    sync.Pool // of *[]byte, for merged requests
}

// New makes a worker that has started nothing.
func New(o Options) (*Worker, error) {
	w := &Worker{o: o}
	now := &routes{}
	for i, d := range o.Destinations {
		x, ok := o.Exporters[d.Name]
		if !ok {
			return nil, fmt.Errorf("destination %s has no exporter", d.Name)
		}
		r, err := compileRoute(d)
		if err != nil {
			return nil, fmt.Errorf("destination %s: %w", d.Name, err)
		}
		now.of = append(now.of, r)
		to := &destination{Destination: d, at: i, exporter: x, slots: newSlots(d.MaxInFlight, int64(d.MaxInFlightBytes)), metrics: o.Metrics.of(d.Name)}
		to.breaker = newBreaker(d.Breaker, to.metrics)
		to.limit = newLimit(int(d.MaxRequestBytes), to.metrics.requestLimit)
		w.destinations = append(w.destinations, to)
		for _, s := range d.Takes() {
			to.signals[s] = true
			for _, stream := range o.Plan.Streams(s) {
				to.news.streams = append(to.news.streams, stream)
				w.lanes = append(w.lanes, &lane{w: w, to: to, signal: s, stream: stream, log: o.Logger.With("destination", d.Name, "stream", stream)})
			}
		}
	}
	w.routes.Store(now)
	w.pull, w.stopPull = context.WithCancel(context.Background())
	w.work, w.stopWork = context.WithCancel(context.Background())
	w.settle, w.stopSettle = context.WithCancel(context.Background())
	return w, nil
}

// Start begins to drain. It does not block.
func (w *Worker) Start() {
	for _, l := range w.lanes {
		w.pulling.Go(l.run)
	}
	w.pulling.Go(w.lookBeyond)
}

// lookBeyond tells of streams that no lane drains. It asks until it is answered.
func (w *Worker) lookBeyond() {
	for {
		names, err := w.o.Plan.Beyond(w.pull, w.o.Queue)
		if err == nil {
			if len(names) > 0 {
				w.o.Logger.Error("streams exist beyond queue.shards and this worker does not drain them; set queue.shards to what made them, here and in gateways",
					"streams", names, "shards", w.o.Plan.Shards)
			}
			return
		}
		if !w.pause(reopenPause) {
			return
		}
	}
}

// Stop ends pulling, lets exports finish until shortly before ctx ends, gives
// the rest back to the queue, to be delivered at once, and closes the exporters.
// What cannot be given back in time returns after the ack wait.
func (w *Worker) Stop(ctx context.Context) error {
	defer w.stopSettle()
	defer w.stopWork()
	w.stopPull()
	ended := make(chan struct{})
	go func() { // ends with the exports; waited for below as long as ctx allows
		w.pulling.Wait()
		w.working.Wait()
		close(ended)
	}()
	patience, cancel := beforeEnd(ctx)
	defer cancel()
	select {
	case <-ended:
	case <-patience.Done():
		w.stopWork()
		w.await(ctx, ended)
	}
	var errs []error
	if n := w.gaveUp.Load(); n > 0 {
		errs = append(errs, fmt.Errorf("%d exports were not done in time and were given back to the queue: their data may arrive twice", n))
	}
	for _, to := range w.destinations {
		if n := to.running.Load(); n > 0 {
			errs = append(errs, fmt.Errorf("destination %s: %d exports do not end and are left behind: their data is exported again after worker.ack_wait", to.Name, n))
			continue
		}
		if err := to.exporter.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close destination %s: %w", to.Name, err))
		}
	}
	return errors.Join(errs...)
}

// await waits for ended until ctx ends, and a moment more for what then stops
// waiting for the queue.
func (w *Worker) await(ctx context.Context, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	w.stopSettle()
	select {
	case <-ended:
	case <-time.After(100 * time.Millisecond):
	}
}

// beforeEnd ends a moment before ctx does: giving back takes time too.
func beforeEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-min(2*time.Second, time.Until(end)/4)))
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
