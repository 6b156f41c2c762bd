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

// daemon runs a program of a Debian package until the test ends.
func daemon(t *testing.T, program, debian string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("this test has a real %s send its alerts: install Debian's package %s, as scripts/test.sh does: %v", program, debian, err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // ended by us
		_ = log.Close()
		if b, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s said:\n%s", program, b)
		}
	})
}

// freeAddr is one that nobody listened on a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

const hotRules = `groups: [{name: g, interval: 1s, rules: [{alert: Hot, expr: 'temperature > 30', labels: {severity: critical}, annotations: {summary: 'it has {{ $value }} degrees'}}]}]`

func file(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runPrometheus runs the real one, of Debian's package of that name.
func runPrometheus(t *testing.T, config string) (addr string) {
	t.Helper()
	addr = freeAddr(t)
	daemon(t, "prometheus", "prometheus", "--config.file="+file(t, "prometheus.yml", config), "--storage.tsdb.path="+t.TempDir(), "--web.listen-address="+addr, "--rules.alert.resend-delay=1s")
	return addr
}

// oven is what is scraped; its temperature can be changed.
func oven(t *testing.T, degrees int64) (host string, hot *atomic.Int64) {
	t.Helper()
	hot = new(atomic.Int64)
	hot.Store(degrees)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "temperature %d\n", hot.Load()) //nolint:errcheck // to a scraper
	}))
	t.Cleanup(target.Close)
	return strings.TrimPrefix(target.URL, "http://"), hot
}

// TestVmalertSendsItsAlerts: as Prometheus, whose data it evaluates here.
func TestVmalertSendsItsAlerts(t *testing.T) {
	r, _, _ := started(t)
	host, hot := oven(t, 35)
	data := runPrometheus(t, fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: oven, static_configs: [{targets: [%q]}]}]\n", host))
	daemon(t, "vmalert", "victoria-metrics", "-rule="+file(t, "rules.yml", hotRules), "-datasource.url=http://"+data, "-notifier.url="+r.url, "-evaluationInterval=1s", "-httpListenAddr="+freeAddr(t))
	firing := func() []alerts.Alert { return r.state.Alerts(alerts.Filter{States: []string{alerts.Firing}}) }
	r.eventually("the alert of vmalert fires", func() bool { return len(firing()) == 1 })
	if a := firing()[0]; a.Rule != "Hot" || a.Labels.Get("job") != "oven" || a.Labels.Get("severity") != "critical" || a.Annotations.Get("summary") != "it has 35 degrees" {
		t.Errorf("%+v", a)
	}
	hot.Store(20)
	r.eventually("it resolves", func() bool { return len(firing()) == 0 })
}

// TestPrometheusSendsItsAlerts: they appear, live on as long as they are sent, and
// resolve when it says so.
func TestPrometheusSendsItsAlerts(t *testing.T) {
	r, _, _ := started(t)
	host, hot := oven(t, 35)
	runPrometheus(t, fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs: [{job_name: oven, static_configs: [{targets: [%q]}]}]
alerting: {alertmanagers: [{api_version: v2, static_configs: [{targets: [%q]}]}]}
`, file(t, "rules.yml", hotRules), host, strings.TrimPrefix(r.url, "http://")))
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
