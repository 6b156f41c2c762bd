package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/hindsight"
)

// fileBlock is a file that a page has the reader make.
var fileBlock = regexp.MustCompile("(?s)\n```yaml file=(\\S+)\n(.*?)```")

var rulesLine = regexp.MustCompile(`(?m)^\$ penstock (rules (?:check|test|print) .*)$`)

// TestThePageOfRulesWorks makes its files and runs its commands, but for those that
// need a queue.
func TestThePageOfRulesWorks(t *testing.T) {
	page, err := os.ReadFile("../../docs/alerting-rules.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	files := fileBlock.FindAllStringSubmatch(string(page), -1)
	for _, m := range files {
		write(t, m[1], m[2])
	}
	lines := rulesLine.FindAllStringSubmatch(string(page), -1)
	for _, m := range lines {
		wants(t, 0, `.`, `^$`, strings.Fields(m[1])...)
	}
	if len(files) != 2 || len(lines) != 4 {
		t.Errorf("found %d files and %d commands", len(files), len(lines))
	}
}

func TestRulesWithoutAQueue(t *testing.T) {
	dir := t.TempDir()
	name := func(file string) string { return filepath.Join(dir, file) }
	write(t, name("good.yaml"), "groups:\n- name: g\n  rules:\n  - {alert: A, expr: up == 0}\n")
	write(t, name("bad.yaml"), "groups:\n- name: g\n  rules:\n  - {alert: A, expr: up ==}\n  - {alert: B, expr: '(up'}\n")
	write(t, name("short.yaml"), "rules:\n- {alert: A, metric: up, op: eq, threshold: many}\n")
	write(t, name("raw.yaml"), "groups:\n- name: g\n  rules:\n  - {alert: A, expr: x_total > 1}\n")
	write(t, name("good_test.yaml"), "rule_files: [good.yaml, none.yaml]\ntests:\n- name: night\n  alert_rule_test: [{alertname: A, eval_time: 1m}]\n")
	write(t, name("bad_test.yaml"), "rule_files: [good.yaml]\ntests:\n- name: day\n  input_series: [{series: up, values: 0x5}]\n  alert_rule_test: [{alertname: A, eval_time: 1m}]\n")

	f := func(code int, out, errOut string, args ...string) {
		t.Helper()
		wants(t, code, out, errOut, append([]string{"rules"}, args...)...)
	}
	f(0, `^1 file, 1 group, 1 rule: 0 errors, 0 warnings, 0 notes\nnot checked: names .*set queue.url`, `^$`, "check", name("good.yaml"))
	f(0, `--offline`, ``, "check", "--offline", "--queue-url", "nats://127.0.0.1:1", name("good.yaml"))
	f(0, `note: queue.shards is 4: deltas of one series may be swapped`, ``, "check", "--set", "queue.shards=4", name("good.yaml"))
	f(1, `error: .*bad.yaml:4:\d+: group "g", rule 1 "A": (?s:.*)bad.yaml:5:.*rule 2 "B"`, `2 errors in rule files`, "check", name("good.yaml"), name("bad.yaml"))
	f(1, `short.yaml:2: rule 1 "A": threshold "many" has to be a number`, `1 error `, "check", name("short.yaml"))
	f(1, `no such file`, `1 error `, "check", name("nothing.yaml"))
	f(0, `warning: .*raw.yaml:4: A: compares the value of the counter`, ``, "check", name("raw.yaml"))
	f(3, `warning: `, `1 warning about rules`, "check", "--strict", name("raw.yaml"))
	f(0, `"rules": 1,(?s:.*)"not_checked"(?s:.*)"line": 4,`, ``, "check", "-o", "json", name("raw.yaml"))
	f(0, `6 files, 6 groups, 21 rules: 0 errors, 0 warnings`, ``, "check", "predefined:cpu", "predefined:memory", "predefined:latency", "predefined:errors", "predefined:throughput", "predefined:penstock")
	f(2, ``, `no predefined rules "gpu", want one of cpu, memory`, "check", "predefined:gpu")
	f(2, ``, `output is "xml"`, "check", "-o", "xml", name("good.yaml"))
	f(2, ``, `--since`, "check", "--since", "yesterday", name("good.yaml"))
	f(2, ``, `--max-series is 0`, "check", "--max-series", "0", name("good.yaml"))
	f(2, ``, `queue.shards`, "check", "--set", "queue.shards=0", name("good.yaml"))

	f(0, `good_test.yaml: 1 test passed\n  warning: rule_files: no file fits`, `^$`, "test", name("good_test.yaml"))
	f(1, `bad_test.yaml: 1 of 1 test failed\n  day\n    alert A, at 1m:\n      want nothing`, `1 of 2 tests failed`, "test", name("good_test.yaml"), name("bad_test.yaml"))
	f(1, `"failures": \[`, ``, "test", "-o", "json", name("bad_test.yaml"))
	f(1, ``, `no test was run`, "test", "--run", "noon", name("bad_test.yaml"))
	f(2, ``, `--run`, "test", "--run", "(", name("bad_test.yaml"))
	f(2, ``, `output`, "test", "-o", "xml", name("bad_test.yaml"))
	f(1, ``, `nothing_test.yaml`, "test", name("nothing_test.yaml"))

	f(0, `alert: LowThroughput\n +expr: absent_over_time(?s:.*)\n---\ngroups:`, ``, "print", "predefined:throughput", name("good.yaml"))
	f(1, ``, `bad.yaml:4`, "print", name("bad.yaml"))

	f(2, ``, `set queue.url`, "try", name("good.yaml"))
	f(2, ``, `not before`, "try", "--since", "1h", "--until", "2h", name("good.yaml"))
	f(2, ``, `--until`, "try", "--until", "soon", name("good.yaml"))
	f(2, ``, `--query-offset`, "try", "--query-offset", "0s", name("good.yaml"))
	f(2, ``, `--max-series`, "try", "--max-series", "-1", name("good.yaml"))
	f(2, ``, `output`, "try", "-o", "xml", name("good.yaml"))
	f(1, ``, `bad.yaml:4`, "try", name("bad.yaml"))
	f(2, ``, `lisen`, "try", "--set", "gateway.grpc.lisen=x", name("good.yaml"))
}

// TestRulesOfAQueue asks a gateway's history.
func TestRulesOfAQueue(t *testing.T) {
	dir := t.TempDir()
	nats, grpc, admin := freePort(t), freePort(t), freePort(t)
	starts(t, "gateway", "--queue-dir", filepath.Join(dir, "data"), "--set", "queue.max_bytes=64MiB", "--set", "queue.durability=process", "--set", "queue.token=t0ken",
		"--queue-listen", nats, "--grpc-listen", grpc, "--http-listen", "127.0.0.1:0", "--admin-listen", admin)
	ready(t, admin)
	wants(t, 0, `accepted`, ``, "send", "--target", grpc, "--signal", "metrics", "--count", "2000")
	time.Sleep(2 * time.Second) // slots come by the second
	file := filepath.Join(dir, "rules.yaml")
	write(t, file, `groups:
- name: g
  interval: 1s
  rules:
  - {alert: Known, expr: 'max by (messaging_destination_name) (queue_depth) > -1', labels: {severity: critical}}
  - {alert: Never, expr: queue_depth > 1e12}
  - {alert: Waits, expr: queue_depth > -1, for: 1h}
  - {alert: Typo, expr: queue_dept > 5}
  - {alert: Part, expr: process_cpu_utilization_ratio > 80}
`)
	queue := []string{"--queue-url", "nats://" + nats, "--set", "queue.token=t0ken", "--since", "5m"}
	args := func(verb string, more ...string) []string {
		return append(append([]string{"rules", verb}, queue...), append(more, file)...)
	}

	r := reads[hindsight.Report](t, args("try", "--query-offset", "100ms")...)
	fired := map[string]int{}
	for _, a := range r.Alerts {
		fired[a.Rule]++
		if a.Labels.Get("messaging_destination_name") == "" || a.Labels.Get("severity") != "critical" || !a.ResolvedAt.IsZero() || time.Since(a.FiredAt) > 5*time.Minute {
			t.Errorf("%+v", a)
		}
	}
	if fired["Known"] == 0 || len(fired) != 1 || r.Samples == 0 || len(r.Rules) != 5 {
		t.Errorf("%+v", r)
	}
	wants(t, 0, `would have fired; nobody was told\n\nFIRED +FOR(?s:.*)still +critical +Known +messaging_destination_name="(?s:.*)Waits +0 +– .*not for long enough`, ``, args("try", "--query-offset", "100ms")...)

	v := wants(t, 0, `warning: .*rules.yaml:8: Typo: queue_dept did not come within 5m0s; is queue_depth meant\?(?s:.*)Part: compares process_cpu_utilization_ratio with 80(?s:.*)metrics came; the rules read(?s:.*)RULE +SERIES`, ``, args("check")...)
	if strings.Contains(v, "not checked") {
		t.Error(v)
	}
	wants(t, 3, ``, `2 warnings about rules`, args("check", "--strict")...)
	wants(t, 0, `"metrics_seen": \d+`, ``, args("check", "-o", "json")...)
	wants(t, 1, ``, `(?i)authorization|token`, "rules", "try", "--queue-url", "nats://"+nats, "--set", "queue.token=wrong", file)
}

// TestWhatIsShownOfATry has more than fits, and what telemetry may bring.
func TestWhatIsShownOfATry(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := &hindsight.Report{From: at, Until: at.Add(time.Hour), LeftOut: 7, Read: hindsight.Read{Tenants: []string{"a"}, Notes: []string{"purged"}, Dropped: map[string]int{"future": 3}},
		Rules: []hindsight.Rule{{Name: "A", Fired: 1, Failed: 2, Error: "bad\x1b"}}}
	for range 105 {
		r.Alerts = append(r.Alerts, hindsight.Alert{Rule: "A", Tenant: "a", FiredAt: at, ResolvedAt: at.Add(90 * time.Second)})
	}
	var b bytes.Buffer
	if err := tryText(&b, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"note: purged\n", "note: 3 samples were left out as future\n", "112 alerts would have fired", "1m30s", "–", "and 12 more; -o json has up to 10,000", `failed 2 times: "bad\x1b"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("an escape reaches the terminal")
	}
	p := hindsight.Progress{From: at, At: at.Add(30 * time.Minute), Until: at.Add(time.Hour), Samples: 12345}
	if got := readingLine(p, 80); !strings.HasPrefix(got, "[############............] 50 %  at 2026-03-01") || !strings.HasSuffix(got, "12.3k samples") {
		t.Errorf("%q", got)
	}
	if got := readingLine(p, 50); strings.Contains(got, "[") {
		t.Errorf("%q", got)
	}
	var out bytes.Buffer
	tell := tellReading(&live{terminal: true, width: 80, out: &out})
	tell(p)
	tell(p) // too soon
	if n := strings.Count(out.String(), "50 %"); n != 1 {
		t.Errorf("told %d times", n)
	}
	list, _ := completeRules(nil, nil, "")
	if len(list) != 7 || !strings.HasPrefix(list[0], "predefined:cpu\t") {
		t.Errorf("%q", list)
	}
}
