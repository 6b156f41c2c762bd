package hindsight_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/penstock-otel/penstock/internal/alerter/hindsight"
)

// said are the findings about a rule, with their levels.
func said(v *hindsight.Verdict, rule string) (list []string) {
	for _, f := range v.Findings {
		if f.Rule == rule {
			list = append(list, f.Level+": "+f.Text)
		}
	}
	return list
}

func TestWhatRulesAloneTell(t *testing.T) {
	v := hindsight.Static(parse(t, `groups:
- name: g
  rules:
  - {alert: Fine, expr: 'rate(http_requests_total[5m]) > 1'}
  - {alert: Any, expr: '{job="x"} > 1'}
  - {alert: Raw, expr: 'http_requests_total > 100'}
  - {alert: Sum, expr: 'max by (job) (http_requests_total) > 100'}
  - {alert: Query, expr: up > 1, annotations: {s: '{{ range printf "%s" $labels.x | query }}{{ end }}'}}
`))
	if len(v.Findings) != 4 || len(said(v, "Fine")) != 0 || v.Read != nil {
		t.Errorf("%+v", v)
	}
	for rule, want := range map[string]string{"Any": "warning: can read any metric", "Query": "warning: can read any metric", "Raw": "warning: compares the value of the counter http_requests_total", "Sum": "use rate or increase"} {
		if got := said(v, rule); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s: %q", rule, got)
		}
	}
	if f := v.Findings[0]; f.Line != 5 || f.File != "rules.yaml" || f.Group != "g" {
		t.Errorf("%+v", f)
	}
}

// feed stores a point of everything that the rules below are about.
func (r *rig) feed(at time.Duration) {
	r.put(0, "", gauge("system.cpu.utilization", "1", 0.5, "host", "a"))
	r.put(0, "red", gauge("system.cpu.utilization", "1", 0.5, "host", "b"))
	r.put(0, "", gauge("disk.used", "%", 50))
	r.put(0, "", counter("http.requests", false, float64(at)))
	r.put(0, "", counter("jobs", true, 1))
	if at%time.Minute == 0 {
		r.put(0, "", counter("slow.things", false, float64(at)))
	}
	r.put(0, "", func(list pmetric.MetricSlice) {
		m := list.AppendEmpty()
		m.SetName("rpc.duration")
		m.SetUnit("ms")
		h := m.SetEmptyHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		p := h.DataPoints().AppendEmpty()
		p.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		p.ExplicitBounds().FromRaw([]float64{100})
		p.BucketCounts().FromRaw([]uint64{1, 0})
		p.SetCount(1)
	})
	r.put(0, "", func(list pmetric.MetricSlice) {
		m := list.AppendEmpty()
		m.SetName("wait")
		m.SetUnit("s")
		h := m.SetEmptyExponentialHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		p := h.DataPoints().AppendEmpty()
		p.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		p.SetZeroCount(1)
		p.SetCount(1)
	})
}

