package tenant

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/internal/otlp"
)

const budget = 1 << 20

func ptr[T any](v T) *T { return &v }

func registry(t *testing.T, change func(*Config)) (*Registry, *prometheus.Registry) {
	t.Helper()
	c := DefaultConfig()
	change(&c)
	if err := config.Validate(&c); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	return New(c, budget, NewMetrics(reg)), reg
}

// refusal is the reason with which a request of the tenant is refused, "" when
// it enters; it ends at once.
func refusal(r *Registry, tenant string) otlp.Reason {
	p, refused := r.Enter(nil, []string{tenant}, otlp.Traces)
	if refused != nil {
		return refused.Reason
	}
	p.End()
	return ""
}

// send enters with a request of so many items and bytes and settles it.
func send(t *testing.T, r *Registry, tenant string, items, bytes int) *otlp.Refusal {
	t.Helper()
	p, refused := r.Enter(nil, []string{tenant}, otlp.Traces)
	if refused != nil {
		return refused
	}
	defer p.End()
	p.Spend(items, bytes)
	p.Accepted(items, bytes)
	return nil
}

// A tenant gets its rate over time, whatever the size of its requests, and is
// told a wait after which it is taken.
func TestRateOverTime(t *testing.T) {
	for _, size := range []int{1, 10, 700, 5000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := registry(t, func(c *Config) { c.Defaults.ItemsPerSecond = 1000 })
				began, taken := time.Now(), 0
				for time.Since(began) < time.Minute {
					if refused := send(t, r, "a", size, 100); refused == nil {
						taken += size
					} else if refused.RetryAfter <= 0 || refused.RetryAfter > maxWait*11/10 {
						t.Fatalf("wait is %s", refused.RetryAfter)
					} else {
						time.Sleep(refused.RetryAfter)
					}
				}
				// A minute, the burst, and one request beyond.
				if most := 62*1000 + size; taken > most || taken < 50*1000 {
					t.Fatalf("%d items of %d a request were taken in a minute, want 50000 to %d", taken, size, most)
				}
			})
		})
	}
}

// A crowd that is sent away together comes back spread, and a crowd at once
// overdraws by little.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := registry(t, func(c *Config) { c.Defaults.ItemsPerSecond = 1000 })
		for range 200 { // it learns that requests have 100 items
			if refused := send(t, r, "a", 100, 0); refused != nil {
				time.Sleep(refused.RetryAfter)
			}
		}
		time.Sleep(10 * time.Second) // the burst is whole again
		inside := make([]Pass, 0, 100)
		waits := map[time.Duration]bool{}
		for range 500 {
			p, refused := r.Enter(nil, []string{"a"}, otlp.Traces)
			if refused != nil {
				waits[refused.RetryAfter.Truncate(time.Second)] = true
				continue
			}
			inside = append(inside, p)
		}
		if n := len(inside); n < 19 || n > 22 {
			t.Errorf("%d requests of 100 items entered at once on a burst of 2000", n)
		}
		if len(waits) < 10 {
			t.Errorf("480 requests were told %d different seconds to wait", len(waits))
		}
		for i := range inside {
			inside[i].Spend(100, 0)
			inside[i].End()
		}
	})
}

// What was refused for no fault of the tenant's costs it nothing; what it sent in
// vain does.
func TestRefundAndDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := registry(t, func(c *Config) { c.Defaults.BytesPerSecond = 1000 })
		for range 50 {
			p, refused := r.Enter(nil, nil, otlp.Logs)
			if refused != nil {
				t.Fatal(refused)
			}
			p.Spend(1, 100000)
			p.Refund()
			p.End()
		}
		if refused := send(t, r, "", 1, 12000); refused != nil {
			t.Fatal(refused)
		}
		refused := send(t, r, "", 1, 1)
		if refused == nil || refused.Reason != otlp.ReasonRateLimited || !strings.Contains(refused.Message, "bytes") {
			t.Fatalf("a debt of ten seconds is %v", refused)
		}
		if refused.RetryAfter < 8*time.Second {
			t.Errorf("the wait is %s for a debt of 10 s", refused.RetryAfter)
		}
	})
}

// A tenant is above its quota while it is in debt or keeps being sent away, not
// while it spends its burst, and nobody is without a rate.
func TestOverQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := registry(t, func(c *Config) {
			rate := 1000
			c.Overrides = []Override{{Name: "a", ItemsPerSecond: &rate}}
		})
		f := func(name string, items int, want bool) {
			t.Helper()
			p, refused := r.Enter(nil, []string{name}, otlp.Traces)
			if refused != nil {
				t.Fatal(refused)
			}
			defer p.End()
			if p.Spend(items, 100); p.OverQuota() != want {
				t.Errorf("%s with %d items: %t", name, items, !want)
			}
		}
		f("free", 1<<20, false)
		f("a", 900, false)
		f("a", 900, false)
		f("a", 900, true) // of a burst of 2000
		for range 5 {
			if refusal(r, "a") == "" {
				t.Error("a tenant in debt enters")
			}
		}
		time.Sleep(time.Second) // the debt is paid, and four of five have not come back
		f("a", 10, true)
		time.Sleep(3 * time.Second)
		f("a", 10, false)
	})
}

