package promrules_test

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"
)

const busy = `
  - alert: Busy
    expr: load > 80
    for: 5m
    labels: {severity: critical, team: '{{ $labels.where }}-team'}
    annotations: {summary: '{{ $labels.where }} is at {{ $value | printf "%.0f" }} %'}
`

// load feeds a gauge: 90 from one offset until another, else 10.
func load(from, until time.Duration) func(time.Time) []byte {
	return func(at time.Time) []byte {
		v := 10.0
		if d := at.Sub(epoch); d >= from && d < until {
			v = 90
		}
		return metrics(gauge("load", point{at, v, "a"}))
	}
}

func TestForCountsFromTheFirstSlotThatHeld(t *testing.T) {
	r := newRig(t, group(busy))
	equal(t, r.run(12*time.Minute, load(time.Minute, 10*time.Minute)), []string{
		"1m0s pending Busy where=a", "6m0s firing Busy where=a", "10m0s gone Busy where=a",
	})
}

func TestAShortPeakIsNoAlert(t *testing.T) {
	r := newRig(t, group(busy))
	equal(t, r.run(12*time.Minute, load(time.Minute, 5*time.Minute+45*time.Second)), []string{
		"1m0s pending Busy where=a", "5m45s gone Busy where=a",
	})
}

func TestKeepFiringFor(t *testing.T) {
	r := newRig(t, group("  - {alert: Kept, expr: load > 80, for: 1m, keep_firing_for: 3m}"))
	equal(t, r.run(7*time.Minute, load(0, 2*time.Minute)), []string{
		"0s pending Kept where=a", "1m0s firing Kept where=a", "5m0s gone Kept where=a",
	})
}

func TestTemplatesLabelsAndValues(t *testing.T) {
	r := newRig(t, group(busy))
	r.run(6*time.Minute, load(time.Minute, time.Hour))
	r.now = r.now.Add(-time.Second) // the clock stands a slot further
	ev := r.evaluate()
	if len(ev.Active) != 1 {
		t.Fatalf("%+v", ev)
	}
	a := ev.Active[0]
	for name, want := range map[string]string{
		"alertname": "Busy", "severity": "critical", "team": "a-team", "where": "a", "job": "shop", "__name__": "",
	} {
		if got := a.Labels.Get(name); got != want {
			t.Errorf("label %s is %q, want %q", name, got, want)
		}
	}
	if got := a.Annotations.Get("summary"); got != "a is at 90 %" {
		t.Errorf("summary is %q", got)
	}
	if a.Value != 90 || !a.ActiveAt.Equal(epoch.Add(time.Minute)) || !a.FiredAt.Equal(epoch.Add(6*time.Minute)) {
		t.Errorf("%+v", a)
	}
}

func TestRecordingRulesAndTheSeriesOfAlerts(t *testing.T) {
	r := newRig(t, group(`
  - {record: "where:load:avg1m", expr: "avg by (where) (avg_over_time(load[1m]))"}
  - {alert: Mean, expr: "where:load:avg1m > 80"}
  - {alert: Meta, expr: 'count(ALERTS{alertname="Mean",alertstate="firing"}) > 0', for: 30s}
`))
	equal(t, r.run(5*time.Minute, load(time.Minute, 3*time.Minute)), []string{
		"1m45s firing Mean where=a", "1m45s pending Meta", "2m15s firing Meta", "3m0s gone Mean where=a", "3m0s gone Meta",
	})
}

func histogram(at time.Time, n int) func(pmetric.MetricSlice) {
	return func(list pmetric.MetricSlice) {
		m := list.AppendEmpty()
		m.SetName("http.server.request.duration")
		m.SetUnit("s")
		h := m.SetEmptyHistogram()
		h.SetAggregationTemporality(cumulative)
		p := h.DataPoints().AppendEmpty()
		stamp(p, at)
		p.ExplicitBounds().FromRaw([]float64{0.05, 0.1, 0.5})
		slow := uint64(0)
		if at.Sub(epoch) > 2*time.Minute {
			slow = uint64(n) - 900 // what came until then was fast
		}
		p.BucketCounts().FromRaw([]uint64{uint64(n) - slow, 0, slow, 0})
		p.SetCount(uint64(n))
		p.SetSum(float64(n) * 0.01)
	}
}

func TestClassicHistogram(t *testing.T) {
	r := newRig(t, group(`  - {alert: P99, expr: "histogram_quantile(0.99, sum by (le) (rate(http_server_request_duration_seconds_bucket[1m]))) > 0.1", for: 1m}`))
	n := 0
	equal(t, r.run(5*time.Minute, func(at time.Time) []byte {
		n += 100
		return metrics(histogram(at, n))
	}), []string{"2m15s pending P99", "3m15s firing P99"})
}

func TestExponentialHistogram(t *testing.T) {
	r := newRig(t, group(`  - {alert: P99, expr: "histogram_quantile(0.99, sum(rate(latency_seconds[1m]))) > 0.1", for: 1m}`))
	fast, slow := uint64(0), uint64(0)
	equal(t, r.run(5*time.Minute, func(at time.Time) []byte {
		if at.Sub(epoch) > 2*time.Minute {
			slow += 100
		} else {
			fast += 100
		}
		return metrics(func(list pmetric.MetricSlice) {
			m := list.AppendEmpty()
			m.SetName("latency")
			m.SetUnit("s")
			h := m.SetEmptyExponentialHistogram()
			h.SetAggregationTemporality(cumulative)
			p := h.DataPoints().AppendEmpty()
			stamp(p, at)
			p.SetScale(0)
			p.Positive().SetOffset(-7) // (1/128, 1/64] and on
			p.Positive().BucketCounts().FromRaw([]uint64{fast, 0, 0, 0, 0, 0, slow})
			p.SetCount(fast + slow)
			p.SetSum(1)
		})
	}), []string{"2m15s pending P99", "3m15s firing P99"})
}

// The newest exemplar of the series that fires, and not of another.
func TestTheTraceOfAnAlert(t *testing.T) {
	r := newRig(t, group("  - {alert: Slow, expr: 'avg by (where) (avg_over_time(wait[1m])) > 5', for: 30s, labels: {job: rule}}"))
	for i := range 4 {
		r.append(metrics(func(list pmetric.MetricSlice) {
			m := list.AppendEmpty()
			m.SetName("wait")
			s := m.SetEmptySum()
			s.SetIsMonotonic(false)
			s.SetAggregationTemporality(cumulative)
			put(s.DataPoints(), []point{{r.now, 9, "a"}, {r.now, 1, "b"}}, epoch)
			for n := range 2 {
				x := s.DataPoints().At(n).Exemplars().AppendEmpty()
				x.SetTimestamp(s.DataPoints().At(n).Timestamp())
				x.SetTraceID([16]byte{byte(n + 1), byte(i)})
				x.SetDoubleValue(9)
			}
		}))
		ev := r.evaluate()
		if len(ev.Active) != 1 {
			t.Fatalf("%+v", ev)
		}
		want := ""
		if i == 2 { // when it fires
			want = "01020000000000000000000000000000"
		}
		if got := ev.Active[0].Trace; got != want {
			t.Errorf("step %d: trace %q, want %q", i, got, want)
		}
		r.now = r.now.Add(15 * time.Second)
	}
}