func TestWhatTheHistoryTells(t *testing.T) {
	story(t, 1, func(t *testing.T, r *rig) {
		r.run(15*time.Minute, r.feed)
		f := func(expr string, want ...string) {
			t.Helper()
			v, err := hindsight.Check(t.Context(), r.options("groups: [{name: g, rules: [{alert: A, expr: '"+expr+"'}]}]", 0), 2)
			r.must(err)
			got := said(v, "A")
			ok := len(got) == len(want)
			for i := range min(len(got), len(want)) {
				ok = ok && strings.Contains(got[i], want[i])
			}
			if !ok {
				t.Errorf("%s: %q, want %q", expr, got, want)
			}
		}
		f("system_cpu_utilization_ratio > 0.8")
		f("1 - avg(system_cpu_utilization_ratio) > 0.8")
		f("ALERTS > 0")
		f("rate(http_requests_total[5m]) > 1")
		f("histogram_quantile(0.9, rate(rpc_duration_milliseconds_bucket[5m])) > 100")
		f("histogram_quantile(0.9, rate(wait_seconds[5m])) > 100")
		// names
		f("system_cpu_utilisation_ratio > 0.8", "warning: system_cpu_utilisation_ratio did not come within 15m0s; is system_cpu_utilization_ratio meant?")
		f("system_cpu_utilization > 0.8", `system.cpu.utilization (unit "1") comes as system_cpu_utilization_ratio`)
		f("histogram_quantile(0.9, rate(rpc_duration_seconds_bucket[5m])) > 0.1", `rpc.duration (unit "ms") comes as rpc_duration_milliseconds`)
		f("nothing_like_it > 1", "warning: nothing_like_it did not come within 15m0s")
		f("disk_used_percent > 80 or disk_used_ratio > 0.8", "note: disk_used_ratio did not come")
		f("histogram_quantile(0.9, rate(wait_seconds_bucket[5m])) > 1", "wait is an exponential histogram, which has no _bucket")
		f("rate(rpc_duration_milliseconds[5m]) > 1", "explicit buckets")
		f(`system_cpu_utilization_ratio{host="z"} > 0.8`, `no series of it is as in system_cpu_utilization_ratio{host="z"}`)
		// units
		f("system_cpu_utilization_ratio > 80", "compares system_cpu_utilization_ratio with 80, and its unit is \"1\"")
		f("80 < max by (host) (max_over_time(system_cpu_utilization_ratio[5m]))", "80 % is 0.8")
		f("disk_used_percent > 0.8", "80 % is 80")
		// windows
		f("rate(http_requests_total[15s]) > 1", "comes every 15s, so that a window of 15s never has the two samples that are needed: want 1m0s or more")
		f("increase(http_requests_total[45s]) > 1", "has gaps whenever a sample is late: want 1m0s")
		f("rate(slow_things_total[1m]) > 1", "comes every 1m0s")
		f("max_over_time(system_cpu_utilization_ratio[15s]) > 0.8")
		// deltas
		f("rate(jobs_total[5m]) > 1", "jobs_total comes as deltas and queue.shards is 2")
		f("jobs_total > 1", "compares the value of the counter", "its value means nothing", "queue.shards is 2")
	})
}

func TestWhatRulesCost(t *testing.T) {
	story(t, 1, func(t *testing.T, r *rig) {
		r.run(15*time.Minute, r.feed)
		o := r.options(`groups:
- name: g
  rules:
  - {alert: Dear, expr: 'max_over_time(system_cpu_utilization_ratio[365d]) > 0.8'}
  - {alert: Cheap, expr: 'system_cpu_utilization_ratio > 0.8'}
  - {record: made, expr: 'sum(system_cpu_utilization_ratio)'}
  - {alert: Made, expr: 'made > 2'}
`, 0)
		v, err := hindsight.Check(t.Context(), o, 1)
		r.must(err)
		if len(v.Costs) != 3 || v.Costs[0].Rule != "Dear" || v.Costs[0].Samples != 2*365*24*60*4 || v.Costs[1] != (hindsight.Cost{File: "rules.yaml", Group: "g", Rule: "Cheap", Series: 2, Samples: 2}) {
			t.Errorf("%+v", v.Costs)
		}
		if got := said(v, "Dear"); len(got) != 1 || !strings.Contains(got[0], "reads 4204800 samples") {
			t.Errorf("%q", got)
		}
		if v.Series != 2 || v.Seen != 7 || !slices.Equal(v.Read.Tenants, []string{"", "red"}) || v.Read.Samples != 120 {
			t.Errorf("%+v, %+v", v, v.Read)
		}
		o.Engine.MaxSeries = 1
		o.Files = parse(t, `groups: [{name: g, rules: [{alert: A, expr: 'disk_used_percent + system_cpu_utilization_ratio > 1'}]}]`)
		v, err = hindsight.Check(t.Context(), o, 1)
		r.must(err)
		if got := said(v, ""); len(got) != 1 || !strings.Contains(got[0], "more series than a tenant may have") {
			t.Errorf("%+v", v.Findings)
		}
	})
}
