package worker

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship"
	"github.com/penstock-otel/penstock/internal/worker/ship/shiptest"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/pool"
)

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(1<<20, prometheus.NewGauge(prometheus.GaugeOpts{}))
		f := func(want int) {
			t.Helper()
			if got := l.bytes(); got != want {
				t.Errorf("limit is %d, want %d", got, want)
			}
		}
		f(1 << 20)
		l.tooLarge(400_000)
		f(200_000)
		l.tooLarge(900_000) // sent before
		f(200_000)
		time.Sleep(limitGrows)
		f(250_001)
		time.Sleep(3 * limitGrows)
		f(488_286)
		time.Sleep(time.Hour)
		f(1 << 20)
		l.tooLarge(10)
		f(limitLeast)
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMetrics(prometheus.NewRegistry()).of("x")
		b := newBreaker(Breaker{Failures: 3, Initial: 1000, Max: 5000}, m)
		fail := func(probe bool, want time.Duration, wantFirst bool) {
			t.Helper()
			if open, first := b.failed(probe); open != want || first != wantFirst {
				t.Errorf("failed is %d, %t; want %d, %t", open, first, want, wantFirst)
			}
		}
		state := func(want string) {
			t.Helper()
			if got, until := b.state(); got != want || until.IsZero() != (want != "open") {
				t.Errorf("state is %s until %s, want %s", got, until, want)
			}
		}
		fail(false, 0, false)
		fail(false, 0, false)
		b.succeeded(false)
		fail(false, 0, false)
		fail(true, 0, false) // of a hold that the destination asked for
		fail(false, 1000, true)
		state("open")
		fail(false, 0, false)
		b.succeeded(false) // sent before
		state("open")
		b.probing()
		state("half_open")
		fail(false, 0, false)
		b.succeeded(false)
		state("half_open")
		fail(true, 2000, false)
		for _, want := range []time.Duration{4000, 5000, 5000} {
			b.probing()
			fail(true, want, false)
		}
		fail(true, 5000, false)
		for range 100 {
			b.probing()
			fail(true, 5000, false)
		}
		b.probing()
		b.succeeded(true)
		state("closed")
		for range 2 {
			fail(false, 0, false)
		}
		fail(false, 1000, true)
	})
}

func TestMemo(t *testing.T) {
	var m memo
	here := place{"s", 1}
	f := func(attempt int, doubt bool, delivered int) {
		t.Helper()
		if p := m.recall(here, attempt); p.doubt != doubt || p.delivered != delivered {
			t.Errorf("attempt %d: doubt %t, %d delivered; want %t, %d", attempt, p.doubt, p.delivered, doubt, delivered)
		}
	}
	f(2, true, 0)
	m.keep(here, past{attempt: 1, delivered: 7})
	f(2, false, 7)
	f(3, true, 7) // somebody else had it meanwhile
	m.keep(here, past{attempt: 2, delivered: 8, doubt: true})
	f(3, true, 8)
	m.forget(here)
	m.forget(here)
	f(2, true, 0)
	for i := range uint64(3 * memoMessages) {
		m.keep(place{"t", i}, past{attempt: 1})
	}
	var p ship.Progress
	r := &record.Record{ID: "x", Signal: otlp.Logs, Codec: codec.None, Items: 64, Body: shiptest.Logs(0, 64, 0)}
	judge := func(items []int, _ int) error {
		if len(items) < 64 && items[0] > 10 {
			return &exporter.Error{Kind: exporter.Retryable, Code: "UNAVAILABLE", Err: errors.New("later")}
		}
		if slices.Contains(items, 3) {
			return &exporter.Error{Kind: exporter.Permanent, Code: "INVALID_ARGUMENT", Err: errors.New("no")}
		}
		return nil
	}
	_, _ = ship.Ship(t.Context(), &shiptest.Backend{Judge: judge}, r, ship.Options{Progress: &p}) // it is to stop in the midst
	m.keep(here, past{attempt: 1, progress: p})
	one, two := m.recall(here, 2), m.recall(here, 3) // while the first one runs its ack wait ends
	was := p.Clone()
	_, err := ship.Ship(t.Context(), &shiptest.Backend{}, r, ship.Options{Progress: &one.progress})
	if err != nil || !was.Began() || reflect.DeepEqual(one.progress, was) || !reflect.DeepEqual(two.progress, was) {
		t.Errorf("%v: two turns share what they know: %+v and %+v, %+v before", err, one.progress, two.progress, was)
	}
	m.forget(here)
	if len(m.of) > memoMessages || m.ranges != 0 {
		t.Errorf("remembers %d messages and %d ranges, the bound is %d", len(m.of), m.ranges, memoMessages)
	}
}

