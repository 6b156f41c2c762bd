package intake_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/intake"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// TestOnARealQueue: two replicas each read everything in its order, past what is
// purged, and leave nothing behind.
func TestOnARealQueue(t *testing.T) {
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 2 << 30})
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
	one, two := newRig(t, q, 1), newRig(t, q, 1)
	stream := topology.Stream(otlp.Metrics, 0)
	var want []string
	put := func(n int) {
		one.put(0, "blue", fmt.Sprint("up", n), "other")
		want = append(want, fmt.Sprint("blue:up", n))
	}
	for n := range 50 {
		put(n)
	}
	one.must(q.Purge(t.Context(), stream, 10))
	want = want[10:]
	often := func(o *intake.Options) { o.LookEvery = 20 * time.Millisecond }
	one.start(often)
	two.start(often)
	read := func(r *rig) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.got) >= len(want)
	}
	eventually(t, func() bool { return read(one) && read(two) })
	for n := 50; n < 80; n++ {
		put(n)
	}
	last := time.Now()
	eventually(t, func() bool { return one.in.Watermark().After(last) && two.in.Watermark().After(last) })
	one.want(want...)
	two.want(want...)

	// All is purged, and it goes on.
	one.must(q.Purge(t.Context(), stream, 80))
	put(80)
	last = time.Now()
	eventually(t, func() bool { return one.in.Watermark().After(last) && two.in.Watermark().After(last) })
	one.stop()
	two.stop()
	one.want(want...)
	two.want(want...)
	one.wantLost()
	two.wantLost()
	st, err := q.StreamState(t.Context(), stream)
	if err != nil || len(st.Consumers) != 0 {
		t.Errorf("consumers %v, %v", st.Consumers, err)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 30 s")
		}
	}
}
