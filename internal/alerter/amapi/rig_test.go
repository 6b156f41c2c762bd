package amapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerter/amapi"
	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
)

// noon is what it is in the test of whole answers: so late that nothing that has ended
// then is forgotten by the log, whose clock is today's.
var noon = time.Date(2150, 3, 1, 12, 0, 0, 0, time.UTC)

const routes = `
global: {resolve_timeout: 6m, smtp_auth_password: hush-smtp, slack_api_url: "http://hush-slack.example/x"}
route:
  receiver: all
  group_by: [alertname]
  routes:
  - matchers: [severity="critical"]
    receiver: pager
    group_by: ['...']
receivers:
- name: all
  webhook_configs: [{url: "http://hush-hook.example", http_config: {authorization: {credentials: hush-token}, proxy_url: "http://u:hush-proxy@127.0.0.1:1"}}]
- name: pager
  pagerduty_configs: [{routing_key: hush-key}]
inhibit_rules:
- source_matchers: [alertname="Down"]
  target_matchers: [alertname="Slow"]
  equal: [job]
`

// clock is one for all replicas of a test.
type clock struct{ ahead atomic.Int64 }

func (c *clock) after(d time.Duration) { c.ahead.Add(int64(d)) }

// replica is one process, and a client of it.
type replica struct {
	t     *testing.T
	api   *amapi.API
	state *alerts.State
	url   string
	reg   *prometheus.Registry
	leads atomic.Bool

	mu    sync.Mutex
	acted []string // mu
}

// open makes a replica on a log. now is its clock.
func open(t *testing.T, log *alertstest.Log, now func() time.Time) *replica {
	t.Helper()
	path := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(path, []byte(routes), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := amnotify.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, state: alerts.NewState(), reg: prometheus.NewRegistry()}
	r.leads.Store(true)
	quiet := slog.New(slog.DiscardHandler)
	notifier, err := amnotify.New(config, amnotify.Options{Flush: func(alerts.ClaimKey) {}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	r.api = amapi.New(amapi.Options{State: r.state, Log: log, Metrics: amapi.NewMetrics(r.reg), Logger: quiet, Version: "v1", Now: now,
		PolicyOf: func(string, alerts.Labels) alerts.Policy { return alerts.Policy{Reopen: time.Minute} },
		Config:   func() *amnotify.Config { return config },
		Tenant:   func(q *http.Request) string { return q.Header.Get("Tenant") },
		Actor:    func(q *http.Request) string { return q.Header.Get("Actor") },
		Leads:    r.leads.Load,
		Muted: func(ctx context.Context, a *alerts.Alert) []string {
			if err := notifier.SetSilences(r.state.Silences()); err != nil {
				t.Error(err)
			}
			if err := notifier.Put(ctx, r.state.Alerts(alerts.Filter{})...); err != nil {
				t.Error(err)
			}
			return notifier.Muted(ctx, a)
		},
		Acted: func(_ *http.Request, action string, err error, args ...any) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.acted = append(r.acted, fmt.Sprint(action, " ", err == nil, " ", args))
		}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- log.Follow(ctx, 0, func(e alerts.Entry) error { r.state.Apply(e); return nil }) }()
	server := httptest.NewServer(r.api)
	r.url = server.URL
	t.Cleanup(func() {
		server.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		notifier.Close()
	})
	r.eventually("the log is read", r.state.CaughtUp)
	return r
}

// started is a replica whose clock is the test's.
func started(t *testing.T) (*replica, *clock, *alertstest.Log) {
	log, c := alertstest.NewLog(), &clock{}
	return open(t, log, func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }), c, log
}

func (r *replica) eventually(what string, f func() bool) {
	r.t.Helper()
	for end := time.Now().Add(90 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not within 90 s: %s", what)
		}
	}
}

// asks sends a request, with headers as "Name: value", and wants a status.
func (r *replica) asks(code int, method, path, body string, headers ...string) string {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), method, r.url+"/api/v2/"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		q.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != code {
		r.t.Fatalf("%s %s: %s %s, want %d", method, path, resp.Status, b, code)
	}
	return string(b)
}

// names are those of the alerts of an answer, with their states.
func names(t *testing.T, body string) string {
	t.Helper()
	var list []struct {
		Labels map[string]string
		Status struct{ State string }
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	var b bytes.Buffer
	for _, a := range list {
		fmt.Fprintf(&b, "%s%s %s;", a.Labels["alertname"], a.Labels["job"], a.Status.State)
	}
	return b.String()
}

// round is what Run does at its pace.
func (r *replica) round() {
	r.t.Helper()
	if err := r.api.Round(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) firing() int {
	return len(r.state.Alerts(alerts.Filter{States: []string{alerts.Firing}}))
}
