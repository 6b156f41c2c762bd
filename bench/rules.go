//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/penstock-otel/penstock/bench/procstat"
)

// Rules is what an alerter on one core does in real time.
type Rules struct {
	Series      int     `json:"series"`
	Rules       int     `json:"rules"`
	Interval    float64 `json:"interval_seconds"` // of samples and of evaluations
	Window      float64 `json:"window_seconds"`
	Samples     float64 `json:"samples_per_second"`
	Evaluations float64 `json:"group_evaluations"`
	Missed      float64 `json:"missed_slots"`
	Failures    float64 `json:"failed_rules"`
	Cores       float64 `json:"cores_used"` // of the alerter, of the one it has
	PeakRSS     int64   `json:"peak_rss_bytes"`
	Lag         float64 `json:"watermark_lag_seconds_max"` // in the window, seen each second
	Fired       bool    `json:"the_rule_that_should_fire_does"`
}

type rulesOptions struct {
	common
	series, rules, perGroup int
	interval, window, warm  time.Duration
}

// perMetric is how many series a metric has, and a request points.
const perMetric = 1000

// runRules measures an alerter process that has one core, with a gateway of its own
// before it and metrics that come in even steps.
func runRules(ctx context.Context, args []string, out, errs io.Writer) error {
	o := rulesOptions{common: common{durability: "process"}}
	f := o.flagSet("rules", errs)
	f.IntVar(&o.series, "series", 100_000, "series, 1000 a metric; each gets a sample an interval")
	f.IntVar(&o.rules, "rules", 500, "threshold rules, each over the 1000 series of a metric")
	f.IntVar(&o.perGroup, "group", 50, "rules a group")
	f.DurationVar(&o.interval, "interval", 15*time.Second, "of samples and evaluations")
	f.DurationVar(&o.warm, "warmup", 45*time.Second, "before the window")
	f.DurationVar(&o.window, "duration", 3*time.Minute, "length of the window")
	if err := parse(f, args); err != nil {
		return err
	}
	cleanup, err := o.prepare(ctx)
	if err != nil {
		return err
	}
	defer cleanup()
	r, err := measureRules(ctx, o, errs)
	if err != nil {
		return err
	}
	report := newReport(append([]string{"rules"}, args...), o.common)
	report.Rules = &r
	fmt.Fprintf(out, "%d series each %.0f s (%.0f samples/s), %d rules: %.2f of one core, %d MiB at most, watermark %.1f s behind at most, %.0f group evaluations, %.0f slots missed, %.0f rules failed\n",
		r.Series, r.Interval, r.Samples, r.Rules, r.Cores, r.PeakRSS>>20, r.Lag, r.Evaluations, r.Missed, r.Failures)
	return report.save(o.results, errs)
}

func measureRules(ctx context.Context, o rulesOptions, errs io.Writer) (r Rules, err error) {
	r = Rules{Series: o.series, Rules: o.rules, Interval: o.interval.Seconds(), Window: o.window.Seconds()}
	metrics := o.series / perMetric
	if metrics < 1 || o.rules < 1 || o.perGroup < 1 {
		return r, fmt.Errorf("%d series and %d rules in groups of %d: want at least %d, 1 and 1", o.series, o.rules, o.perGroup, perMetric)
	}
	dir, err := os.MkdirTemp(o.dir, "penstock-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	ports, err := freePorts(6)
	if err != nil {
		return r, err
	}
	files := map[string]string{
		"rules.yaml": ruleFile(o, metrics),
		"gateway.yaml": fmt.Sprintf("queue: {dir: %q, listen: %q, monitor_listen: %q, durability: %s, max_bytes: 4GiB}\nadmin: {listen: %q}\ngateway: {grpc: {listen: %q}, http: {listen: %q}}\n",
			filepath.Join(dir, "data"), ports[0], ports[1], o.durability, ports[2], ports[3], ports[4]),
		"alerter.yaml": fmt.Sprintf("queue: {url: %q, monitor_urls: [%q], durability: %s}\nadmin: {listen: %q}\nalerter: {rules: [%q]}\n",
			"nats://"+ports[0], "http://"+ports[1], o.durability, ports[5], filepath.Join(dir, "rules.yaml")),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return r, err
		}
	}
	gateway, err := spawn(dir, "gateway", false, nil, o.bin, "gateway", "--config", filepath.Join(dir, "gateway.yaml"))
	if err != nil {
		return r, err
	}
	defer gateway.kill()
	if err := gateway.ready(ctx, "http://"+ports[2]+"/readyz"); err != nil {
		return r, err
	}
	args := []string{"taskset", "-c", "1", o.bin, "alerter", "--config", filepath.Join(dir, "alerter.yaml")}
	for _, kv := range o.set {
		args = append(args, "--set", kv)
	}
	alerter, err := spawn(dir, "alerter", false, []string{"GOMAXPROCS=1"}, args...) // taskset becomes it
	if err != nil {
		return r, err
	}
	defer alerter.kill()
	if err := alerter.ready(ctx, "http://"+ports[5]+"/readyz"); err != nil {
		return r, err
	}
	feeding, stop := context.WithCancel(ctx)
	fed := make(chan error, 1)
	go func() { fed <- feed(feeding, "http://"+ports[4]+"/v1/metrics", metrics, o.interval) }()
	defer stop()
	fmt.Fprintf(errs, "rules: %s warm-up, %s window\n", o.warm, o.window)
	if err := wait(ctx, o.warm); err != nil {
		return r, err
	}
	err = r.window(ctx, o, alerter, "http://"+ports[5]+"/metrics")
	stop() // before what it sends to
	return r, errors.Join(err, <-fed, alerter.stop(30*time.Second), gateway.stop(30*time.Second))
}

