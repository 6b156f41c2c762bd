package promrules_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/pkg/alerts/rules"
)

// promtool runs the real one, of Debian's package prometheus.
func promtool(t *testing.T, file string) (passed bool, out string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("these tests compare with promtool: install Debian's package prometheus, as scripts/test.sh does: %v", err)
	}
	b, err := exec.CommandContext(t.Context(), path, "test", "rules", file).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return err == nil, string(b)
}

func runTests(t *testing.T, file string) *promrules.TestReport {
	t.Helper()
	r, err := promrules.RunTests(t.Context(), file, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func corpora(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/parity/*_test.yaml")
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	return files
}

func TestRealRuleFilesAsInPromtool(t *testing.T) {
	for _, file := range corpora(t) {
		if passed, out := promtool(t, file); !passed {
			t.Errorf("promtool: %s", out)
		}
		for _, one := range runTests(t, file).Tests {
			for _, f := range one.Failures {
				t.Errorf("%s: %s: %s", file, one.Name, f)
			}
		}
	}
}

// verdicts are the alerts that a tool did not find as expected.
type verdicts map[string]bool

var failedAlert = regexp.MustCompile(`name: ([^\n]*),\s+alertname: (\S+), time: (\S+),`)

// Every test is asked again with what it expects at one time expected at each time:
// both have to find the alert at the same ones, and neither at others.
func TestAlertsAtTheSameTimesAsInPromtool(t *testing.T) {
	for _, file := range corpora(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		asked := sweep(doc)
		dir := t.TempDir()
		rules, err := filepath.Abs(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		doc["rule_files"] = []string{filepath.Join(rules, strings.TrimSuffix(filepath.Base(file), "_test.yaml")+".yaml")}
		swept, err := yaml.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "sweep.yaml")
		if err := os.WriteFile(path, swept, 0o600); err != nil {
			t.Fatal(err)
		}

		theirs := verdicts{}
		_, out := promtool(t, path)
		for _, m := range failedAlert.FindAllStringSubmatch(out, -1) {
			theirs[m[1]+", alert "+m[2]+", at "+m[3]] = true
		}
		ours := verdicts{}
		for _, one := range runTests(t, path).Tests {
			for _, f := range one.Failures {
				first, _, _ := strings.Cut(f, ":\n")
				ours[one.Name+", "+first] = true
			}
		}
		if len(theirs) < 100 || len(theirs) >= asked {
			t.Fatalf("%s: promtool did not find %d of %d: the test asks for the wrong things\n%.2000s", file, len(theirs), asked, out)
		}
		t.Logf("%s: %d questions, %d answered with no by both", filepath.Base(file), asked, len(ours))
		for _, k := range slices.Sorted(maps.Keys(theirs)) {
			if !ours[k] {
				t.Errorf("%s: only promtool does not find as expected: %s", file, k)
			}
		}
		for _, k := range slices.Sorted(maps.Keys(ours)) {
			if !theirs[k] {
				t.Errorf("%s: only Penstock does not find as expected: %s", file, k)
			}
		}
	}
}

// sweep makes each question about an alert one about every minute, and returns how
// many there are. Samples come a tenth of a second before the minute: up to version
// 2, of which Debian's promtool is, a sample that is exactly as old as a window is
// long belonged to it.
func sweep(doc map[string]any) (asked int) {
	for _, one := range doc["tests"].([]any) {
		test := one.(map[string]any)
		delete(test, "promql_expr_test")
		step, err := time.ParseDuration(test["interval"].(string))
		if err != nil {
			return 0
		}
		test["interval"] = strconv.Itoa(int((step - 100*time.Millisecond).Milliseconds())) + "ms"
		for _, x := range test["input_series"].([]any) {
			series := x.(map[string]any)
			series["values"] = "_ " + fmt.Sprint(series["values"])
		}
		var all []any
		seen := map[string]bool{}
		questions, _ := test["alert_rule_test"].([]any) // some ask for values alone
		for _, a := range questions {
			a := a.(map[string]any)
			name := a["alertname"].(string)
			if a["exp_alerts"] == nil || seen[name] {
				continue
			}
			seen[name] = true
			for minute := range 90 {
				at := maps.Clone(a)
				at["eval_time"] = clock(minute).String()
				all = append(all, at)
			}
		}
		if len(all) == 0 {
			test["alert_rule_test"] = []any{}
		} else {
			test["alert_rule_test"] = all
		}
		asked += len(all)
	}
	tests := doc["tests"].([]any)
	doc["tests"] = slices.DeleteFunc(tests, func(x any) bool { return len(x.(map[string]any)["alert_rule_test"].([]any)) == 0 })
	return asked
}

// clock writes minutes as promtool does.
type clock int

func (m clock) String() string {
	switch h, min := m/60, m%60; {
	case m == 0:
		return "0s"
	case min == 0:
		return strconv.Itoa(int(h)) + "h"
	case h == 0:
		return strconv.Itoa(int(min)) + "m"
	default:
		return strconv.Itoa(int(h)) + "h" + strconv.Itoa(int(min)) + "m"
	}
}

func TestPredefinedRulesHaveTestsThatPass(t *testing.T) {
	dir := t.TempDir()
	for _, set := range rules.Predefined() {
		tests := "../../../pkg/alerts/rules/predefined/" + set.Name + "_test.yaml"
		report := runTests(t, tests)
		if len(report.Tests) == 0 {
			t.Errorf("%s has no tests", tests)
		}
		for _, one := range report.Tests {
			for _, f := range one.Failures {
				t.Errorf("%s: %s: %s", set.Name, one.Name, f)
			}
		}
		// The same in promtool, which knows no short form.
		f, err := promrules.Parse(set.Name+".yaml", set.Text)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(tests)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{set.Name + ".yaml": f.Text(), set.Name + "_test.yaml": text} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if bytes.Contains(text, []byte("{{schema:")) {
			continue // native histograms in tests came later than the promtool of Debian
		}
		if passed, out := promtool(t, filepath.Join(dir, set.Name+"_test.yaml")); !passed {
			t.Errorf("promtool: %s", out)
		}
	}
}
