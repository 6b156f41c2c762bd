package janitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// TestOnARealQueue: the ack floors of a real server are exact, also of a durable
// that has all, that begins on a purged stream, or that settled out of order: what
// everybody has goes to the last message, and nothing else does.
func TestOnARealQueue(t *testing.T) {
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
	if err != nil {
		t.Fatal(errors.Join(err, s.Shutdown(context.Background())))
	}
	defer func() {
		if err := errors.Join(q.Close(), s.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	}()
	plan := topology.Plan{Shards: 1, MaxBytes: 64 << 20, Destinations: []topology.Destination{{Name: "all"}}}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(topology.Apply(t.Context(), q, plan))
	c := DefaultConfig()
	c.ReplayWindow = 0
	j := New(Options{Config: c, Queue: q, Plan: plan, Holder: "a", Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
	n := 0
	put := func(count int) {
		t.Helper()
		for range count {
			n++
			_, err := q.Publish(t.Context(), logs, &queue.Message{ID: fmt.Sprint(n), Body: make([]byte, 1000)})
			ok(err)
		}
	}
	take := func(destination string, count int) (out []queue.Delivery) {
		t.Helper()
		c, err := q.Consume(t.Context(), logs, topology.Durable(destination), queue.ConsumeOptions{})
		ok(err)
		for range count {
			d, err := c.Next(t.Context())
			ok(err)
			out = append(out, d)
		}
		ok(c.Close())
		return out
	}
	ack := func(ds ...queue.Delivery) {
		t.Helper()
		for _, d := range ds {
			ok(d.AckSync(t.Context()))
		}
	}
	round := func(first uint64) {
		t.Helper()
		j.round(t.Context())
		st, err := q.StreamState(t.Context(), logs)
		ok(err)
		if v := j.View(); st.FirstSeq != first || st.LastSeq != uint64(n) || !v.Leader || v.Error != "" {
			t.Fatalf("the stream holds %d to %d, want %d to %d; the janitor tells %+v", st.FirstSeq, st.LastSeq, first, n, v)
		}
	}
	round(1) // nothing there
	put(20)
	round(1)
	held := take("all", 20)
	ack(held[5:]...)
	round(1) // the first is not settled
	ack(held[:3]...)
	round(4)
	ack(held[3:5]...)
	round(21)
	ok(q.EnsureConsumer(t.Context(), logs, queue.ConsumerConfig{Name: topology.Durable("late"), AckWait: time.Minute}))
	put(5)
	ack(take("all", 5)...)
	round(21) // the late one has nothing yet
	ack(take("late", 5)...)
	round(26)
	// A message that was just stored is never taken for one that is settled,
	// whatever the server says is pending.
	wrong := 0
	for range 300 {
		put(1)
		st, err := q.ConsumerState(t.Context(), logs, topology.Durable("all"))
		ok(err)
		if st.Pending == 0 && st.AckPending == 0 {
			wrong++
		}
		j.round(t.Context())
	}
	t.Logf("%d times of 300 the server said that nothing is pending of a message it had confirmed", wrong)
	round(26)
	ack(take("all", 300)...)
	ack(take("late", 300)...)
	round(uint64(n) + 1)
}