func TestHear(t *testing.T) {
	f := func(kind exporter.Kind, code string, after time.Duration, whole, holds bool, want word) {
		t.Helper()
		policy := DeadLetter
		if holds {
			policy = Hold
		}
		if got := hear(&exporter.Error{Kind: kind, Code: code, After: after}, 100, whole, policy); got != want {
			t.Errorf("%s %s after %s, whole %t, holds %t: %d, want %d", kind, code, after, whole, holds, got, want)
		}
	}
	for _, e := range []*exporter.Error{{Kind: exporter.Permanent, Code: "HTTP 408"}, {Kind: exporter.TooLarge, Code: "RESOURCE_EXHAUSTED"}} {
		for policy, want := range map[string]word{Hold: failing, DeadLetter: failing, Strict: alive} {
			if got := hear(e, 100, true, policy); got != want {
				t.Errorf("%s with on_refusal %s: %d, want %d", e.Code, policy, got, want)
			}
		}
	}
	if hear(nil, 1, true, Hold) != alive {
		t.Error("a success is no sign of life")
	}
	f(exporter.Retryable, "UNAVAILABLE", 0, true, true, failing)
	f(exporter.Retryable, "UNAVAILABLE", 1, true, true, alive)
	f(exporter.Retryable, "timeout", 0, false, true, failing)
	f(exporter.Retryable, "busy", 0, true, true, unheard)
	f(exporter.Permanent, "undecodable", 0, true, true, unheard)
	f(exporter.Permanent, "INVALID_ARGUMENT", 0, true, true, alive)
	f(exporter.Permanent, "UNAUTHENTICATED", 0, false, true, failing)
	f(exporter.Permanent, "UNAUTHENTICATED", 0, true, false, alive)
	f(exporter.Permanent, "INTERNAL", 0, true, true, failing)
	f(exporter.Permanent, "INTERNAL", 0, false, true, unclear)
	f(exporter.Permanent, "HTTP 500", 0, true, false, failing)
	f(exporter.Permanent, "HTTP 400", 0, true, false, alive)
	f(exporter.TooLarge, "HTTP 413", 0, true, true, alive)
	f(exporter.TooLarge, "RESOURCE_EXHAUSTED", 0, true, true, failing)
	f(exporter.TooLarge, "RESOURCE_EXHAUSTED", 0, true, false, failing)
	f(exporter.Permanent, "HTTP 408", 0, true, false, failing)
}

