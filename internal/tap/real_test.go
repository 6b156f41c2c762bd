package tap_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/tap"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// TestOnARealQueue: what is stored and what comes, of all streams, filtered, and
// no consumer is the wiser.
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
	r := rigOn(t, q, 2)
	if got := r.stored(); got != nil {
		t.Errorf("empty streams: %v", got)
	}
	for _, sig := range otlp.Signals {
		for shard, service := range []string{"shop", "cart"} {
			r.publish(topology.Stream(sig, shard), r.message(sig, "blue", requests[sig](service, service+" of "+sig.String())))
		}
	}
	checkUndisturbed(t, r, func() {
		got := names(r.stored(func(o *tap.Options) { o.Services, o.Tenants = []string{"cart"}, []string{"blue"} }))
		slices.Sort(got)
		if want := "cart of logs,cart of metrics,cart of traces"; strings.Join(got, ",") != want {
			t.Errorf("%q, want %s", got, want)
		}
	})

	l := follow(t.Context(), r.options(func(o *tap.Options) { o.Since = time.Now().Add(time.Hour) }), nothing)
	old := follow(t.Context(), r.options(func(o *tap.Options) { o.Since = time.Now().Add(-time.Hour) }), nothing)
	eventually(t, func() bool { return len(old.seen()) == 6 }) // also: the other one has surely begun
	deadline := time.Now().Add(20 * time.Second)
	for n := 0; len(l.seen()) < 3; n++ { // whether it has begun is not to be seen from outside
		if time.Now().After(deadline) {
			t.Fatalf("%v after %d", l.seen(), n)
		}
		r.put(otlp.Logs, "", logs("new", "it comes"))
		time.Sleep(20 * time.Millisecond)
	}
	for _, i := range l.seen() {
		if i.Service != "new" || i.Kind != tap.KindItem {
			t.Errorf("%+v", i)
		}
	}
	r.must(l.stop())
	eventually(t, func() bool { return len(old.seen()) >= 9 })
	r.must(old.stop())
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 s")
		}
	}
}