func TestNames(t *testing.T) {
	anybody := (*identity.Identity)(nil)
	team := &identity.Identity{Subject: "key:team", Tenant: "team", SpeaksFor: []string{"other"}}
	proxy := &identity.Identity{Subject: "key:proxy", SpeaksFor: []string{identity.AnyTenant}}
	own := &identity.Identity{Subject: "key:own", Tenant: "own"}
	for _, c := range []struct {
		who   *identity.Identity
		named []string
		want  string
		fails otlp.Reason
	}{
		{anybody, nil, "", ""}, {anybody, []string{"x"}, "x", ""}, {anybody, []string{""}, "", ""},
		{team, nil, "team", ""}, {team, []string{"team"}, "team", ""}, {team, []string{"other"}, "other", ""},
		{team, []string{"foreign"}, "", otlp.ReasonPermissionDenied},
		{proxy, nil, "", ""}, {proxy, []string{"whoever"}, "whoever", ""},
		{own, []string{"own", "own"}, "own", ""}, {own, []string{"x"}, "", otlp.ReasonPermissionDenied},
		{anybody, []string{"a", "b"}, "", otlp.ReasonMalformed}, {anybody, []string{"a|b"}, "", otlp.ReasonMalformed},
		{anybody, []string{"-"}, "", otlp.ReasonMalformed}, {anybody, []string{strings.Repeat("x", 64)}, "", otlp.ReasonMalformed},
		{anybody, []string{strings.Repeat("x", 63)}, strings.Repeat("x", 63), ""}, {anybody, []string{"(none)"}, "", otlp.ReasonMalformed},
		{anybody, []string{"a\x00"}, "", otlp.ReasonMalformed}, {anybody, []string{"ä"}, "", otlp.ReasonMalformed}, {anybody, []string{"../x"}, "", otlp.ReasonMalformed},
	} {
		got, refused := nameOf(c.who, c.named)
		if refused == nil && (c.fails != "" || got != c.want) || refused != nil && refused.Reason != c.fails {
			t.Errorf("%v naming %q is %q, %v; want %q, %q", c.who, c.named, got, refused, c.want, c.fails)
		}
	}
}

func TestWhoMaySendWhat(t *testing.T) {
	r, reg := registry(t, func(c *Config) {
		c.Required, c.ListedOnly = true, true
		c.Defaults.Signals = []string{"traces"}
		c.Overrides = []Override{{Name: "a", Destinations: []string{"x"}}, {Name: "b", Signals: []string{"logs"}, MaxRequestBytes: ptr(config.ByteSize(10))}}
	})
	for tenant, want := range map[string]otlp.Reason{"": otlp.ReasonPermissionDenied, "c": otlp.ReasonPermissionDenied, "a": "", "b": otlp.ReasonPermissionDenied} {
		if got := refusal(r, tenant); got != want {
			t.Errorf("traces of tenant %q: %q, want %q", tenant, got, want)
		}
	}
	p, refused := r.Enter(nil, []string{"b"}, otlp.Logs)
	if refused != nil {
		t.Fatal(refused)
	}
	defer p.End()
	if p.MaxRequestBytes(100) != 10 || p.MaxRequestBytes(5) != 5 || p.Tenant() != "b" {
		t.Errorf("limits of b are %d and %d, its name %q", p.MaxRequestBytes(100), p.MaxRequestBytes(5), p.Tenant())
	}
	if !r.Allows("a", "x") || r.Allows("a", "y") || !r.Allows("b", "y") || !r.Allows("", "y") {
		t.Error("destinations of tenants")
	}
	if n := testutil.ToFloat64(metric(t, reg, "penstock_tenant_refused_requests_total", LabelOthers)); n != 2 {
		t.Errorf("%v refused of unknown tenants, want 2: the one of none and c", n)
	}
}

