package ampush_test

import (
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerter/amapi"
	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// alertmanager runs the real one, of Debian's package prometheus-alertmanager, until
// the test ends.
func alertmanager(t *testing.T) (url string) {
	t.Helper()
	path, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Fatalf("this test pushes to a real Alertmanager: install Debian's package prometheus-alertmanager, as scripts/test.sh does: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "am.yml"), []byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), 0o600); err != nil {
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
	cmd := exec.Command(path, "--config.file="+filepath.Join(dir, "am.yml"), "--storage.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--cluster.listen-address=")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // ended by us
		_ = log.Close()
		if b, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("alertmanager said:\n%s", b)
		}
	})
	return "http://" + addr
}

// jobsOf are the jobs of the alerts that fire at an Alertmanager; nil: it does not answer.
func jobsOf(t *testing.T, url string) map[string]bool {
	resp, err := http.Get(url + "/api/v2/alerts")
	if err != nil {
		return nil // not yet
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	var list []struct{ Labels map[string]string }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	jobs := map[string]bool{}
	for _, a := range list {
		jobs[a.Labels["job"]] = true
	}
	return jobs
}

// TestARealAlertmanager has what fires, and no more what has resolved.
func TestARealAlertmanager(t *testing.T) {
	s := begin(t)
	url := alertmanager(t)
	s.finds("", time.Now().Add(-time.Minute), "x", "y")
	s.push(500*time.Millisecond, alerting.Alertmanager{Name: "am", URL: url})
	s.eventually("both fire there", func() bool { j := jobsOf(t, url); return j["x"] && j["y"] })
	s.finds("", time.Now().Add(-time.Second), "x")
	s.eventually("one has resolved there", func() bool { j := jobsOf(t, url); return j["x"] && !j["y"] })
	s.leads.Store(false)
	s.eventually("what nobody pushes ends there", func() bool { j := jobsOf(t, url); return j != nil && len(j) == 0 })
}

// serve answers below /api/v2 for a story.
func (s *story) serve() string {
	s.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	config, err := amnotify.Default(nil, quiet)
	if err != nil {
		s.t.Fatal(err)
	}
	server := httptest.NewServer(amapi.New(amapi.Options{State: s.state, Log: s.log, Metrics: amapi.NewMetrics(prometheus.NewRegistry()), Logger: quiet,
		PolicyOf: func(string, alerts.Labels) alerts.Policy { return alerts.Policy{} }, Config: func() *amnotify.Config { return config },
		Tenant: func(*http.Request) string { return "" }, Actor: func(*http.Request) string { return "" }, Leads: func() bool { return true }}))
	s.t.Cleanup(server.Close)
	return server.URL
}

// TestTwoThatPushToEachOther tell each alert once, and none comes back after its end.
func TestTwoThatPushToEachOther(t *testing.T) {
	a, b := begin(t), begin(t)
	toA, toB := a.serve(), b.serve()
	witness, toWitness := hears(t)
	a.finds("", time.Now().Add(-time.Minute), "x")
	a.push(50*time.Millisecond, alerting.Alertmanager{Name: "b", URL: toB})
	b.push(50*time.Millisecond, alerting.Alertmanager{Name: "a", URL: toA}, alerting.Alertmanager{Name: "witness", URL: toWitness})
	firing := func(s *story) []alerts.Alert { return s.state.Alerts(alerts.Filter{States: []string{alerts.Firing}}) }
	a.eventually("the other one has it", func() bool { return len(firing(b)) == 1 })
	if x := firing(b)[0]; !x.Pushed || x.File != alerts.SourceExternal {
		t.Errorf("%+v", x)
	}
	b.finds("", time.Now().Add(-time.Minute), "own")
	a.eventually("what is its own is pushed back", func() bool { return len(firing(a)) == 2 })
	a.finds("", time.Now().Add(-time.Second))
	a.eventually("it ends at both", func() bool { return len(firing(a)) == 1 && len(firing(b)) == 1 })
	before := witness.requests()
	a.eventually("twenty intervals later", func() bool { return witness.requests() > before+20 })
	if len(firing(a)) != 1 || len(firing(b)) != 1 {
		t.Errorf("%+v\n%+v", firing(a), firing(b))
	}
	if jobs := witness.jobs(); len(jobs) != 1 || jobs["own"] {
		t.Errorf("%v is pushed on: want what is its own", jobs)
	}
}
