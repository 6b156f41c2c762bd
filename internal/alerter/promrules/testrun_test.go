package promrules_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/pkg/alerts/rules"
)

// write makes files of a directory and returns the path of the first.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, files[0])
}

// What promtool has learned since the version of Debian.
func TestWhatTestsCanSay(t *testing.T) {
	path := write(t, "a_test.yaml", `
rule_files: [first.yaml, 'sh*.yaml', nothing.yaml, first.yaml]
evaluation_interval: 1m
group_eval_order: [second, first]
fuzzy_compare: true
tests:
  - name: start as text
    start_timestamp: "2024-01-01T00:00:00Z"
    external_labels: {region: eu}
    external_url: http://rules.example
    input_series:
      - {series: 'load{where="a"}', values: '1 2 99 _ stale'}
      - {series: 'load{where="a"}', values: '95x4'}
      - {series: '{"dotted.name", where="a"}', values: 1x4}
    alert_rule_test:
      - eval_time: 1m59s
        alertname: Busy
        exp_alerts:
          - exp_labels: {where: a}
            exp_annotations: {see: 'http://rules.example in eu'}
      - {eval_time: 1m, alertname: NoSuchRule}
      - eval_time: 1m
        alertname: Short
        exp_alerts: [{exp_labels: {severity: warning}, exp_annotations: {summary: "gone has no data"}}]
    promql_expr_test:
      - {expr: time(), eval_time: 0, exp_samples: [{value: 1704067200}]}
      - {expr: '{"dotted.name"}', eval_time: 1m, exp_samples: [{labels: '{"dotted.name", where="a"}', value: 1}]}
      - {expr: 'load * 0.1 + 0.1 + 0.1', eval_time: 1m, exp_samples: [{labels: '{where="a"}', value: 9.7}]}
      - {expr: after, eval_time: 1m, exp_samples: [{labels: after, value: 0}]}
  - name: start as a number, and histograms
    interval: 15s
    start_timestamp: 1609459200.5
    input_series:
      - {series: h, values: '{{schema:1 sum:4 count:2 buckets:[1 1]}}x4'}
    promql_expr_test:
      - {expr: time(), eval_time: 15s, exp_samples: [{value: 1609459215.5}]}
      - {expr: h, eval_time: 0, exp_samples: [{labels: h, histogram: '{{schema:1 sum:4 count:2 buckets:[1 1]}}'}]}
      - {expr: 'sum_over_time(up[5m:])', eval_time: 5m}
`, "first.yaml", `
groups:
  - name: first
    rules:
      - {alert: Busy, expr: load > 90, annotations: {see: '{{ $externalURL }} in {{ $externalLabels.region }}'}}
      - {record: made, expr: sum(load)}
  - name: second
    rules:
      - {record: after, expr: made - made}
`, "short.yaml", "rules: [{alert: Short, metric: gone, op: gt, threshold: 1, on_absent: fire}]\n")
	r := runTests(t, path)
	for _, one := range r.Tests {
		for _, f := range one.Failures {
			t.Errorf("%s: %s", one.Name, f)
		}
	}
	if len(r.Tests) != 2 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "nothing.yaml") {
		t.Errorf("%+v", r)
	}
	r, err := promrules.RunTests(t.Context(), path, "", regexp.MustCompile("number"))
	if err != nil || len(r.Tests) != 1 || r.Failed() != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestWhatTestsFind(t *testing.T) {
	const rule = "groups: [{name: g, rules: [{alert: A, expr: load > 1, annotations: {s: '{{ $value }}'}}, {record: r, expr: load}]}]"
	f := func(tests, rule string, want ...string) {
		t.Helper()
		r := runTests(t, write(t, "a_test.yaml", "rule_files: [r.yaml]\ntests:\n- "+tests+"\n", "r.yaml", rule))
		if len(r.Tests) != 1 || r.Failed() != 1 || len(r.Tests[0].Failures) != len(want) {
			t.Fatalf("%s: %+v", tests, r)
		}
		for i, w := range want {
			if got := r.Tests[0].Failures[i]; !strings.Contains(got, w) {
				t.Errorf("%s: %s, want %q", tests, got, w)
			}
		}
	}
	const series = "input_series: [{series: load, values: 0 5x9}], "
	f("{"+series+"alert_rule_test: [{alertname: A, eval_time: 1m}]}", rule, `alert A, at 1m:
  want nothing
  got  {alertname="A"} annotations {s="5"}`)
	f("{"+series+"alert_rule_test: [{alertname: A, eval_time: 0, exp_alerts: [{}]}, {alertname: A, eval_time: 2m, exp_alerts: [{exp_annotations: {s: 6}}]}]}", rule,
		"got  nothing", `want {alertname="A"} annotations {s="6"}`)
	f("{"+series+"promql_expr_test: [{expr: load, eval_time: 1m, exp_samples: [{labels: load, value: 5.000000000000001}]}]}", rule, "got  {__name__=\"load\"} 5")
	f("{"+series+"promql_expr_test: [{expr: load, eval_time: 1m, exp_samples: [{labels: 'load{', value: 5}]}, {expr: 'load[', eval_time: 1m}]}", rule, "labels", "parse error")
	f("{"+series+"promql_expr_test: [{expr: load, exp_samples: [{histogram: 1}]}, {expr: load, exp_samples: [{histogram: '{{'}]}]}", rule, "has to be one histogram", "histogram")
	f("{"+series+"alert_rule_test: [{eval_time: 1m}]}", rule, "has no alertname")
	f("{input_series: [{series: 'load{', values: 1}]}", rule, "series")
	f("{alert_rule_test: [{alertname: A, eval_time: 1m}]}", "groups: [{name: g, rules: [{alert: A}]}]", "r.yaml:1:")
	f("{alert_rule_test: [{alertname: A, eval_time: 1m}]}", "rules: [{alert: A}]", "r.yaml:1: rule 1 \"A\"")
	f("{input_series: [{series: 'load{a=\"1\"}', values: 1}, {series: 'load{a=\"2\"}', values: 1}], alert_rule_test: [{alertname: A, eval_time: 5m}]}",
		"groups: [{name: g, rules: [{alert: A, expr: load + on() load}]}]", "rule A, at 0s")
}