func TestInDoubt(t *testing.T) {
	f := func(code string, err error, want bool) {
		t.Helper()
		if got := inDoubt(&exporter.Error{Code: code, Err: err}); got != want {
			t.Errorf("%s, %v: %t", code, err, got)
		}
	}
	f("timeout", nil, true)
	f("UNAVAILABLE", nil, false)
	f("busy", nil, false)
	f("no_connection", errors.New("lost before an answer"), true)
	f("no_connection", fmt.Errorf("x: %w", &pool.NoConnectionError{}), false)
	f("no_connection", fmt.Errorf("x: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}), false)
	f("no_connection", fmt.Errorf("x: %w", &net.OpError{Op: "read", Err: errors.New("reset")}), true)
}

func TestTallyIsBounded(t *testing.T) {
	var y tally
	for i := range 3 * tallyTenants {
		y.settled(otlp.Metrics, &held{tenant: fmt.Sprintf("tenant-%04d", i), past: past{delivered: 2, rejected: 1, possible: 1}, unwanted: 4, unrouted: 2}, 3)
	}
	y.settled(otlp.Metrics, &held{tenant: "tenant-0000", past: past{delivered: 5}}, 0)
	y.settled(otlp.Traces, &held{past: past{delivered: 1}}, 0)
	list := y.list("backend")
	if len(list) != 2+tallyTenants || list[0] != (fleet.Tally{Destination: "backend", Signal: "traces", Exported: 1, Messages: 1}) {
		t.Errorf("%d tallies, the first %+v", len(list), list[0])
	}
	others := uint64(2 * tallyTenants)
	if got, want := list[1], (fleet.Tally{Destination: "backend", Signal: "metrics", Tenant: fleet.OtherTenants, Exported: 2 * others, Rejected: others, Dead: 3 * others, Unwanted: 4 * others, Unrouted: 2 * others, PossibleDuplicates: others, Messages: others}); got != want {
		t.Errorf("others are %+v, want %+v", got, want)
	}
	if got := list[2]; got.Tenant != "tenant-0000" || got.Exported != 7 || got.Messages != 2 {
		t.Errorf("the first tenant is %+v", got)
	}
	exported, rejected, dead, unwanted := y.sums()
	if exported["metrics"] != 6005 || rejected["metrics"] != 3000 || dead["metrics"] != 9000 || unwanted["metrics"] != 12000 || exported["traces"] != 1 {
		t.Errorf("sums are %v, %v, %v, %v", exported, rejected, dead, unwanted)
	}
}

func TestPoolStatus(t *testing.T) {
	p := poolStatus(pool.Stats{Ready: 1, Connecting: 2, Idle: 3, NotServing: 4, Broken: 5, Draining: 6, InFlight: 7, Waiting: 8, Calls: 9, Failures: 1, Dials: 30,
		Endpoints: []pool.EndpointStats{{Target: "a", Connections: 2, Ready: 1, InFlight: 7}, {Target: "b", Down: time.Unix(1, 0)}}})
	if p.Open != 21 || p.Ready != 1 || p.InFlight != 7 || p.Waiting != 8 || p.Calls != 9 || p.Failures != 1 || p.Dials != 30 ||
		len(p.Endpoints) != 2 || p.Endpoints[0].Address != "a" || p.Endpoints[0].Open != 2 || p.Endpoints[0].Down != nil || !p.Endpoints[1].Down.Equal(time.Unix(1, 0)) {
		t.Errorf("%+v", p)
	}
}

// A breaker that is not closed has a hold, at whose end something probes: however
// answers cross, it is never left open with nothing that closes it.
func TestOpenBreakerIsProbed(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	for range 2000 {
		to := &destination{metrics: m.of("backend")}
		to.breaker = newBreaker(Breaker{Failures: 2, Initial: 1, Max: 1}, to.metrics)
		l := &lane{to: to}
		bad := &exporter.Error{Kind: exporter.Retryable, Code: "UNAVAILABLE"}
		answers := func(e *exporter.Error, say word) func() {
			s := &sender{l: l, first: true, probe: e == nil}
			return func() { s.judge(e, say) }
		}
		to.breaker.failed(false)
		to.breaker.failed(false)
		to.throttle.answered(false, true, time.Nanosecond)
		if probe, _, err := to.throttle.enter(t.Context(), true); !probe || err != nil {
			t.Fatal("no probe", err)
		}
		to.breaker.probing()
		var all sync.WaitGroup
		for _, f := range []func(){answers(nil, alive), answers(bad, failing), answers(bad, failing), answers(bad, failing)} {
			all.Go(f)
		}
		all.Wait()
		if state, _ := to.breaker.state(); state != "closed" && !to.throttle.holds() {
			t.Fatalf("the breaker is %s and nothing is held: nothing will probe", state)
		}
	}
}
