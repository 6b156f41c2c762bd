package otlphttp

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
)

func three(t *testing.T) *balancer {
	t.Helper()
	b, err := newBalancer([]string{"http://a", "http://b", "http://c"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// next takes an endpoint and says which; again gives it back with the outcome.
func next(t *testing.T, b *balancer, except ...*endpoint) (name string, again func(outcome)) {
	t.Helper()
	l, ok := b.take(except)
	if !ok {
		t.Fatal("no endpoint")
	}
	return l.urls[otlp.Logs].Host, func(o outcome) { b.done(l, o) }
}

func TestLeastInFlightFirstAndEqualsTakeTurns(t *testing.T) {
	b := three(t)
	order := ""
	for range 6 {
		name, done := next(t, b)
		order += name
		done(answered)
	}
	if order != "abcabc" {
		t.Errorf("one after the other went to %s", order)
	}
	busy := map[string]int{}
	for range 9 {
		name, _ := next(t, b)
		busy[name]++
	}
	if busy["a"] != 3 || busy["b"] != 3 || busy["c"] != 3 {
		t.Errorf("nine at once went to %v", busy)
	}
}

// taken counts where so many requests go, one after the other, all answered
// but by those that are down.
func taken(t *testing.T, b *balancer, n int, down string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for range n {
		name, done := next(t, b)
		out[name]++
		if name == down {
			done(unreachable)
		} else {
			done(answered)
		}
	}
	return out
}

func TestUnreachableIsLeftOutForAWhileThenTriedByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := three(t)
		if got := taken(t, b, 90, "b"); got["b"] != 1 {
			t.Errorf("an endpoint that cannot be reached got %d of 90", got["b"])
		}
		waits := 0
		for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(100 * time.Millisecond) {
			waits += taken(t, b, 3, "b")["b"]
		}
		// 0.5, 1, 2, 4, 8, 15, 15 … s, give or take a fifth.
		if waits < 35 || waits > 55 {
			t.Errorf("tried %d times in ten minutes, want about 44", waits)
		}
		time.Sleep(2 * longestBackoff)
		name, done := next(t, b)
		if name != "b" {
			t.Fatalf("b is due, and %s was taken", name)
		}
		for range 6 {
			if name, done := next(t, b); name == "b" {
				t.Error("two try it at once")
			} else {
				done(answered)
			}
		}
		done(answered)
		if got := taken(t, b, 9, ""); got["b"] != 3 {
			t.Errorf("well again, b got %d of 9", got["b"])
		}
	})
}

func TestHungIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := three(t)
		f := func(o ...outcome) (left bool) {
			for _, o := range o {
				l, _ := b.take([]*endpoint{b.endpoints[0], b.endpoints[1]})
				b.done(l, o)
			}
			return taken(t, b, 9, "")["c"] == 0
		}
		if f(silent, silent, answered, silent, silent, untold) {
			t.Error("left out, though it answers now and then")
		}
		if !f(silent, silent, silent) {
			t.Error("three in a row without an answer, and it gets requests")
		}
	})
}

func TestAllOutTriesTheOneThatIsDueFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := three(t)
		for i := range 3 {
			_, done := next(t, b, append(b.endpoints[:i:i], b.endpoints[i+1:]...)...)
			done(unreachable)
			time.Sleep(300 * time.Millisecond) // more than the jitter of one
		}
		time.Sleep(-300*time.Millisecond + time.Millisecond)
		var order string
		var tried []*endpoint
		for range 3 {
			l, _ := b.take(tried)
			tried = append(tried, l.endpoint)
			order += l.urls[0].Host
			b.done(l, unreachable)
		}
		if order != "abc" {
			t.Errorf("tried in the order %s", order)
		}
		if _, ok := b.take(tried); ok {
			t.Error("a fourth endpoint of three")
		}
	})
}

func deadURL(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// Over real connections: one endpoint down costs no request, both share the
// load once it is up, and all down is retryable and says so.
func TestSeveralEndpoints(t *testing.T) {
	a, b := serve(t, false), serve(t, false)
	x := newExporter(t, Config{Name: "backend", Endpoints: []string{deadURL(t), a.url(), b.url()}})
	defer x.Close()
	send := func() error {
		_, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "zstd", exportertest.Body(otlp.Logs, 1, 10)))
		return err
	}
	for range 20 {
		if err := send(); err != nil {
			t.Fatal(err)
		}
	}
	if n, m := len(a.Received(t)), len(b.Received(t)); n+m != 20 || n < 8 || m < 8 {
		t.Errorf("of 20 requests %d and %d arrived at the two that are up", n, m)
	}
	b.Stop()
	for range 20 {
		if err := send(); err != nil {
			exportertest.Check(t, "the connection that was lost", err, exportertest.Want{Kind: exporter.Retryable, Code: "no_connection"})
		}
	}
	if n := len(a.Received(t)); n < 27 {
		t.Errorf("one of three is up, and got %d requests", n)
	}
	a.Stop()
	eventually(t, func() bool {
		err := send()
		exportertest.Check(t, "all down", err, exportertest.Want{Kind: exporter.Retryable, Code: "no_connection"})
		return err != nil && len(x.balancer.endpoints) == 3
	})
	exportertest.Check(t, "all down", send(), exportertest.Want{Kind: exporter.Retryable, Code: "no_connection", Says: []string{"3 endpoints", "refused"}})
	b.Start(t)
	if err := send(); err != nil {
		t.Errorf("one is up again, and its back-off is no reason to fail: %v", err)
	}
}

func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 10 s")
		}
	}
}
