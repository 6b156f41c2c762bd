package worker_test

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// cut is a process that died: the queue hears nothing of it any more.
type cut struct {
	queue.Delivery
	dead *atomic.Bool
}

func (d *cut) Ack() error {
	if d.dead.Load() {
		return nil
	}
	return d.Delivery.Ack()
}

func (d *cut) Retry(after time.Duration) error {
	if d.dead.Load() {
		return nil
	}
	return d.Delivery.Retry(after)
}

func (d *cut) Extend() error {
	if d.dead.Load() {
		return nil
	}
	return d.Delivery.Extend()
}

func TestAnotherWorkerTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		var dead atomic.Bool
		first := newRig(t, &tapped{Queue: q, delivery: func(d queue.Delivery) queue.Delivery { return &cut{d, &dead} }},
			[]worker.Destination{to("backend", slots(2, 64<<20), only("traces"))}, export(func(ctx context.Context, _ *exporter.Request) (exporter.Result, error) {
				<-ctx.Done()
				return exporter.Result{}, retryable(0)
			}))
		for range 3 { // two in slots, one held by the lane, which then pulls no more
			first.put(otlp.Traces, codec.S2, 1)
		}
		first.start()
		time.Sleep(10 * time.Minute) // alive, it keeps what it holds
		dead.Store(true)
		died := time.Now()

		var at []time.Time
		second := newRig(t, q, []worker.Destination{to("backend", only("traces"), slots(1, 64<<20))}, export(func(context.Context, *exporter.Request) (exporter.Result, error) {
			at = append(at, time.Now())
			return exporter.Result{}, nil
		}))
		second.start()
		time.Sleep(2 * time.Minute)
		second.settled(otlp.Traces, "backend", 3)
		if len(at) != 3 || at[2].Sub(died) > time.Minute+10*time.Second {
			t.Errorf("taken over at %v after the death at %s, want all three within the ack wait and, as they share one slot, a few short back-offs", at, died)
		}
		if n := second.metric("penstock_exporter_redeliveries_total"); n < 3 || n > 10 {
			t.Errorf("%g redeliveries of 3 messages over one slot", n)
		}
		second.stop()
		_ = first.stopWithin(time.Second) // the ghost
	})
}

// A worker never makes the durable that it misses: what is accepted before it
// exists would not be kept for it.
func TestMissingDurableIsWaitedForAndSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		r := memoryRig(t, to("backend", only("traces")), g.slow(0))
		d := to("new", only("traces"))
		r.o.Destinations = []worker.Destination{d}
		r.o.Exporters = map[string]exporter.Exporter{"new": g.slow(0)}
		r.put(otlp.Traces, codec.S2, 1)
		r.start()
		time.Sleep(time.Hour)
		if n := r.log.count("does not exist"); n != 1 {
			t.Errorf("said %d times in an hour, want once:\n%s", n, r.log)
		}
		if st, _ := r.q.StreamState(t.Context(), topology.Stream(otlp.Traces, 0)); len(st.Consumers) != 1 {
			t.Errorf("the worker made consumers: %v", st.Consumers)
		}
		r.plan.Destinations = []topology.Destination{{Name: "new"}}
		if err := topology.ApplyConsumers(t.Context(), r.q, r.plan); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		r.settled(otlp.Traces, "new", 1)
		r.stop()
	})
}

// flaky fails to open or to read at times.
type flaky struct {
	*memory.Queue
	opens atomic.Int64
}

func (q *flaky) Consume(ctx context.Context, stream, consumer string, o queue.ConsumeOptions) (queue.Consumer, error) {
	if q.opens.Add(1)%2 == 1 {
		return nil, queue.ErrUnavailable
	}
	c, err := q.Queue.Consume(ctx, stream, consumer, o)
	return &brief{c, new(int)}, err
}

type brief struct {
	queue.Consumer
	reads *int
}

func (b *brief) Next(ctx context.Context) (queue.Delivery, error) {
	if *b.reads++; *b.reads > 2 {
		return nil, queue.ErrUnavailable
	}
	return b.Consumer.Next(ctx)
}

func TestReadersAreOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		r := newRig(t, &flaky{Queue: memory.New()}, []worker.Destination{to("backend", only("logs"))}, g.slow(0))
		for range 10 {
			r.put(otlp.Logs, codec.S2, 1)
		}
		r.start()
		time.Sleep(time.Minute)
		r.settled(otlp.Logs, "backend", 10)
		r.stop()
		if n := r.log.count("cannot read the queue"); n < 2 || n > 12 {
			t.Errorf("said %d times, want once for each loss:\n%s", n, r.log)
		}
	})
}

// Two workers share the work of one durable.
func TestWorkersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		r := memoryRig(t, to("backend", slots(2, 64<<20)), g.slow(time.Second))
		o := r.o
		o.Metrics, o.Logger = worker.NewMetrics(prometheus.NewRegistry()), slog.New(slog.NewTextHandler(io.Discard, nil))
		second, err := worker.New(o)
		if err != nil {
			t.Fatal(err)
		}
		r.start()
		second.Start()
		for range 20 {
			r.put(otlp.Traces, codec.S2, 1)
		}
		time.Sleep(10 * time.Second)
		r.settled(otlp.Traces, "backend", 20)
		if g.mostCalls != 4 || g.mostForAnybody != 1 {
			t.Errorf("%d exports at a time, one message %d times; want 4 and once", g.mostCalls, g.mostForAnybody)
		}
		r.stop()
		if err := second.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
