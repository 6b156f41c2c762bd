package role

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerter"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/reload"
	"github.com/penstock-otel/penstock/internal/settings"
)

// phone is a receiver of webhooks.
type phone struct {
	mu    sync.Mutex
	heard []string // mu; as "firing Hot"
}

func (p *phone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Alerts []struct {
			Status string            `json:"status"`
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range body.Alerts {
		p.heard = append(p.heard, a.Status+" "+a.Labels["alertname"])
	}
}

func (p *phone) has(what string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.heard, what)
}

// post sends one gauge to the HTTP port of a gateway.
func post(t *testing.T, addr string, value float64) {
	t.Helper()
	body := fmt.Sprintf(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"temperature","gauge":{"dataPoints":[{"asDouble":%g,"timeUnixNano":"%d"}]}}]}]}]}`, value, time.Now().UnixNano())
	res, err := http.Post("http://"+addr+"/v1/metrics", "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the gateway answers %s", res.Status)
	}
}

const hotRule = `groups: [{name: g, interval: 1s, rules: [{alert: %s, expr: 'temperature > %d', labels: {severity: critical}}]}]
`

// TestUpAlerts has one process take a metric, find it too high and tell a receiver;
// its rules change by a reload, though no key of the configuration does; and its
// metrics are all in the reference.
func TestUpAlerts(t *testing.T) {
	heard := &phone{}
	hook := httptest.NewServer(heard)
	defer hook.Close()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	routes := write("alertmanager.yml", fmt.Sprintf("route: {receiver: hook, group_by: [alertname], group_wait: 10ms, group_interval: 200ms}\nreceivers: [{name: hook, webhook_configs: [{url: %q}]}]\n", hook.URL))
	rules := write("hot.yaml", fmt.Sprintf(hotRule, "Hot", 30))
	p, _ := process(t, "alerter.alertmanager="+routes, "alerter.query_offset=500ms", "alerter.rules="+rules)
	p.Read = func() (*settings.Settings, *config.Loaded, error) { return p.Settings, p.Loaded, nil }
	up := make(chan Running, 1)
	r := start(t, func(ctx context.Context) error { return Up(ctx, p, func(r Running) { up <- r }) })
	at := <-up
	ready := func() bool { _, err := admin.Get(t.Context(), at.Admin, "/readyz"); return err == nil }
	eventually(t, "it is ready", ready)
	feed := func(value float64, until string) {
		t.Helper()
		eventually(t, until, func() bool { post(t, at.HTTP, value); time.Sleep(200 * time.Millisecond); return heard.has(until) })
	}
	feed(40, "firing Hot")
	if a := again(t, at.Admin); a.Outcome != reload.Unchanged {
		t.Errorf("a reload of the same: %+v", a)
	}
	write("hot.yaml", fmt.Sprintf(hotRule, "Warm", 10))
	if a := again(t, at.Admin); a.Outcome != reload.Applied || !slices.Equal(a.Applied, []string{"files of the alerter"}) {
		t.Errorf("a reload of other rules: %+v", a)
	}
	feed(20, "firing Warm")
	feed(20, "resolved Hot")
	write("hot.yaml", "groups: [{name: g, rules: [{alert: B, expr: '1 +'}]}]")
	if a := again(t, at.Admin); a.Outcome != reload.Refused || !strings.Contains(a.Text(), "hot.yaml") {
		t.Errorf("a reload of bad rules: %+v", a)
	}
	feed(0, "resolved Warm")
	status, err := admin.Get(t.Context(), at.Admin, "/api/v1/status")
	if err != nil || !bytes.Contains(status, []byte(`"watermark"`)) {
		t.Errorf("%v: the status has no alerter: %s", err, status)
	}
	var page bytes.Buffer
	if err := MetricsReference(&page, func(r prometheus.Registerer) { alerter.NewAllMetrics(r) }); err != nil {
		t.Fatal(err)
	}
	families, err := at.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range families {
		if name := f.GetName(); strings.HasPrefix(name, "penstock_alerter_") {
			if n++; !strings.Contains(page.String(), "`"+name+"`") {
				t.Errorf("%s is not in the reference", name)
			}
		}
	}
	if n < 20 {
		t.Errorf("the process has %d metrics of the alerter", n)
	}
	r.end(t)
}

// What cannot run says so at the start.
func TestAnAlerterIsConfiguredInVain(t *testing.T) {
	p, _ := process(t, "alerter.rules=/nowhere/*.yaml")
	if err := Up(t.Context(), p, nil); err == nil || !strings.Contains(err.Error(), "alerter.rules") {
		t.Errorf("rules that are not there: %v", err)
	}
	p, _ = process(t, "alerter.rules=predefined:cpu")
	p.Alerter = nil
	if err := Up(t.Context(), p, nil); err == nil || !strings.Contains(err.Error(), "BUG") {
		t.Errorf("a program without one: %v", err)
	}
	var c alerting.Config
	if c.Enabled() {
		t.Error("nothing is configured, and it runs")
	}
}

func TestRank(t *testing.T) {
	one := func(id string, alerts bool, s fleet.State) fleet.Sighting {
		return fleet.Sighting{Process: fleet.Process{ID: id, Alerts: alerts}, State: s}
	}
	seen := []fleet.Sighting{one("a", true, fleet.Alive), one("b", false, fleet.Alive), one("c", true, fleet.IsGone), one("d", true, fleet.IsLate), one("e", true, fleet.Alive), one("f", true, fleet.Alive)}
	for id, want := range map[string]int{"a": 0, "e": 2, "f": 3} {
		if got := rankOf(seen, id); got != want {
			t.Errorf("%s has rank %d, want %d", id, got, want)
		}
	}
}
