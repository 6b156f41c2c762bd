package promrules_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
)

func TestEveryProblemIsToldWithItsPlace(t *testing.T) {
	_, err := promrules.Parse("bad.yaml", []byte(`groups:
- name: one
  rules:
  - alert: Fine
    expr: up == 0
  - alert: Typo
    expr: rate(up[5m) > 1
  - record: mean
    expr: avg(up)
    for: 5m
- name: one
  rules: []
`))
	var all promrules.Problems
	if !errors.As(err, &all) || len(all) != 3 {
		t.Fatalf("%v", err)
	}
	for i, want := range []promrules.Problem{
		{File: "bad.yaml", Group: "one", Rule: "Typo", Index: 2, Line: 7, Column: 11},
		{File: "bad.yaml", Group: "one", Rule: "mean", Index: 3, Line: 8, Column: 13},
		{File: "bad.yaml"}, // upstream does not know the line of a group
	} {
		got := *all[i]
		got.Text = ""
		if got != want {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	}
	if s := all[0].Error(); !strings.HasPrefix(s, `bad.yaml:7:11: group "one", rule 2 "Typo": could not parse expression: `) {
		t.Error(s)
	}
}

func TestFilesThatAreNotTaken(t *testing.T) {
	for text, want := range map[string]string{
		"groups: [{name: a, rulez: []}]": "rulez",
		"groups: []\n---\ngroups: []":    "second YAML document",
		"groups: [{name: a, rules: [{alert: X, expr: up, annotations: {s: '{{ $labels'}}]}]": "annotation",
		"\t": "bad.yaml",
		strings.Repeat("#", promrules.MaxFileBytes+1): "split it",
	} {
		if _, err := promrules.Parse("bad.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
	if _, err := promrules.Parse("empty.yaml", nil); err != nil {
		t.Error(err)
	}
}

func TestNeeds(t *testing.T) {
	const lookback = 5 * time.Minute
	for _, c := range []struct {
		rules string
		want  promrules.Needs
	}{
		{`  - {alert: A, expr: up == 0}`, promrules.Needs{Names: []string{"up"}, Range: lookback}},
		{`  - {alert: A, expr: up == 0, for: 10m, keep_firing_for: 5m}`, promrules.Needs{Names: []string{"up"}, Range: lookback + 15*time.Minute}},
		{`  - {alert: A, expr: "rate(a_total[10m]) / rate({__name__=\"b.total\"}[1m] offset 20m) > 1"}`,
			promrules.Needs{Names: []string{"a_total", "b.total"}, Range: 21 * time.Minute}},
		{`  - {alert: A, expr: "max_over_time(rate(a[5m])[1h:1m] offset 1d) > 1"}`, promrules.Needs{Names: []string{"a"}, Range: 25*time.Hour + 5*time.Minute}},
		{`  - {alert: A, expr: "a offset -1h > 1"}`, promrules.Needs{Names: []string{"a"}, Range: lookback}},
		{"  - {record: m, expr: \"sum_over_time(a[1h])\"}\n  - {record: n, expr: \"max_over_time(m[2h])\"}\n  - {alert: A, expr: n > 1, for: 30m}",
			promrules.Needs{Names: []string{"a", "m", "n"}, Range: lookback + 3*time.Hour + 30*time.Minute}},
		{"  - {record: m, expr: \"m or a\"}", promrules.Needs{Names: []string{"a", "m"}, Range: 2 * lookback}},
		{`  - {alert: A, expr: "{job=\"x\"} > 1 or up"}`, promrules.Needs{Names: []string{"up"}, All: true, Broad: []string{"g/A"}, Range: lookback}},
		{`  - {alert: A, expr: "{__name__=~\"a|b\"} > 1"}`, promrules.Needs{All: true, Broad: []string{"g/A"}, Range: lookback}},
		{"  - {alert: A, expr: up, annotations: {s: '{{ with query \"sum(a{x=\\\"y\\\"})\" }}{{ . | first | value }}{{ end }} query b'}}",
			promrules.Needs{Names: []string{"a", "up"}, Range: lookback}},
		{"  - {alert: A, expr: up, annotations: {s: '{{ range printf \"a{x=%q}\" $labels.x | query }}{{ end }}'}}",
			promrules.Needs{Names: []string{"up"}, All: true, Broad: []string{"g/A"}, Range: lookback}},
		{`  - {alert: A, expr: vector(1)}`, promrules.Needs{}},
	} {
		got := promrules.NeedsOf([]*promrules.File{parse(t, "n.yaml", group(c.rules))}, lookback)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", c.rules, got, c.want)
		}
	}
}

func TestWants(t *testing.T) {
	r := newRig(t, group(`
  - {alert: A, expr: "system_cpu_utilization_ratio > 0.8"}
  - {alert: B, expr: "rate(http_requests_total[5m]) > 1"}
  - {alert: C, expr: "histogram_quantile(0.99, rate(http_server_request_duration_seconds_bucket[5m])) > 1"}
  - {alert: D, expr: "histogram_quantile(0.99, rate(latency_seconds[5m])) > 1"}
`))
	f := func(name, unit string, kind promrules.Kind, want bool) {
		t.Helper()
		for range 2 { // learned, and known
			if got := r.e.Wants([]byte(name), []byte(unit), kind); got != want {
				t.Errorf("%s (%s, kind %d): %v", name, unit, kind, got)
			}
		}
	}
	f("system.cpu.utilization", "1", promrules.Gauge, true)
	f("system.cpu.utilization", "", promrules.Gauge, false)
	f("system.cpu.utilization", "1", promrules.Kind(0), false)
	f("system.cpu.utilization", "1", promrules.Kind(99), false)
	f("http.requests", "", promrules.MonotonicSum, true)
	f("http.requests", "", promrules.Gauge, false)
	f("http.server.request.duration", "s", promrules.Histogram, true)
	f("http.server.request.duration", "ms", promrules.Histogram, false)
	f("latency", "s", promrules.ExponentialHistogram, true)
	f("other", "", promrules.Gauge, false)
	name, unit := []byte("http.server.request.duration"), []byte("s")
	if n := testing.AllocsPerRun(100, func() { r.e.Wants(name, unit, promrules.Histogram) }); n != 0 {
		t.Errorf("%v allocations for a name that is known", n)
	}
	r.load(group(`  - {alert: A, expr: other > 1}`))
	f("other", "", promrules.Gauge, true)
	f("latency", "s", promrules.ExponentialHistogram, false)
	r.load(group(everything))
	f("whatever", "", promrules.Summary, true)
}
