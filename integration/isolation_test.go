package integration

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// pairs of windows in TestOneOfTwoDestinationsDown, and what each delivers.
const (
	pairs       = 5
	windowItems = 50_000
)

// TestOneOfTwoDestinationsDown: I8. Two Penstocks take turns at the same load:
// one has the destination b alone, the other has a beside it, which refuses
// connections, and then takes calls and answers none. The rate at which b gets
// its data is to be the same, within 10 %, by the median of windows that each
// stand beside their neighbour: what else the machine does hits both. The load
// is some way below what the machine can do. At the limit every process beside
// it slows b down, the generator too; here b falls behind only when something
// keeps its data back, and how far it is behind is looked at as well.
//
// Then a comes back and gets all that it missed, while b's newest data keep
// coming at once.
func TestOneOfTwoDestinationsDown(t *testing.T) {
	seed := harness.Seed(t)
	t.Setenv("PENSTOCK_WORKER_DRAIN_TIMEOUT", "3s")
	type system struct {
		up     *harness.Role
		b      *harness.Sink
		ledger *harness.Ledger
	}
	start := func(a *harness.Sink) (s system) {
		s.b, s.ledger = harness.NewSink(t), harness.NewLedger(seed)
		destinations := []harness.Destination{{Name: "b", Protocol: "grpc", Endpoint: s.b.GRPCAddr}}
		if a != nil {
			destinations = append(destinations, harness.Destination{Name: "a", Protocol: "grpc", Endpoint: a.GRPCAddr, More: "retry: {max: 5s}"})
		}
		s.up = harness.NewUpTo(t, harness.Queue{Dir: t.TempDir(), Durability: "process", MaxBytes: "12GiB"}, harness.Destinations(destinations...))
		s.up.Start()
		return s
	}
	// window is the rate at which b gets a number of items, up to the last one,
	// and how many of those acknowledged it lacked at worst.
	window := func(s system) (rate float64, behind uint64) {
		began, from, acked := time.Now(), s.b.Arrived().Distinct, s.ledger.Counts().AckedItems
		load := harness.StartLoad(t, s.ledger, harness.LoadConfig{GRPC: s.up.GRPCAddr, Signals: []otlp.Signal{otlp.Logs}, Clients: 4, Items: 200, Pause: 20 * time.Millisecond})
		harness.Until(t, 60*time.Second, func() string { return "requests are acknowledged" }, func() bool {
			taken := s.ledger.Counts().AckedItems - acked
			if arrived := s.b.Arrived().Distinct - from; arrived < taken {
				behind = max(behind, taken-arrived)
			}
			return taken >= windowItems
		})
		load.Stop()
		harness.Until(t, 60*time.Second, func() string { return "b has all of the window" }, func() bool {
			return s.b.Arrived().Distinct-from >= s.ledger.Counts().AckedItems-acked
		})
		return float64(s.b.Arrived().Distinct-from) / time.Since(began).Seconds(), behind
	}
	a := harness.NewSink(t)
	a.Down()
	lone, beside := start(nil), start(a)
	for _, trouble := range []struct {
		name  string
		begin func()
	}{{"refuses connections", func() {}}, {"hangs", func() { a.Behave(harness.Hang); a.Up() }}} {
		trouble.begin()
		window(lone) // warm
		window(beside)
		var ratios, rates []float64
		var behind []uint64
		for i := range pairs {
			var l, b float64
			var n uint64
			if i%2 == 0 { // none is always the first
				l, _ = window(lone)
				b, n = window(beside)
			} else {
				b, n = window(beside)
				l, _ = window(lone)
			}
			ratios, rates, behind = append(ratios, b/l), append(rates, b), append(behind, n)
		}
		slices.Sort(ratios)
		slices.Sort(rates)
		slices.Sort(behind)
		t.Logf("a %s: b gets %.0f items/s, %.2f of its rate alone (%.2f to %.2f), and is behind by %d items at worst", trouble.name, rates[pairs/2], ratios[pairs/2], ratios[0], ratios[pairs-1], behind[pairs-1])
		if limit := uint64(2 * rates[pairs/2]); behind[pairs/2] > limit {
			t.Errorf("seed %d: a %s, and b is behind by %d items, more than two seconds: %d", seed, trouble.name, behind[pairs/2], behind)
		}
		if ratios[pairs/2] < 0.9 {
			t.Errorf("seed %d: a %s, and b gets its data at %.2f of its rate alone, want 0.90 at least: %.2f", seed, trouble.name, ratios[pairs/2], ratios)
		}
	}
	if got := a.Arrived(); got.Items != 0 {
		t.Fatalf("a hangs, and %+v arrived", got)
	}

	// a takes again: its backlog goes out, and what is newest reaches b at once.
	backlog := beside.ledger.Counts().AckedItems
	a.Behave(harness.Accept)
	began := time.Now()
	var slowest time.Duration
	var lacks uint64
	harness.Until(t, 120*time.Second, func() string { return fmt.Sprintf("a has its backlog: it lacks %d items", lacks) }, func() bool {
		sent, from := time.Now(), beside.b.Arrived().Distinct
		beside.ledger.Send(t, beside.up.GRPCAddr, otlp.Traces, 10)
		harness.Until(t, 10*time.Second, func() string { return "the newest data reach b" }, func() bool { return beside.b.Arrived().Distinct >= from+10 })
		slowest = max(slowest, time.Since(sent))
		lacks, _ = beside.ledger.Missing(a)
		return lacks == 0
	})
	t.Logf("a got its backlog of %d items in %s; meanwhile the newest data reached b within %s", backlog, time.Since(began).Round(time.Millisecond), slowest.Round(time.Millisecond))
	if slowest > 3*time.Second {
		t.Errorf("while a drained, the newest data took %s to b", slowest)
	}
	beside.ledger.Check(t, beside.b, 10*time.Second)
	lone.ledger.Check(t, lone.b, 10*time.Second)
	assertBounded(t, lone.up, beside.up)
	lone.up.Terminate()
	beside.up.Terminate()
}
