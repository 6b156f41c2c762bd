package journal

import (
	"fmt"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// BenchmarkSnapshot is of 10,000 alerts that fire, each an incident.
func BenchmarkSnapshot(b *testing.B) {
	s, now := alerts.NewState(), time.Now()
	e := alerts.Evaluation{Tenant: "blue", File: "f", Group: "g", At: now, Evaluated: []string{"A"}}
	for n := range 10_000 {
		e.Active = append(e.Active, alerts.Finding{Rule: "A", Firing: true, Annotations: alerts.LabelsOf(alerts.Label{Name: "summary", Value: fmt.Sprintf("host-%d is too hot", n)}),
			Labels: alerts.LabelsOf(alerts.Label{Name: "alertname", Value: "A"}, alerts.Label{Name: "instance", Value: fmt.Sprintf("host-%d", n)})})
	}
	p := alerts.Policy{Name: "p", GroupBy: []string{"..."}, Levels: []alerts.Level{{Targets: []string{"x"}, While: alerts.Unacked}}}
	s.Apply(alerts.Entry{At: 1, StoredAt: now, Events: s.Transitions(e, func(string, alerts.Labels) alerts.Policy { return p }, now)})
	b.ReportAllocs()
	size, parts := 0, 0
	for b.Loop() {
		list, err := encodeSnapshot(s.Snapshot())
		if err != nil {
			b.Fatal(err)
		}
		var whole []byte
		for _, part := range list {
			whole = append(whole, part...)
		}
		size, parts = len(whole), len(list)
		snap, err := decodeSnapshot(snapshotCodec, whole)
		if err != nil {
			b.Fatal(err)
		}
		alerts.NewState().Apply(alerts.Entry{At: 1, StoredAt: now, Snapshot: snap})
	}
	b.ReportMetric(float64(size), "bytes")
	b.ReportMetric(float64(parts), "parts")
}
