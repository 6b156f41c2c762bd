package alerter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/redis/redistest"
	queuememory "github.com/penstock-otel/penstock/pkg/queue/memory"
)

// whole is an alerter as a process has it, over a queue in memory.
type whole struct {
	alerting.Alerter
	q    *queuememory.Queue
	plan topology.Plan
	t    *testing.T
	end  func()
}

func runWhole(t *testing.T, c alerting.Config) *whole {
	t.Helper()
	w := &whole{q: queuememory.New(), plan: topology.Plan{Shards: 1, MaxBytes: 64 << 20}, t: t}
	if err := topology.Apply(t.Context(), w.q, w.plan); err != nil {
		t.Fatal(err)
	}
	a, err := Make(alerting.Options{Config: c, Queue: w.q, Streams: w.plan.Streams(otlp.Metrics), Holder: "one", Rank: func() int { return 0 },
		TLSFiles: new(config.TLSFiles), Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.Alerter = a
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	w.end = func() {
		cancel()
		if err := errors.Join(<-done, a.Close(), w.q.Close()); err != nil {
			t.Error(err)
		}
		w.end = func() {}
	}
	t.Cleanup(func() { w.end() })
	return w
}

// feed publishes a sample twice a second until the returned function is called.
func (w *whole) feed(value float64) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			b := sample(value, time.Now())
			m := record.Encode(&record.Record{ID: ulid.Make().String(), Signal: otlp.Metrics, Codec: "none", Items: 1, RawBytes: len(b), Body: b})
			if _, err := w.q.Publish(ctx, w.plan.Streams(otlp.Metrics)[0], m); err != nil && ctx.Err() == nil {
				w.t.Error(err)
			}
			pause(ctx, 500*time.Millisecond)
		}
	}()
	return func() { cancel(); <-done }
}

func (w *whole) until(what string, f func() bool) {
	w.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited two minutes for: %s", what)
		}
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// files are those of a configuration in a directory of their own.
func filesFor(t *testing.T, hook string) (dir string, c alerting.Config) {
	t.Helper()
	dir = t.TempDir()
	c = alerting.DefaultConfig()
	c.QueryOffset = config.Duration(500 * time.Millisecond)
	c.ExternalURL = "https://alerts.example"
	c.Rules = []string{filepath.Join(dir, "*.rules")}
	write(t, filepath.Join(dir, "a.rules"), fastRules)
	c.Alertmanager = write(t, filepath.Join(dir, "alertmanager.yml"), fmt.Sprintf(`route: {receiver: hook, group_by: [alertname], group_wait: 10ms, group_interval: 200ms}
receivers: [{name: hook, webhook_configs: [{url: %q}]}]
`, hook))
	return dir, c
}

// An alerter as a process makes it, with a real Redis that is stopped and begun anew,
// while its files change: what fires goes on, what is new is told, what is gone is
// resolved.
func TestFilesChangeWhileItFires(t *testing.T) {
	h := listen(t)
	server := redistest.Start(t)
	dir, c := filesFor(t, h.URL)
	c.Redis.Addrs = []string{server.Addr}
	w := runWhole(t, c)
	stop := w.feed(40)
	defer func() { stop() }()
	h.want(t, "firing Hot")
	w.until("it is ready", func() bool { return w.Ready(t.Context()) == nil })
	s := w.Status()
	if !s.Tells || !s.CaughtUp || s.Store != "redis" || s.StoreErr != "" || s.Tenants != 1 || len(s.Rules) != 1 || s.Rules[0].Name != "g" || s.Rules[0].Interval != 1 ||
		len(s.Rules[0].Rules) != 1 || s.Rules[0].Rules[0].Name != "Hot" || s.Rules[0].Rules[0].For != 2 || !s.Rules[0].Rules[0].Alerting {
		t.Errorf("status: %+v", s)
	}
	if apply, err := w.Prepare(c); err != nil || apply != nil {
		t.Errorf("the same files: a change %t, %v", apply != nil, err)
	}
	// What is wrong changes nothing.
	write(t, filepath.Join(dir, "b.rules"), "groups: [{name: x, rules: [{alert: A, expr: '1 +'}]}]")
	if _, err := w.Prepare(c); err == nil || !strings.Contains(err.Error(), "b.rules") {
		t.Errorf("a bad file: %v", err)
	}
	write(t, filepath.Join(dir, "b.rules"), "groups: [{name: x, rules: [{alert: A, expr: 'rate(temperature[3d]) > 1'}]}]")
	if _, err := w.Prepare(c); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("rules that look back too far: %v", err)
	}
	server.Kill()
	w.until("the store is missed", func() bool { return w.Status().StoreErr != "" })
	server.Restart()
	w.until("the store is back", func() bool { return w.Status().StoreErr == "" })
	write(t, filepath.Join(dir, "b.rules"), strings.NewReplacer("name: g", "name: more", "Hot", "Warm", "> 30", "> 10").Replace(fastRules))
	apply, err := w.Prepare(c)
	if err != nil || apply == nil {
		t.Fatalf("more rules: a change %t, %v", apply != nil, err)
	}
	before, _ := w.State().Alert(w.State().Alerts(alertsNamed("Hot"))[0].Key)
	apply()
	h.want(t, "firing Hot", "firing Warm")
	if after, _ := w.State().Alert(before.Key); !after.FiredAt.Equal(before.FiredAt) || !after.ResolvedAt.IsZero() {
		t.Errorf("it fires since %s, and did since %s; resolved %s", after.FiredAt, before.FiredAt, after.ResolvedAt)
	}
	if err := os.Remove(filepath.Join(dir, "a.rules")); err != nil {
		t.Fatal(err)
	}
	if apply, err = w.Prepare(c); err != nil || apply == nil {
		t.Fatalf("a file less: %v", err)
	}
	apply()
	h.want(t, "firing Hot", "firing Warm", "resolved Hot")
	// A receiver of another name gets what fires, and the old one is not asked again.
	other := listen(t)
	write(t, c.Alertmanager, fmt.Sprintf("route: {receiver: other, group_by: [alertname], group_wait: 10ms}\nreceivers: [{name: other, webhook_configs: [{url: %q}]}]\n", other.URL))
	if apply, err = w.Prepare(c); err != nil || apply == nil {
		t.Fatalf("other routes: %v", err)
	}
	apply()
	other.want(t, "firing Warm")
	if got := w.Receivers(); len(got) != 1 || got[0] != "other" {
		t.Errorf("receivers %q", got)
	}
	stop()
	stop = w.feed(0)
	other.want(t, "firing Warm", "resolved Warm")
	stop()
	w.end()
}

// What Make cannot use it says with its key, and leaves nothing behind.
func TestMakeSaysWhatIsWrong(t *testing.T) {
	f := func(want string, change func(*alerting.Config)) {
		t.Helper()
		_, c := filesFor(t, "http://127.0.0.1:1")
		change(&c)
		_, err := Make(alerting.Options{Config: c, Queue: queuememory.New(), Streams: []string{"s"}, Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want something about %q", err, want)
		}
	}
	f("alerter.redis.tls", func(c *alerting.Config) {
		c.Redis.Addrs, c.Redis.TLS = []string{"127.0.0.1:1"}, config.TLSClient{CAFile: "/nowhere/ca.pem"}
	})
	f("alerter.rules", func(c *alerting.Config) { c.Redis.Addrs, c.Rules = []string{"127.0.0.1:1"}, []string{"/nowhere/*"} })

}

func alertsNamed(rule string) alerts.Filter { return alerts.Filter{Rule: rule} }
