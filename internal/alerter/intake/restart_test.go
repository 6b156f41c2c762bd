package intake_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/intake"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// TestOverARestart: the server goes and comes back. The watermark stands meanwhile,
// and each message is read once, in order.
func TestOverARestart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 2 << 30, Listen: address}
	s, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	q, err := jetstream.Open(t.Context(), jetstream.Config{URL: "nats://" + address, Durability: jetstream.Process, AllowUnverified: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}()
	r := newRig(t, q, 1)
	var want []string
	put := func(n int) {
		r.put(0, "", fmt.Sprint("up", n))
		want = append(want, fmt.Sprint("up", n))
	}
	for n := range 20 {
		put(n)
	}
	r.start(func(o *intake.Options) { o.LookEvery = 20 * time.Millisecond })
	caughtUp := func() {
		t.Helper()
		last := time.Now()
		eventually(t, func() bool { return r.in.Watermark().After(last) })
		r.want(want...)
	}
	caughtUp()

	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	down := time.Now()
	failed := r.metric("penstock_alerter_intake_failures_total", "")
	eventually(t, func() bool { return r.metric("penstock_alerter_intake_failures_total", "") > failed })
	if w := r.in.Watermark(); w.After(down) {
		t.Errorf("the server is gone since %s, and the watermark is %s", down, w)
	}
	again, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s = again
	for n := 20; n < 40; n++ {
		put(n)
	}
	caughtUp()
	r.stop()
	r.wantLost()
}
