package role

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerter"
	"github.com/penstock-otel/penstock/internal/alerting/stats"
	"github.com/penstock-otel/penstock/internal/api"
)

// linkedPhone is a receiver of webhooks that keeps the links it gets.
type linkedPhone struct {
	mu    sync.Mutex
	links []string // mu; one for each firing alert, "" where there was none
}

func (p *linkedPhone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Alerts []struct {
			Status      string            `json:"status"`
			Annotations map[string]string `json:"annotations"`
		} `json:"alerts"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range body.Alerts {
		if a.Status == "firing" {
			p.links = append(p.links, a.Annotations["ack_url"])
		}
	}
}

func (p *linkedPhone) first() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.links) == 0 {
		return ""
	}
	return p.links[0]
}

// TestAnAlertIsManaged has a process that takes a metric, evaluates a real rule and
// notifies; whoever gets that takes the incident by its link, and an operator ends it by
// the API.
func TestAnAlertIsManaged(t *testing.T) {
	heard := &linkedPhone{}
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
	p, log := process(t, "alerter.alertmanager="+routes, "alerter.query_offset=500ms", "alerter.rules="+rules, "alerter.external_url=https://alerts.example.com/p", "alerter.link_secret=0123456789abcdefghi")
	p.Alerter = alerter.Make
	up := make(chan Running, 1)
	r := start(t, func(ctx context.Context) error { return Up(ctx, p, func(r Running) { up <- r }) })
	at := <-up
	ask := func(method, path string, body, into any) {
		t.Helper()
		b, err := admin.Ask(t.Context(), method, at.Admin, "/api/v1/alerts"+path, body)
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	eventually(t, "it is ready", func() bool { _, err := admin.Get(t.Context(), at.Admin, "/readyz"); return err == nil })
	eventually(t, "a link", func() bool { post(t, at.HTTP, 40); time.Sleep(200 * time.Millisecond); return heard.first() != "" })

	var list api.IncidentList
	ask(http.MethodGet, "/incidents?state=open", nil, &list)
	if len(list.Incidents) != 1 || list.Incidents[0].Title != "Hot" || list.Incidents[0].Firing != 1 {
		t.Fatalf("%+v", list)
	}
	id := list.Incidents[0].ID
	link, err := url.Parse(heard.first())
	if err != nil || link.Host != "alerts.example.com" || !strings.HasPrefix(link.Path, "/p/ack/") {
		t.Fatalf("the link is %s, %v", heard.first(), err)
	}
	resp, err := http.Post("http://"+at.Admin+strings.TrimPrefix(link.Path, "/p"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(page), "You have it") {
		t.Errorf("%d %s %v", resp.StatusCode, page, err)
	}
	var d api.IncidentDetail
	ask(http.MethodGet, "/incidents/"+id[20:], nil, &d)
	if d.State != "acked" || d.AckedBy != "link at 127.0.0.1" || len(d.Alerts) != 1 || d.Alerts[0].Receivers[0] != "hook" {
		t.Errorf("%+v", d)
	}
	var kinds []string
	for _, e := range d.History {
		kinds = append(kinds, e.Kind)
	}
	if text := strings.Join(kinds, " "); !strings.HasPrefix(text, "opened fired") || !strings.Contains(text, "notified") || !strings.Contains(text, "acked") {
		t.Errorf("its history is %s %s", text, d.HistoryError)
	}

	var silence api.Silence
	ask(http.MethodPost, "/silences", api.SilenceRequest{Matchers: []string{`alertname="Hot"`}, For: "1h"}, &silence)
	eventually(t, "the silence mutes it", func() bool {
		var list api.AlertList
		ask(http.MethodGet, "?state=firing", nil, &list)
		return len(list.Alerts) == 1 && len(list.Alerts[0].Muted) == 1 && strings.Contains(list.Alerts[0].Muted[0], silence.ID)
	})
	var ended api.Incident
	eventually(t, "it is over", func() bool {
		post(t, at.HTTP, 10)
		time.Sleep(200 * time.Millisecond)
		var list api.IncidentList
		ask(http.MethodGet, "/incidents?state=closed", nil, &list)
		if len(list.Incidents) == 1 {
			ended = list.Incidents[0]
		}
		return ended.ID == id
	})
	var st stats.Stats
	ask(http.MethodGet, "/stats", nil, &st)
	if st.Fired != 1 || st.Resolved != 1 || st.Ack.Count != 1 || st.Resolve.Count != 1 || len(st.Receivers) != 1 || st.Receivers[0].Sent == 0 {
		t.Errorf("%+v", st)
	}
	if text := log.String(); strings.Contains(text, "0123456789abcdefghi") || strings.Contains(text, link.Path[len("/p/ack/"):]) {
		t.Error("the secret or a link is in the log")
	}
	r.end(t)
}