// metric finds one counter by its tenant.
func metric(t *testing.T, reg *prometheus.Registry, name, tenant string) prometheus.Collector {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == "tenant" && l.GetValue() == tenant {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sum"})
	g.Set(sum)
	return g
}

// One tenant cannot hold the memory of all, and a single request is never shut
// out by its own size.
func TestInFlightShare(t *testing.T) {
	r, _ := registry(t, func(*Config) {})
	enter := func() *Pass {
		p, refused := r.Enter(nil, []string{"a"}, otlp.Traces)
		if refused != nil {
			t.Fatal(refused)
		}
		return &p
	}
	a, b := enter(), enter()
	if refused := a.Hold(budget/2, 0); refused != nil {
		t.Fatal(refused)
	}
	if refused := a.Hold(budget, budget/2); refused != nil {
		t.Fatalf("a request alone is refused: %v", refused)
	}
	refused := b.Hold(1, 0)
	if refused == nil || refused.Reason != otlp.ReasonRateLimited || refused.RetryAfter <= 0 {
		t.Fatalf("a second request above the share is %v", refused)
	}
	a.Free(budget)
	a.Free(budget / 2)
	if refused := b.Hold(1, 0); refused != nil {
		t.Fatal(refused)
	}
	b.Free(1)
	a.End()
	b.End()
	if held := r.known["a"].held.Load(); held != 0 {
		t.Fatalf("%d bytes are still held", held)
	}
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := registry(t, func(c *Config) { c.Defaults.ItemsPerSecond = 10 })
		if refused := send(t, r, "a", 1000, 1); refused != nil {
			t.Fatal(refused)
		}
		if refusal(r, "a") != otlp.ReasonRateLimited {
			t.Fatal("the debt is not known")
		}
		c := DefaultConfig()
		c.Defaults.ItemsPerSecond = 1000
		apply := r.Prepare(c)
		if refusal(r, "a") != otlp.ReasonRateLimited {
			t.Fatal("prepared is not applied")
		}
		apply()
		if refusal(r, "a") != otlp.ReasonRateLimited {
			t.Fatal("what was spent is forgotten")
		}
		time.Sleep(1500 * time.Millisecond)
		if refusal(r, "a") != "" {
			t.Fatal("the new rate does not hold")
		}
		r.Prepare(DefaultConfig())()
		for range 100 {
			if refused := send(t, r, "a", 1e6, 1e6); refused != nil {
				t.Fatalf("without a limit: %v", refused)
			}
		}
	})
}

// However many names arrive, what is remembered and what has a label is bounded.
func TestManyNames(t *testing.T) {
	r, reg := registry(t, func(c *Config) { c.MaxLabels = 3; c.Overrides = []Override{{Name: "listed"}} })
	for i := range maxKnown + 500 {
		if got := refusal(r, fmt.Sprintf("t%d", i)); got != "" {
			t.Fatal(got)
		}
	}
	send(t, r, "listed", 5, 5)
	if n := len(r.known); n > maxKnown {
		t.Errorf("%d tenants are remembered", n)
	}
	n, err := testutil.GatherAndCount(reg, "penstock_tenant_accepted_bytes_total")
	if err != nil || n != 5 {
		t.Errorf("%d labels, %v: want t0 to t2, listed and (others)", n, err)
	}
}

func TestConcurrent(t *testing.T) {
	r, _ := registry(t, func(c *Config) { c.Defaults.ItemsPerSecond = 1e6 })
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 500 {
				p, refused := r.Enter(nil, []string{fmt.Sprintf("t%d", k%7)}, otlp.Traces)
				if refused != nil {
					continue
				}
				if p.Hold(100, 0) == nil {
					p.Spend(10, 100)
					p.Free(100)
				}
				p.End()
				if i == 0 && k%100 == 0 {
					r.Prepare(DefaultConfig())()
				}
			}
		})
	}
	wg.Wait()
	for name, x := range r.known {
		if x.held.Load() != 0 || x.passes.Load() != 0 {
			t.Errorf("%s holds %d bytes in %d requests", name, x.held.Load(), x.passes.Load())
		}
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"header":                        func(c *Config) { c.Header = "a b" },
		"max_labels":                    func(c *Config) { c.MaxLabels = -1 },
		"defaults.items_burst":          func(c *Config) { c.Defaults.ItemsBurst = 1 },
		"defaults.bytes_burst":          func(c *Config) { c.Defaults.BytesBurst = 1 },
		"defaults.signals[0]":           func(c *Config) { c.Defaults.Signals = []string{"x"} },
		"defaults.max_in_flight_bytes":  func(c *Config) { c.Defaults.MaxInFlightBytes = -1 },
		"overrides[0].name":             func(c *Config) { c.Overrides = []Override{{Name: "a b"}} },
		"overrides[1].name":             func(c *Config) { c.Overrides = []Override{{Name: "a"}, {Name: "a"}} },
		"overrides[0].items_per_second": func(c *Config) { c.Overrides = []Override{{Name: "a", ItemsPerSecond: ptr(-1)}} },
		"listed_only":                   func(c *Config) { c.ListedOnly = true },
	} {
		c := DefaultConfig()
		change(&c)
		var problems config.Problems
		if err := config.Validate(&c); !errors.As(err, &problems) || problems[0].Key != want {
			t.Errorf("want a problem of %s, got %v", want, err)
		}
	}
	c := DefaultConfig()
	c.Defaults.ItemsPerSecond = 5
	c.Overrides = []Override{{Name: "a", ItemsBurst: ptr(100)}} // a burst of the defaults' rate
	if err := config.Validate(&c); err != nil {
		t.Error(err)
	}
}
