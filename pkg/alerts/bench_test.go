package alerts_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// many is an evaluation of n firing alerts.
func many(n int) alerts.Evaluation {
	e := alerts.Evaluation{Tenant: "blue", File: "f", Group: "g", At: noon, Evaluated: []string{"A"}}
	for i := range n {
		_, l := find(fmt.Sprintf("A job=j%d instance=host-%d severity=warning", i%100, i))
		e.Active = append(e.Active, alerts.Finding{Rule: "A", Labels: l, Firing: true})
	}
	return e
}

// BenchmarkTransitions is what an evaluation costs in which n alerts fire on: most do.
func BenchmarkTransitions(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, e := alerts.NewState(), many(n)
			policy := func(string, alerts.Labels) alerts.Policy { return alerts.Policy{Name: "p", GroupBy: []string{"job"}} }
			s.Apply(alerts.Entry{At: 1, StoredAt: noon, Events: s.Transitions(e, policy, noon)})
			b.ReportAllocs()
			for b.Loop() {
				e.At = e.At.Add(time.Second)
				if events := s.Transitions(e, policy, noon); events != nil {
					b.Fatal(len(events))
				}
			}
		})
	}
}

// BenchmarkApply is what one alert costs that fires and resolves among 10,000 others.
func BenchmarkApply(b *testing.B) {
	s, e := alerts.NewState(), many(10_000)
	policy := func(string, alerts.Labels) alerts.Policy {
		return alerts.Policy{Name: "p", GroupBy: []string{"job"}, Reopen: time.Hour}
	}
	s.Apply(alerts.Entry{At: 1, StoredAt: noon, Events: s.Transitions(e, policy, noon)})
	one := many(1)
	one.Group, one.Active[0].Labels = "other", alerts.LabelsOf(alerts.Label{Name: "alertname", Value: "one"})
	now := noon
	b.ReportAllocs()
	for n := uint64(1); b.Loop(); {
		one.Active = one.Active[:cap(one.Active)]
		for range 2 {
			now = now.Add(time.Second)
			one.At, n = now, n+1
			events := s.Transitions(one, policy, now)
			if len(events) == 0 {
				b.Fatal("nothing")
			}
			s.Apply(alerts.Entry{At: n, StoredAt: now, Events: events})
			one.Active = one.Active[:0]
		}
	}
}