// window measures.
func (r *Rules) window(ctx context.Context, o rulesOptions, alerter *child, url string) error {
	pid := alerter.cmd.Process.Pid
	before, err := procstat.Read(pid)
	if err != nil {
		return err
	}
	first, err := scrape(ctx, url)
	if err != nil {
		return err
	}
	began := time.Now()
	last := first
	for time.Since(began) < o.window {
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
		if last, err = scrape(ctx, url); err != nil {
			return fmt.Errorf("%w\n%s", err, alerter.tail())
		}
		r.Lag = max(r.Lag, last.sum("penstock_alerter_watermark_lag_seconds"))
	}
	seconds := time.Since(began).Seconds()
	after, err := procstat.Read(pid)
	if err != nil {
		return err
	}
	rise := func(name string) float64 { return last.rise(first, name) }
	r.Samples = rise("penstock_alerter_rules_samples_total") / seconds
	r.Evaluations = rise("penstock_alerter_evaluations_total")
	r.Missed = rise("penstock_alerter_missed_slots_total") + rise("penstock_alerter_rules_missed_slots_total")
	r.Failures = rise("penstock_alerter_rules_failures_total")
	r.Cores, r.PeakRSS = (after.CPU-before.CPU).Seconds()/seconds, after.PeakRSS
	r.Fired = last.sum("penstock_alerter_notifications_total") > 0
	want := seconds / o.interval.Seconds() * float64((o.rules+o.perGroup-1)/o.perGroup)
	if r.Evaluations < want*0.9 || !r.Fired {
		return fmt.Errorf("%.0f evaluations of groups in %.0f s, want some %.0f; the rule that should fire does: %t\n%s", r.Evaluations, seconds, want, r.Fired, alerter.tail())
	}
	return nil
}

// ruleFile has the rules, of which one has something to tell.
func ruleFile(o rulesOptions, metrics int) string {
	var b strings.Builder
	b.WriteString("groups:\n")
	for i := range o.rules {
		if i%o.perGroup == 0 {
			fmt.Fprintf(&b, "- name: g%d\n  interval: %s\n  rules:\n", i/o.perGroup, o.interval)
		}
		limit := perMetric + i
		if i == 0 {
			limit = perMetric - 2 // one series is above it
		}
		fmt.Fprintf(&b, "  - {alert: A%d, expr: 'load_%d > %d', for: %s}\n", i, i%metrics, limit, 2*o.interval)
	}
	return b.String()
}

// feed sends the next metric, a request each, in even steps, until ctx ends.
func feed(ctx context.Context, url string, metrics int, interval time.Duration) error {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(interval / time.Duration(metrics))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		res, err := client.Post(url, "application/x-protobuf", bytes.NewReader(loadRequest(n%metrics, time.Now())))
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("the gateway answers %s: %w", res.Status, err)
		}
	}
}

// loadRequest is a request of the 1000 series of a metric.
func loadRequest(n int, at time.Time) []byte {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "shop")
	rm.Resource().Attributes().PutStr("service.instance.id", "one")
	m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("load." + strconv.Itoa(n))
	points := m.SetEmptyGauge().DataPoints()
	points.EnsureCapacity(perMetric)
	for i := range perMetric {
		p := points.AppendEmpty()
		p.SetTimestamp(pcommon.NewTimestampFromTime(at))
		p.SetDoubleValue(float64(i))
		p.Attributes().PutStr("id", strconv.Itoa(i))
		p.Attributes().PutStr("zone", "eu")
	}
	b, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return b
}
