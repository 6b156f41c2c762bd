package ledger

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// slow is a queue whose streams are read at so many messages a second.
type slow struct {
	queue.Queue
	rate int
}

type slowly struct {
	queue.Browser
	q *slow
}

func (q *slow) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	b, err := q.Queue.Browse(ctx, stream, o)
	return &slowly{b, q}, err
}

func (b *slowly) Next(ctx context.Context) (queue.Entry, error) {
	select {
	case <-time.After(time.Second / time.Duration(b.q.rate)):
	case <-ctx.Done():
		return queue.Entry{}, ctx.Err()
	}
	return b.Browser.Next(ctx)
}

// A ledger that begins on a queue with more than can be counted in one look, or
// that gets a destination there, counts it in as many as it takes.
func TestMoreThanALookCanCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.plan.MaxAckPending = 5000
		w.ok(topology.ApplyConsumers(t.Context(), w.q, w.plan))
		w.q.Queue = &slow{w.q.Queue, 50} // 500 in the patience of a look
		before := w.worker("all")
		const messages = 3000
		for i := range messages {
			w.publish(otlp.Traces, fmt.Sprint("tenant", i%3), 10)
		}
		for _, d := range before.take("PENSTOCK_TRACES_0", 1000) {
			before.settle(d, fate{}, false)
		}
		before.gone(false)
		time.Sleep(time.Hour) // the queue is older than its ledger
		x := w.worker("all")
		for range 80 {
			w.looks(1)
			w.fine(true)
		}
		w.row(Row{Signal: "traces", Destination: "all", Accepted: 20000, Pending: 20000})

		late := topology.Plan{Shards: 1, MaxBytes: w.plan.MaxBytes, AckWait: w.plan.AckWait, MaxAckPending: 5000, Destinations: []topology.Destination{{Name: "late", Signals: []otlp.Signal{otlp.Traces}}}}
		w.ok(topology.ApplyConsumers(t.Context(), w.q, late))
		y := w.worker("late")
		for w.pendingOf("late") > 0 {
			y.drain("PENSTOCK_TRACES_0")
		}
		for w.pendingOf("all") > 0 {
			x.drain("PENSTOCK_TRACES_0")
		}
		for range 100 {
			w.looks(1)
			w.fine(true)
		}
		w.row(Row{Signal: "traces", Destination: "all", Accepted: 20000, Exported: 20000})
		w.row(Row{Signal: "traces", Destination: "late", Accepted: 30000, Exported: 30000})
		if needed, err := w.holds.Needed(t.Context()); err != nil || len(needed) != 0 {
			t.Errorf("the janitor is held at %v, %v", needed, err)
		}
	})
}

// pendingOf is what a destination has not been delivered of traces.
func (w *world) pendingOf(destination string) uint64 {
	w.Helper()
	c, err := w.q.ConsumerState(w.Context(), "PENSTOCK_TRACES_0", topology.Durable(destination))
	w.ok(err)
	return c.Pending
}

// Many tenants, and many processes that ended at once, make no value that the
// store does not take.
func TestManyTenantsFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.looks(1)
		n := 0
		for range 20 {
			x := w.worker("all")
			for i := range 120 {
				w.publish(otlp.Traces, fmt.Sprintf("tenant-of-a-long-name-%08x", i*0x9e3779b1), 10)
				n += 10
			}
			for w.pendingOf("all") > 0 {
				x.drain("PENSTOCK_TRACES_0")
			}
			x.gone(true)
		}
		w.looks(8)
		w.row(Row{Signal: "traces", Destination: "all", Accepted: uint64(n), Exported: uint64(n)})
		time.Sleep(keepStopped) // all are folded
		w.looks(10)
		w.row(Row{Signal: "traces", Destination: "all", Accepted: uint64(n), Exported: uint64(n)})
		w.fine(true)
		w.looks(20)
		if all, err := fleet.Seen(t.Context(), w.q, time.Now()); err != nil || len(all) != 0 {
			t.Errorf("%d are seen, %v", len(all), err)
		}

		for i := range 2200 {
			w.publish(otlp.Logs, fmt.Sprintf("tenant-of-a-long-name-%08x", i*0x9e3779b1), 10)
			if i%200 == 199 {
				x := w.worker("all")
				for w.dead(x) {
				}
				x.gone(true)
			}
		}
		w.looks(10)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 22000, DeadLettered: 22000})
		w.keepers[0].drop() // what was stored is read
		w.looks(2)
		w.row(Row{Signal: "logs", Destination: "all", Accepted: 22000, DeadLettered: 22000})
		w.fine(true)
	})
}

// dead buries what a worker can get of logs, and tells whether there was any.
func (w *world) dead(x *worker) (any bool) {
	for _, d := range x.take(logs, 1000) {
		x.settle(d, fate{dead: 10}, false)
		any = true
	}
	return any
}
