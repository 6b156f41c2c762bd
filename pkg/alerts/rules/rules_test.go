package rules_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/pkg/alerts/rules"
)

var update = flag.Bool("update", false, "write the golden files")

// names are simple ones: those of Prometheus are tested where they are.
type names struct{}

func (names) Metric(name, unit, kind string) (string, error) {
	if strings.HasPrefix(name, "bad") {
		return "", errors.New("no such name")
	}
	name = strings.ReplaceAll(name, ".", "_")
	if s := map[string]string{"1": "_ratio", "s": "_seconds", "ms": "_milliseconds"}[unit]; s != "" {
		name += s
	}
	if kind == rules.Counter {
		name += "_total"
	}
	return name, nil
}

func (names) Label(name string) (string, error) { return strings.ReplaceAll(name, ".", "_"), nil }

func TestTheShortFormBecomesPrometheusOwn(t *testing.T) {
	text, err := os.ReadFile("testdata/short.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, from, err := rules.Text("short.yaml", text, names{})
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/short.want.yaml", got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/short.want.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	again, _, err := rules.Text("short.yaml", text, names{})
	if err != nil || !bytes.Equal(got, again) {
		t.Errorf("another text the second time: %v", err)
	}
	if s := from["shop"]; len(s) != 16 || s[6] != s[7] || s[6] != (rules.Source{Line: 26, Index: 7}) {
		t.Errorf("sources: %v", s)
	}
	if s := from["shop every 1m"]; len(s) != 2 || s[0].Index != 8 {
		t.Errorf("sources: %v", s)
	}
}

func TestPrometheusOwnFormIsGivenBack(t *testing.T) {
	for _, text := range []string{"", "groups: []", "groups:\n- name: a\n  rules: [{alert: A, expr: up}]\n", "\t", "rules: []\ngroups: []", "- rules"} {
		got, from, err := rules.Text("a.yaml", []byte(text), names{})
		if err != nil || string(got) != text || from != nil {
			t.Errorf("%q: %q, %v, %v", text, got, from, err)
		}
	}
}

// Every problem has its line, its rule and what to do.
func TestProblems(t *testing.T) {
	f := func(rule, want string) {
		t.Helper()
		_, _, err := rules.Text("f.yaml", []byte("name: n\nrules:\n- {alert: Fine, metric: up, op: eq, threshold: 0}\n- "+rule+"\n"), names{})
		var all rules.Problems
		if !errors.As(err, &all) {
			t.Errorf("%s: %v", rule, err)
			return
		}
		if s := err.Error(); !strings.HasPrefix(s, "f.yaml:4: rule 2 ") || !strings.Contains(s, want) {
			t.Errorf("%s: %s, want %q", rule, s, want)
		}
	}
	f("{metric: up, op: eq, threshold: 0}", "say what the alert is called")
	f("{alert: A, op: eq, threshold: 0}", "say which metric is looked at")
	f("{alert: A, metric: up, threshold: 0}", "want gt, gte, lt, lte, eq or ne")
	f("{alert: A, metric: up, op: eq}", "say what the value is compared with")
	f("{alert: A, metric: up, op: eq, threshold: many}", "has to be a number")
	f("{alert: A, metric: up, op: eq, threshold: 1 or vector(1)}", "has to be a number")
	f("{alert: A, metric: up, op: eq, threshold: 5parsec}", "unknown unit")
	f("{alert: A, metric: up, op: eq, threshold: 5s}", "say the metric's unit")
	f("{alert: A, metric: wait_seconds, op: eq, threshold: 5MiB}", "another unit than the metric")
	f(`{alert: A, metric: wait, unit: "{x}", type: gauge, op: eq, threshold: 5MiB}`, "another unit than the metric")
	f("{alert: A, metric: wait_seconds, agg: count, group_by: [], op: eq, threshold: 5s}", "number of observations")
	f("{alert: A, metric: up, op: eq, threshold: 0, window: 5}", "has to be a duration")
	f("{alert: A, metric: up, op: eq, threshold: 0, agg: max, window: 0s}", "has to be a duration")
	f("{alert: A, metric: up, op: eq, threshold: 0, every: 0s}", "has to be a duration")
	f("{alert: A, metric: up, op: eq, threshold: 0, for: soon}", "has to be a duration")
	f("{alert: A, metric: up, op: eq, threshold: 0, on_absent: call}", "want ok, hold or fire")
	f("{alert: A, metric: up, op: eq, threshold: 0, severity: a, labels: {severity: b}}", "severity is there twice")
	f("{alert: A, metric: up, op: eq, threshold: 0, summary: a, annotations: {summary: b}}", "summary is there twice")
	f("{alert: A, metric: up, op: eq, threshold: 0, type: number}", "want one of gauge")
	f("{alert: A, metric: up, op: eq, threshold: 0, agg: median}", "agg \"median\" is unknown")
	f("{alert: A, metric: up, op: eq, threshold: 0, agg: avg}", "needs a window")
	f("{alert: A, metric: up, op: eq, threshold: 0, agg: sum}", "needs group_by")
	f("{alert: A, metric: up, op: eq, threshold: 0, agg: last}", "takes no group_by")
	f("{alert: A, metric: up, op: eq, threshold: 0, agg: rate}", "is not for a gauge")
	f("{alert: A, metric: up, op: eq, threshold: 0, window: 5m}", "need agg")
	f("{alert: A, metric: a_total, op: eq, threshold: 0}", "a counter needs a window")
	f("{alert: A, metric: a_total, op: eq, threshold: 0, window: 5m, agg: max}", "needs group_by")
	f("{alert: A, metric: a_total, op: eq, threshold: 0, window: 5m, agg: last}", "is not for a counter")
	f("{alert: A, metric: a, op: eq, threshold: 0, agg: p99}", "a histogram needs a window")
	f("{alert: A, metric: a, type: histogram, op: eq, threshold: 0, window: 5m}", "is not for a histogram")
	f("{alert: A, metric: a_bucket, op: eq, threshold: 0, window: 5m, agg: p99}", "leave out _bucket")
	f("{alert: A, metric: a.b, op: eq, threshold: 0}", "is a name of OTLP")
	f("{alert: A, metric: a.b, unit: s, op: eq, threshold: 0}", "it needs type as well")
	f("{alert: A, metric: bad.b, unit: s, type: gauge, op: eq, threshold: 0}", "no such name")
	f("{alert: A, metric: 'a} or {b', unit: s, type: gauge, op: eq, threshold: 0}", "cannot be written in a rule")
	f("{alert: A, metric: a, where: {'a-b': c}, op: eq, threshold: 0}", "cannot be the name of a label")
	f("{alert: A, metric: a, where: {a: []}, op: eq, threshold: 0}", "has no value")
	f("{alert: A, metric: a, agg: sum, group_by: ['a) (b'], op: eq, threshold: 0}", "cannot be the name of a label")
	f("{alert: A, metric: a, op: eq, threshold: 0, sum: b}", "unknown key \"sum\"")
	f("{alert: A, metric: a, op: eq, threshold: 0, group_by: b}", "cannot unmarshal")
	f("just text", "has to be a mapping")
}

func TestProblemsOfAFile(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, _, err := rules.Text("f.yaml", []byte(text), names{})
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	f("rules: {}", "f.yaml:1: rules has to be a list")
	f("rules: []\nrule: []", `f.yaml:2: unknown key "rule": a file of the short form has name and rules`)
	f("name: ''\nrules: []", "f.yaml:1: name has to be a text: it names the group of the rules")
	f("rules: []\n---\nrules: []", "f.yaml:2: has a second YAML document: put all rules into one")
	_, _, err := rules.Text("f.yaml", []byte("rules:\n- {alert: A}\n- {alert: B}\n"), names{})
	var all rules.Problems
	if !errors.As(err, &all) || len(all) != 4 {
		t.Errorf("not every problem is told: %v", err)
	}
}

// What is in a value stays a value.
func FuzzText(f *testing.F) {
	f.Add(`a"}`, "x", "5m", "1")
	f.Add("\\", "{{", "1d", "80%")
	f.Fuzz(func(t *testing.T, value, label, window, limit string) {
		text := fmt.Sprintf("rules:\n- {alert: A, metric: m_ratio, where: {%q: %q}, agg: max, window: %q, op: gt, threshold: %q}\n", label, value, window, limit)
		got, _, err := rules.Text("f.yaml", []byte(text), names{})
		if err == nil && !rules.IsShort(got) && !bytes.Contains(got, []byte("max_over_time(m_ratio{")) {
			t.Errorf("%s", got)
		}
	})
}

func TestPredefined(t *testing.T) {
	list := rules.Predefined()
	seen := map[string]bool{}
	for _, s := range list {
		if seen[s.Name] || s.About == "" || len(s.Text) == 0 || s.File() != "predefined:"+s.Name {
			t.Errorf("%+v", s)
		}
		seen[s.Name] = true
	}
	if len(list) != 7 || !list[0].Default || list[6].Default || list[3].Default {
		t.Errorf("%d sets", len(list))
	}
}

func TestFind(t *testing.T) {
	if s, ok, err := rules.Find("predefined:memory"); !ok || err != nil || s.Name != "memory" {
		t.Errorf("%+v, %t, %v", s, ok, err)
	}
	if _, ok, err := rules.Find("rules/memory.yaml"); ok || err != nil {
		t.Errorf("a path: %t, %v", ok, err)
	}
	if _, _, err := rules.Find("predefined:nothing"); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("%v", err)
	}
}
