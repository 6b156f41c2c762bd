package alerter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	queuememory "github.com/penstock-otel/penstock/pkg/queue/memory"
)

// What is posted to a whole alerter is told to its receivers and pushed to others, it
// beats while it does, and what is posted no more ends.
func TestOthers(t *testing.T) {
	q := queuememory.New()
	plan := topology.Plan{Shards: 1, MaxBytes: 64 << 20}
	if err := topology.Apply(t.Context(), q, plan); err != nil {
		t.Fatal(err)
	}
	h := listen(t)
	type request struct{ path, body string }
	heard := make(chan request, 1000)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1<<16)
		n, _ := r.Body.Read(b)
		heard <- request{r.URL.Path, string(b[:n])}
	}))
	defer other.Close()
	path := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(path, fmt.Appendf(nil, "route: {receiver: hook, group_wait: 10ms, group_interval: 200ms}\nreceivers: [{name: hook, webhook_configs: [{url: %q}]}]\n", h.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	c := alerting.DefaultConfig()
	c.Alertmanager = path
	c.Alertmanagers = []alerting.Alertmanager{{Name: "other", URL: other.URL}}
	c.Heartbeat = alerting.Heartbeat{URL: config.Secret(other.URL + "/beat"), Every: config.Duration(time.Second)}
	a, err := New(Options{Config: c, Queue: q, Streams: plan.Streams(otlp.Metrics), Holder: "a", Rank: func() int { return 0 },
		Metrics: NewAllMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- errors.Join(a.Run(ctx), a.Close()) }()
	api := httptest.NewServer(a.Alertmanager(alerting.Front{Tenant: func(*http.Request) string { return "" }, Actor: func(*http.Request) string { return "" },
		Acted: func(*http.Request, string, error, ...any) {}}))
	defer api.Close()
	defer func() {
		cancel()
		if err := errors.Join(<-done, q.Close()); err != nil {
			t.Error(err)
		}
	}()
	hear := func(path, text string) {
		t.Helper()
		late := time.After(90 * time.Second)
		for {
			select {
			case r := <-heard:
				if r.path == path && strings.Contains(r.body, text) {
					return
				}
			case <-late:
				t.Fatalf("nothing came at %s with %q", path, text)
			}
		}
	}
	hear("/beat", "ok")
	until := time.Now().Add(3 * time.Second)
	resp, err := http.Post(api.URL+"/api/v2/alerts", "application/json", strings.NewReader(`[{"labels":{"alertname":"Posted"},"endsAt":"`+until.Format(time.RFC3339Nano)+`"}]`))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	hear("/api/v2/alerts", `"Posted"`)
	h.want(t, "firing Posted", "resolved Posted")
	list := a.State().Alerts(alerts.Filter{})
	if len(list) != 1 || list[0].ResolvedAt.Before(until) {
		t.Errorf("%+v: want it to end at %s or later", list, until)
	}
	hear("/beat", "ok")
	if err := a.well(t.Context()); err != nil {
		t.Error(err)
	}
}
