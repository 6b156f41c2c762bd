package promrules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := promrules.NewMetrics(reg)
	r := newRig(t, group(`
  - {alert: Busy, expr: load > 80, annotations: {penstock_on_absent: hold}}
  - {record: broken, expr: 'load * on () load'}
`), func(o *promrules.Options) { o.Metrics, o.MaxSeries = m, 3 })
	r.append(metrics(gauge("load", point{r.now, 90, "a"})))
	r.evaluate()
	r.now = r.now.Add(time.Minute) // three slots are passed over
	r.try(metrics(gauge("load", point{r.now, 10, "b"}, point{r.now, 10, "c"}, point{r.now, 10, "d"}, point{r.now.Add(-time.Hour), 90, "b"})))
	if ev := r.evaluate(); len(ev.Failed) != 1 {
		t.Fatalf("%+v", ev)
	}
	r.now = r.now.Add(5 * time.Minute)
	r.append(metrics(gauge("load", point{r.now, 10, "c"})))
	r.evaluate()
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP penstock_alerter_rules_dropped_samples_total Samples of metrics that rules name which were left out, by reason: too_old, future, out_of_order, duplicate (of one time, with another value), not_finite, negative_delta, label_limit, series_limit, delta_refused (earlier than one of its series before it), invalid.
# TYPE penstock_alerter_rules_dropped_samples_total counter
penstock_alerter_rules_dropped_samples_total{reason="delta_refused"} 0
penstock_alerter_rules_dropped_samples_total{reason="duplicate"} 0
penstock_alerter_rules_dropped_samples_total{reason="future"} 0
penstock_alerter_rules_dropped_samples_total{reason="invalid"} 0
penstock_alerter_rules_dropped_samples_total{reason="label_limit"} 0
penstock_alerter_rules_dropped_samples_total{reason="negative_delta"} 0
penstock_alerter_rules_dropped_samples_total{reason="not_finite"} 0
penstock_alerter_rules_dropped_samples_total{reason="out_of_order"} 0
penstock_alerter_rules_dropped_samples_total{reason="series_limit"} 1
penstock_alerter_rules_dropped_samples_total{reason="too_old"} 1
# HELP penstock_alerter_rules_evaluations_total Evaluations of rule groups, by outcome: ok, failed (a rule of it), cut (the process stopped).
# TYPE penstock_alerter_rules_evaluations_total counter
penstock_alerter_rules_evaluations_total{outcome="cut"} 0
penstock_alerter_rules_evaluations_total{outcome="failed"} 1
penstock_alerter_rules_evaluations_total{outcome="ok"} 2
# HELP penstock_alerter_rules_held_alerts Alerts that go on without data, because their rules say so (on_absent: hold).
# TYPE penstock_alerter_rules_held_alerts gauge
penstock_alerter_rules_held_alerts 1
# HELP penstock_alerter_rules_missed_slots_total Slots of rule groups that were passed over.
# TYPE penstock_alerter_rules_missed_slots_total counter
penstock_alerter_rules_missed_slots_total 22
# HELP penstock_alerter_rules_refused_series_total Times that a series was not made because of the limit, by what it is of: metrics, results (of rules).
# TYPE penstock_alerter_rules_refused_series_total counter
penstock_alerter_rules_refused_series_total{of="metrics"} 1
penstock_alerter_rules_refused_series_total{of="results"} 0
# HELP penstock_alerter_rules_failures_total Rules that could not be evaluated at a slot; their alerts stay as they are.
# TYPE penstock_alerter_rules_failures_total counter
penstock_alerter_rules_failures_total 1
# HELP penstock_alerter_rules_samples_total Samples stored for rules.
# TYPE penstock_alerter_rules_samples_total counter
penstock_alerter_rules_samples_total 4
# HELP penstock_alerter_rules_series Series that are held for rules, by what they are of: metrics, results (of rules).
# TYPE penstock_alerter_rules_series gauge
penstock_alerter_rules_series{of="metrics"} 3
penstock_alerter_rules_series{of="results"} 3
`), "penstock_alerter_rules_dropped_samples_total", "penstock_alerter_rules_evaluations_total", "penstock_alerter_rules_held_alerts", "penstock_alerter_rules_missed_slots_total",
		"penstock_alerter_rules_refused_series_total", "penstock_alerter_rules_failures_total", "penstock_alerter_rules_samples_total", "penstock_alerter_rules_series"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
