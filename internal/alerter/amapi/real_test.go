package amapi_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// amtool runs the real one, of Debian's package prometheus-alertmanager.
func (r *replica) amtool(args ...string) string {
	r.t.Helper()
	path, err := exec.LookPath("amtool")
	if err != nil {
		r.t.Fatalf("this test is asked by amtool: install Debian's package prometheus-alertmanager, as scripts/test.sh does: %v", err)
	}
	cmd := exec.CommandContext(r.t.Context(), path, append([]string{"--alertmanager.url=" + r.url, "--no-version-check"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+r.t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("amtool %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestAmtool(t *testing.T) {
	r, _, _ := started(t)
	r.amtool("alert", "add", "Disk", "node=a b", "severity=critical", "--annotation=summary=it is full", "--generator-url=http://x.example/graph")
	r.amtool("alert", "add", "alertname=Disk", "node=c", "--end="+time.Now().Add(time.Hour).Format(time.RFC3339))
	f := func(want []string, args ...string) {
		t.Helper()
		var list []struct {
			Labels map[string]string
			Status struct{ State string }
		}
		out := r.amtool(append(args, "--output=json")...)
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got := map[string]bool{}
		for _, a := range list {
			got[a.Labels["node"]+" "+a.Status.State] = true
		}
		if len(got) != len(want) {
			t.Errorf("%q: %v, want %q", args, got, want)
		}
		for _, w := range want {
			if !got[w] {
				t.Errorf("%q: %v, want %q", args, got, want)
			}
		}
	}
	f([]string{"a b active", "c active"}, "alert", "query")
	f([]string{"a b active"}, "alert", "query", "Disk", `node=~"a.*"`)
	f([]string{"a b active"}, "alert", "query", "--receiver=pager")
	f(nil, "alert", "query", "Other")
	if out := r.amtool("alert", "query", "--output=extended", "node=a b"); !strings.Contains(out, "it is full") || !strings.Contains(out, "http://x.example/graph") {
		t.Error(out)
	}

	id := strings.TrimSpace(r.amtool("silence", "add", "alertname=Disk", "node=c", "--author=ann", "--comment=is being replaced", "--duration=2h"))
	f([]string{"a b active"}, "alert", "query")
	f([]string{"c suppressed"}, "alert", "query", "--silenced")
	if out := r.amtool("silence", "query"); !strings.Contains(out, id) || !strings.Contains(out, "is being replaced") {
		t.Error(out)
	}
	if out := r.amtool("silence", "query", "--quiet", "node=c"); strings.TrimSpace(out) != id {
		t.Errorf("%q, want %s", out, id)
	}
	if out := r.amtool("silence", "query", "--quiet", "node=d"); strings.TrimSpace(out) != "" {
		t.Error(out)
	}
	r.amtool("silence", "update", "--duration=3h", "--comment=takes longer", id)
	if s := r.state.Silences(); len(s) != 1 || s[0].Comment != "takes longer" || s[0].Ends.Sub(s[0].Starts) < 2*time.Hour+30*time.Minute {
		t.Errorf("%+v", s)
	}
	r.amtool("silence", "expire", id)
	f([]string{"a b active", "c active"}, "alert", "query")
	if out := r.amtool("silence", "query", "--expired"); !strings.Contains(out, id) {
		t.Error(out)
	}

	if out := r.amtool("config", "show"); !strings.Contains(out, "receiver: pager") || strings.Contains(out, "hush") {
		t.Error(out)
	}
	if out := r.amtool("cluster", "show"); !strings.Contains(out, "disabled") {
		t.Error(out)
	}
}

// runPrometheus runs the real one, of Debian's package of that name, until the test ends.
func runPrometheus(t *testing.T, config string) {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("this test has a real Prometheus send its alerts: install Debian's package prometheus, as scripts/test.sh does: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	const rules = `groups: [{name: g, interval: 1s, rules: [{alert: Hot, expr: 'temperature > 30', labels: {severity: critical}, annotations: {summary: 'it has {{ $value }} degrees'}}]}]`
	if err := os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--rules.alert.resend-delay=1s")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // ended by us
		_ = log.Close()
		if b, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("prometheus said:\n%s", b)
		}
	})
}

// TestPrometheusSendsItsAlerts: they appear, live on as long as they are sent, and
// resolve when it says so.
func TestPrometheusSendsItsAlerts(t *testing.T) {
	r, _, _ := started(t)
	var hot atomic.Int64
	hot.Store(35)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "temperature %d\n", hot.Load()) //nolint:errcheck // to a scraper
	}))
	t.Cleanup(target.Close)
	host := func(url string) string { return strings.TrimPrefix(url, "http://") }
	runPrometheus(t, fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs: [{job_name: oven, static_configs: [{targets: [%q]}]}]
alerting: {alertmanagers: [{api_version: v2, static_configs: [{targets: [%q]}]}]}
`, host(target.URL), host(r.url)))
	firing := func() []alerts.Alert { return r.state.Alerts(alerts.Filter{States: []string{alerts.Firing}}) }
	r.eventually("the alert of Prometheus fires", func() bool { return len(firing()) == 1 })
	a := firing()[0]
	if a.Rule != "Hot" || a.Labels.Get("job") != "oven" || a.Annotations.Get("summary") != "it has 35 degrees" || !strings.Contains(a.Source, "/graph?g0.expr=temperature") || a.Group == "" {
		t.Errorf("%+v", a)
	}
	r.eventually("its end moves, as it is sent again", func() bool {
		r.round()
		b, ok := r.state.Alert(a.Key)
		return ok && b.EndsAt.After(a.EndsAt)
	})
	hot.Store(20)
	r.eventually("it resolves", func() bool { return len(firing()) == 0 })
	if b, _ := r.state.Alert(a.Key); b.ResolvedAt.IsZero() {
		t.Errorf("%+v", b)
	}
	hot.Store(40)
	r.eventually("it fires again", func() bool { return len(firing()) == 1 })
}
