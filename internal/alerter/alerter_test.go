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
	"github.com/penstock-otel/penstock/pkg/alerts/memory"
	queuememory "github.com/penstock-otel/penstock/pkg/queue/memory"
)

const fastRules = `groups:
- name: g
  interval: 1s
  rules:
  - alert: Hot
    expr: temperature > 30
    for: 2s
    labels: {severity: critical}
`

// Three whole replicas, from messages of the queue to a receiver and its escalation:
// each thing is told once, and the replica that tells may die.
func TestReplicas(t *testing.T) {
	q := queuememory.New()
	plan := topology.Plan{Shards: 1, MaxBytes: 64 << 20}
	if err := topology.Apply(t.Context(), q, plan); err != nil {
		t.Fatal(err)
	}
	dir, h, boss := t.TempDir(), listen(t), listen(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := alerting.DefaultConfig()
	c.QueryOffset = config.Duration(500 * time.Millisecond)
	c.Rules = []string{write("rules.yaml", fastRules)}
	c.Alertmanager = write("alertmanager.yml", fmt.Sprintf(`route: {receiver: hook, group_by: [alertname], group_wait: 10ms, group_interval: 200ms}
receivers: [{name: hook, webhook_configs: [{url: %q}]}, {name: boss, webhook_configs: [{url: %q}]}]
`, h.URL, boss.URL))
	c.Escalation = write("escalation.yaml", `policies:
- name: critical
  match: ['severity="critical"']
  levels: [{after: 1s, targets: [boss]}]
`)
	store := memory.New() // of all three, as a Redis would be
	type replica struct {
		cancel context.CancelFunc
		done   chan error
	}
	start := func(i int) replica {
		a, err := New(Options{Config: c, Queue: q, Streams: plan.Streams(otlp.Metrics), Claims: store, Holder: fmt.Sprint(i), Rank: func() int { return i },
			Metrics: NewAllMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		r := replica{cancel, make(chan error, 1)}
		go func() { r.done <- errors.Join(a.Run(ctx), a.Close()) }()
		return r
	}
	stop := func(r replica) {
		r.cancel()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
	}
	var all []replica
	for i := range 3 {
		all = append(all, start(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	value := make(chan float64, 1)
	fed := make(chan struct{})
	go func() { // a sample twice a second
		defer close(fed)
		v := 20.0
		for {
			select {
			case v = <-value:
			case <-time.After(500 * time.Millisecond):
			case <-ctx.Done():
				return
			}
			b := sample(v, time.Now())
			m := record.Encode(&record.Record{ID: ulid.Make().String(), Signal: otlp.Metrics, Codec: "none", Items: 1, RawBytes: len(b), Body: b})
			if _, err := q.Publish(ctx, plan.Streams(otlp.Metrics)[0], m); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	}()
	value <- 40
	h.want(t, "firing Hot")
	boss.want(t, "firing Hot")
	stop(all[0])
	all[0] = start(3)
	value <- 20
	h.want(t, "firing Hot", "resolved Hot")
	boss.want(t, "firing Hot", "resolved Hot")
	stop(all[1])
	value <- 50
	h.want(t, "firing Hot", "resolved Hot", "firing Hot")
	cancel()
	<-fed
	stop(all[0])
	stop(all[2])
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}

// What is wrong with a file is said with its key and its place.
func TestFilesThatAreWrong(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	f := func(text string, change func(*alerting.Config), want ...string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := alerting.DefaultConfig()
		change(&c)
		_, err := New(Options{Config: c, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			t.Errorf("%q was taken", text)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v: does not say %q", err, w)
			}
		}
	}
	asRules, asPolicies := func(c *alerting.Config) { c.Rules = []string{path} }, func(c *alerting.Config) { c.Escalation = path }
	f("groups: [{name: g, rules: [{alert: A, expr: '1 +'}]}]", asRules, "alerter.rules", path, "A")
	f("", func(c *alerting.Config) { c.Rules = []string{filepath.Join(dir, "*.none")} }, "alerter.rules", "there is no such file")
	f("", func(c *alerting.Config) { c.Rules = []string{"predefined:nothing"} }, "nothing", "cpu")
	f("route: {}", func(c *alerting.Config) { c.Alertmanager = path }, "alerter.alertmanager", path)
	f("policies: [{name: p, levels: [{after: 0s, targets: [nobody]}]}]", asPolicies, "alerter.escalation", path, "nobody")
	f("policies: [{name: p, level: []}]", asPolicies, "level")
	f("policies: [{name: p}, {name: p}]", asPolicies, "twice")
	f("policies: [{name: p, match: ['a=~(']}]", asPolicies, "match")
	f("policies: [{name: p, levels: [{targets: [log], active: [nights]}]}]", asPolicies, "nights")
}
