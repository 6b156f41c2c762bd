package alerter

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// TestWhatAStepSaw is in the metrics.
func TestWhatAStepSaw(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, now := NewMetrics(reg), time.Now()
	s := sight{status: map[alerts.Status]int{}}
	s.add(&alerts.Incident{Status: alerts.Open, Firing: []alerts.Key{"a", "b"}}, now.Add(time.Minute), now)
	s.add(&alerts.Incident{Status: alerts.Open, Firing: []alerts.Key{"c"}}, now.Add(-30*time.Second), now)
	s.add(&alerts.Incident{Status: alerts.Taken, Firing: []alerts.Key{"d"}}, time.Time{}, now)
	s.add(&alerts.Incident{Status: alerts.Closed}, now.Add(-time.Hour), now)
	m.saw(s)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, x := range f.GetMetric() {
			name := f.GetName()
			for _, l := range x.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = x.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{"incidents open": 2, "incidents acked": 1, "firing_alerts": 4, "escalation_timers": 2, "escalation_late_seconds": 30} {
		if got["penstock_alerter_"+name] != want {
			t.Errorf("%s is %v, want %v", name, got["penstock_alerter_"+name], want)
		}
	}
}
