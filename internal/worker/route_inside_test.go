package worker

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/ship/shiptest"
)

// TestRouteTenants walks patterns by tenants.
func TestRouteTenants(t *testing.T) {
	f := func(patterns []string, tenant string, want bool) {
		t.Helper()
		r, err := compileRoute(Destination{Tenants: patterns})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.takes(tenant); got != want {
			t.Errorf("%q takes tenant %q: %t", patterns, tenant, got)
		}
	}
	for _, tenant := range []string{"", "acme", "(none)"} {
		f(nil, tenant, true)
	}
	f([]string{"acme"}, "acme", true)
	f([]string{"acme"}, "acme2", false)
	f([]string{"acme"}, "", false)
	f([]string{"acme", "b"}, "b", true)
	f([]string{"ac*"}, "acme", true)
	f([]string{"ac*"}, "ac", true)
	f([]string{"ac*"}, "bac", false)
	f([]string{"*-prod"}, "eu-prod", true)
	f([]string{"*-prod"}, "eu-prod-2", false)
	f([]string{"*prod*"}, "eu-prod-2", true)
	f([]string{"*prod*"}, "eu", false)
	f([]string{"*"}, "eu", true)
	f([]string{"*"}, "", false)
	f([]string{NoTenant}, "", true)
	f([]string{NoTenant}, "acme", false)
	f([]string{"*", NoTenant}, "", true)
}

func TestBadRoutes(t *testing.T) {
	f := func(tenants, where []string, want string) {
		t.Helper()
		d := Destination{Tenants: tenants, Where: where}
		errs := d.validateRoute()
		if len(errs) != 1 || errs[0].Error() != want {
			t.Errorf("%q %q: %q, want %q", tenants, where, errs, want)
		}
	}
	f([]string{""}, nil, "tenants[0]: is empty: want a name, one that begins or ends with '*', or (none) for what has no tenant")
	f([]string{"a", "a*b"}, nil, `tenants[1]: is "a*b": '*' may stand at the beginning and at the end`)
	f([]string{"**"}, nil, `tenants[0]: is "**": '*' may stand at the beginning and at the end`)
	f([]string{"a b"}, nil, `tenants[0]: is "a b": a tenant has letters, digits, '-', '_' and '.'`)
	f([]string{"a", "a"}, nil, "tenants[1]: is a a second time")
	f(nil, []string{"team=x", "=x"}, `where[1]: condition "=x": it names no attribute: want key, key=value, key=a|b or key=~regexp`)
	f(nil, []string{"team=~("}, "where[0]: condition \"team=~(\": error parsing regexp: missing closing ): `(`")
	f(make([]string, maxRouteTenants+1), nil, "tenants: has 1001 entries: want at most 1000, or names with '*'")
	f(nil, make([]string, maxRouteWhere+1), "where: has 101 conditions: want at most 100")
}

// TestUnroutedCountsAndAllocatesNothing holds what nobody wants against resources by conditions.
func TestUnroutedCountsAndAllocatesNothing(t *testing.T) {
	raw := shiptest.Teams(0, 60, func(i int) string { return []string{"x", "y", ""}[i/10%3] })
	f := func(own string, others []string, want int) {
		t.Helper()
		compiled := func(where string) *route {
			r, err := compileRoute(Destination{Where: []string{where}})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		var mine *route
		if own != "" {
			mine = compiled(own)
		}
		var list []*route
		for _, w := range others {
			list = append(list, compiled(w))
		}
		if got := unrouted(otlp.Logs, raw, mine, list); got != want {
			t.Errorf("own %q, others %q: %d items, want %d", own, others, got, want)
		}
		if raceEnabled { // regexp keeps its machines in a sync.Pool, which forgets some on purpose
			return
		}
		if n := testing.AllocsPerRun(20, func() { unrouted(otlp.Logs, raw, mine, list) }); n > 0 {
			t.Errorf("own %q, others %q: %g allocations", own, others, n)
		}
	}
	f("", nil, 60)
	f("team=x", nil, 40)
	f("team=x", []string{"team"}, 20)
	f("", []string{"team=y", "team=x|z"}, 20)
	f("", []string{"team=~.*"}, 20)
	f("", []string{"host=~.*"}, 60)
}

// TestWantedByHeaderAllocatesNothing: that is done for each message.
func TestWantedByHeaderAllocatesNothing(t *testing.T) {
	reg := prometheus.NewRegistry()
	w, err := New(Options{Config: DefaultConfig(), Metrics: NewMetrics(reg)})
	if err != nil {
		t.Fatal(err)
	}
	to := &destination{Destination: Destination{Name: "a"}}
	w.destinations = append(w.destinations, to)
	r, err := compileRoute(Destination{Tenants: []string{"a", "b*", "*c", NoTenant}})
	if err != nil {
		t.Fatal(err)
	}
	now := &routes{of: []*route{r}}
	if n := testing.AllocsPerRun(100, func() {
		if w.wants(now, to, "tenant") || !w.wants(now, to, "bonn") {
			panic("wrong")
		}
	}); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

// BenchmarkUnrouted is what it costs to look for a message's other readers.
func BenchmarkUnrouted(b *testing.B) {
	raw := shiptest.Teams(0, 4000, func(i int) string { return fmt.Sprint(i / 10 % 7) })
	r, err := compileRoute(Destination{Where: []string{"team=1|2"}})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		unrouted(otlp.Logs, raw, r, nil)
	}
}
