package ledger

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// real runs a queue in a directory until the returned function.
func real(t *testing.T, dir string) (queue.Queue, func()) {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, MaxStoreBytes: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
	if err != nil {
		t.Fatal(errors.Join(err, s.Shutdown(context.Background())))
	}
	return q, func() {
		if err := errors.Join(q.Close(), s.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	}
}

// On a real server, over a restart of it: everything is in one place, purges of
// our own are no matter, and one of somebody else is found.
func TestOnARealQueue(t *testing.T) {
	dir := t.TempDir()
	q, stop := real(t, dir)
	w := &world{T: t, q: &flaky{Queue: q}, plan: topology.Plan{Shards: 1, MaxBytes: 100 << 20, AckWait: 2 * time.Second, MaxAckPending: 500,
		Destinations: []topology.Destination{{Name: "all"}, {Name: "logs", Signals: []otlp.Signal{otlp.Logs}}}},
		sent: map[row]uint64{}, done: map[row]*outcome{}, rec: NewRecorder(q), log: nil}
	w.ok(topology.Apply(t.Context(), q, w.plan))
	begin := func(holder string) {
		k := New(Options{Queue: w.q, Plan: w.plan, Holder: holder, Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
		w.keepers = []*Keeper{k}
	}
	end := func() {
		k := w.keepers[0]
		k.drop()
		w.ok(w.q.Release(t.Context(), leaseName, k.o.Holder))
	}
	looks := func(n int) {
		t.Helper()
		for range n {
			for _, x := range w.workers {
				x.tell(false)
			}
			w.keepers[0].round(t.Context())
		}
	}
	take := func(x *worker, stream string, n int) (all []queue.Delivery) {
		t.Helper()
		c, err := w.q.Consume(t.Context(), stream, topology.Durable(x.to), queue.ConsumeOptions{MaxMessages: n})
		w.ok(err)
		within, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for range n {
			d, err := c.Next(within)
			w.ok(err)
			all = append(all, d)
		}
		w.ok(c.Close())
		return all
	}
	// settled waits until the queue has all of a destination's acks.
	settled := func(stream, destination string, floor uint64) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			c, err := w.q.ConsumerState(t.Context(), stream, topology.Durable(destination))
			w.ok(err)
			if c.AckFloor == floor {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("the floor of %s on %s is %d, want %d", destination, stream, c.AckFloor, floor)
			}
		}
	}
	want := func(r Row) {
		t.Helper()
		l, err := Read(t.Context(), w.q)
		got, _ := l.Row(r.Signal, r.Destination)
		got.PossibleDuplicates = 0 // what a reader pulled and gave back comes again
		if err != nil || got != r {
			t.Fatalf("row is\n%+v, want\n%+v (%v, %q)", got, r, err, l.Problems)
		}
	}
	begin("first")
	a, b := w.worker("all"), w.worker("logs")
	looks(1)
	for range 20 {
		w.publish(otlp.Logs, "red", 10)
	}
	for i, d := range take(a, logs, 20) {
		a.settle(d, fate{rejected: i % 3, dead: 5 * (i % 2)}, false)
	}
	for _, d := range take(b, logs, 12) {
		b.settle(d, fate{}, false)
	}
	settled(logs, "all", 20)
	settled(logs, "logs", 12)
	looks(5)
	o := *w.done[row{"all", "logs"}]
	all := Row{Signal: "logs", Destination: "all", Accepted: 200, Exported: o.exported, Rejected: o.rejected, DeadLettered: o.dead}
	want(all)
	want(Row{Signal: "logs", Destination: "logs", Accepted: 200, Pending: 80, Exported: 120})
	w.ok(w.rec.Purging(t.Context(), logs, 12))
	w.ok(w.q.Purge(t.Context(), logs, 12))
	_, err := deadletter.Purge(t.Context(), w.q, topology.DeadLetters, deadletter.Filter{Sequences: []uint64{2, 4}}, false, w.rec, nil)
	w.ok(err)
	looks(2)
	all.DeadLettered, all.Purged = all.DeadLettered-10, 10
	want(all)
	end()
	stop()

	q, stop = real(t, dir)
	defer stop()
	w.q, w.rec = &flaky{Queue: q}, NewRecorder(q)
	begin("second")
	looks(1)
	want(all)
	w.publish(otlp.Logs, "red", 10)
	looks(1)
	want(Row{Signal: "logs", Destination: "logs", Accepted: 210, Pending: 90, Exported: 120})
	w.ok(w.q.Purge(t.Context(), logs, 16)) // and who knows why
	for _, d := range take(b, logs, 5) {
		b.settle(d, fate{}, false)
	}
	for _, d := range take(a, logs, 1) {
		a.settle(d, fate{}, false)
	}
	settled(logs, "all", 21)
	settled(logs, "logs", 21)
	looks(5)
	all.Accepted, all.Exported = 210, all.Exported+10
	want(all)
	want(Row{Signal: "logs", Destination: "logs", Accepted: 210, Exported: 170, Missing: 40})
	if l, err := Read(t.Context(), w.q); err != nil || l.OK {
		t.Errorf("OK with 40 items missing: %q, %v", l.Problems, err)
	}
	end()
}
