package tenant

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// Whatever a header says, the tenant is one that the identity may speak for and
// whose name is safe in a header, a label and a key; or there is an answer.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"", "a", "team-a", "a|b", "../x", "(none)", "(others)", "*", "a,b", "ä", "\x00", strings.Repeat("x", 64), "A.b_C-9", "-", ".."} {
		f.Add(s, s, "own")
	}
	f.Fuzz(func(t *testing.T, first, second, own string) {
		for _, who := range []*identity.Identity{nil, {Tenant: own}, {Tenant: own, SpeaksFor: []string{identity.AnyTenant}}, {SpeaksFor: []string{second}}} {
			name, refusal := nameOf(who, []string{first, second})
			switch {
			case refusal != nil:
				if name != "" || refusal.Reason != otlp.ReasonMalformed && refusal.Reason != otlp.ReasonPermissionDenied {
					t.Fatalf("%q, %v", name, refusal)
				}
			case who != nil && !who.Speaks(name):
				t.Fatalf("%q may not be named by %+v", name, who)
			case name != "" && (who == nil || name != who.Tenant) && identity.CheckTenant(name) != nil:
				t.Fatalf("%q is no name", name)
			case name == "*" || name == LabelNone || name == LabelOthers:
				if who == nil || name != who.Tenant {
					t.Fatalf("%q stands for something else", name)
				}
			}
		}
	})
}

// visits makes one admitted request as the receiver makes it.
func visits(tb testing.TB) func() {
	c := DefaultConfig()
	c.Defaults.ItemsPerSecond, c.Defaults.BytesPerSecond = 1<<40, config.ByteSize(1)<<50
	r := New(c, budget, NewMetrics(prometheus.NewRegistry()))
	named := []string{"team"}
	return func() {
		p, refusal := r.Enter(nil, named, otlp.Traces)
		if refusal != nil {
			tb.Fatal(refusal)
		}
		if refusal := p.Hold(1000, 0); refusal != nil {
			tb.Fatal(refusal)
		}
		p.Spend(100, 1000)
		p.Accepted(100, 1000)
		p.Free(1000)
		p.End()
	}
}

func TestEnterAllocatesNothing(t *testing.T) {
	visit := visits(t)
	visit()
	if n := testing.AllocsPerRun(100, visit); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkEnter(b *testing.B) {
	visit := visits(b)
	b.ReportAllocs()
	for b.Loop() {
		visit()
	}
}