func TestFilesThatAreNoTests(t *testing.T) {
	for text, want := range map[string]string{
		"tests: [{alert_rule_tests: []}]":          "alert_rule_tests",
		"tests: [{start_timestamp: soon}]":         "neither seconds",
		"group_eval_order: [a, b, a]":              `group "a" twice`,
		"rule_files: ['[']":                        "syntax error in pattern",
		"evaluation_interval: often":               "duration",
		"tests: [{name: a}]\ntests: [{name: b}]\n": "already defined",
	} {
		if _, err := promrules.RunTests(t.Context(), write(t, "a.yaml", text), "", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := promrules.RunTests(t.Context(), "no-such-file", "", nil); err == nil {
		t.Error("no error for a file that is not there")
	}
	if r, err := promrules.RunTests(t.Context(), write(t, "a.yaml", ""), "", nil); err != nil || len(r.Tests) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Penstock's own rules are about metrics that Penstock has.
func TestPenstockRulesNameItsOwnMetrics(t *testing.T) {
	reference, err := os.ReadFile("../../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range rules.Predefined() {
		if set.Name != "penstock" {
			continue
		}
		needs := promrules.NeedsOf([]*promrules.File{parse(t, set.File(), string(set.Text))}, 0)
		if needs.All || len(needs.Names) < 15 {
			t.Errorf("%+v", needs)
		}
		for _, name := range needs.Names {
			if !strings.Contains(string(reference), "| `"+name+"` |") {
				t.Errorf("%s is not in docs/reference/metrics.md", name)
			}
		}
	}
}
