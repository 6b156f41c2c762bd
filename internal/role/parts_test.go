package role

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// TestAWorkerWaitsForTheStreams, which only gateways make.
func TestAWorkerWaitsForTheStreams(t *testing.T) {
	q := memory.New()
	defer q.Close() //nolint:errcheck // memory
	var log buffer
	b := &base{log: slog.New(slog.NewTextHandler(&log, nil))}
	plan := topology.Plan{Shards: 1, MaxBytes: 1 << 30, Destinations: []topology.Destination{{Name: "a"}}}
	done := make(chan error, 1)
	go func() { done <- b.attach(t.Context(), q, plan) }()
	eventually(t, "it says what it waits for", func() bool {
		return strings.Contains(log.String(), "waiting for a gateway to make the streams")
	})
	if err := b.makeStreams(t.Context(), q, plan); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.attach(ctx, memory.New(), plan); !errors.Is(err, context.Canceled) {
		t.Errorf("asked to stop: %v", err)
	}
	plan.MaxBytes = 1
	if err := b.makeStreams(t.Context(), q, plan); err == nil || !strings.Contains(err.Error(), "queue.max_bytes") {
		t.Errorf("without room: %v", err)
	}
}

// TestDestinationsOfOthersAreWatched from when they have durables until they have
// none.
func TestDestinationsOfOthersAreWatched(t *testing.T) {
	q := memory.New()
	plan := topology.Plan{Shards: 1, MaxBytes: 1 << 30, Destinations: []topology.Destination{{Name: "mine"}}}
	if err := topology.Apply(t.Context(), q, plan); err != nil {
		t.Fatal(err)
	}
	x := &whole{own: queuewatch.New(q, plan, prometheus.NewRegistry()), q: q, plan: plan}
	f := func(want ...string) {
		t.Helper()
		var got []string
		for _, l := range x.Fresh(t.Context(), 0).Lags {
			got = append(got, l.Destination+" "+l.Stream)
		}
		if strings.Join(got, ",") != strings.Join(want, ",") {
			t.Errorf("seen %q, want %q", got, want)
		}
	}
	mine := []string{"mine PENSTOCK_TRACES_0", "mine PENSTOCK_METRICS_0", "mine PENSTOCK_LOGS_0"}
	f(mine...)
	for stream, c := range map[string]string{"PENSTOCK_LOGS_0": "export-theirs", "PENSTOCK_TRACES_0": "somebody"} {
		if err := q.EnsureConsumer(t.Context(), stream, queue.ConsumerConfig{Name: c}); err != nil {
			t.Fatal(err)
		}
	}
	f(append(mine, "theirs PENSTOCK_LOGS_0")...)
	if err := q.RemoveConsumer(t.Context(), "PENSTOCK_LOGS_0", "export-theirs"); err != nil {
		t.Fatal(err)
	}
	f(mine...)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if v := x.Fresh(t.Context(), 0); v.Error == "" || len(v.Lags) != 3 {
		t.Errorf("without a queue: %+v", v)
	}
}

// TestRatesOfAGateway are what came in between two tellings.
func TestRatesOfAGateway(t *testing.T) {
	reg := prometheus.NewRegistry()
	accepted := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_receiver_accepted_spans_total", Help: "."}, []string{"transport"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_receiver_refused_spans_total", Help: "."}, []string{"transport", "reason"})
	flight := prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_receiver_in_flight_bytes", Help: "."})
	reg.MustRegister(accepted, refused, flight)
	p := &presence{}
	tell := func(now moment, seconds float64) (rate float64, accepted, queueFull uint64, bytes int64) {
		t.Helper()
		all, err := readSums(reg)
		if err != nil {
			t.Fatal(err)
		}
		g := p.gateway(all, &now, seconds)
		p.before = now
		return g.Rates["traces"], g.Accepted["traces"], g.Refused["traces"]["queue_full"], g.InFlightBytes
	}
	began := time.Now()
	accepted.WithLabelValues("grpc").Add(100)
	if rate, n, full, _ := tell(moment{at: began}, 0); rate != 0 || n != 100 || full != 0 {
		t.Errorf("first: %g/s, %d, %d refused", rate, n, full)
	}
	accepted.WithLabelValues("grpc").Add(30)
	accepted.WithLabelValues("http").Add(20)
	refused.WithLabelValues("grpc", "queue_full").Add(3)
	refused.WithLabelValues("http", "queue_full").Add(4)
	flight.Set(9)
	if rate, n, full, bytes := tell(moment{at: began.Add(5 * time.Second)}, 5); rate != 10 || n != 150 || full != 7 || bytes != 9 {
		t.Errorf("then: %g/s, %d, %d refused, %d bytes", rate, n, full, bytes)
	}
	if s := otlp.Traces.Items(); s != "spans" {
		t.Errorf("items of traces are %s", s)
	}
}

// TestReplayOnceSaysWhatIsMissing before anything is begun.
func TestReplayOnceSaysWhatIsMissing(t *testing.T) {
	p, _ := process(t)
	if _, err := ReplayOnce(t.Context(), p, Replay{}); err == nil || !strings.Contains(err.Error(), "queue.url") {
		t.Errorf("without a queue: %v", err)
	}
	p.Settings.Log.Level = "loud"
	if _, err := ReplayOnce(t.Context(), p, Replay{}); err == nil || !strings.Contains(err.Error(), "loud") {
		t.Errorf("with a bad level: %v", err)
	}
	var page bytes.Buffer
	if err := MetricsReference(&page); err != nil || !strings.Contains(page.String(), "`penstock_ledger_") || !strings.Contains(page.String(), "`penstock_replay_") {
		t.Errorf("%v\n%s", err, page.String())
	}
}

// TestAVolumeThatIsGone is an error of the scrape, and no number.
func TestAVolumeThatIsGone(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(newDisk("/nowhere/at/all"))
	if _, err := ReadTotals(reg); err == nil || !strings.Contains(err.Error(), "gather metrics") {
		t.Errorf("got %v", err)
	}
	p := &presence{b: &base{reg: reg}, volume: "/nowhere/at/all"}
	if d := readDisk(p.volume); d != nil {
		t.Errorf("got %+v", d)
	}
}

// TestWhatIsToldWithoutMetrics is all that counts: a volume that is gone must not
// look as if what was exported were lost.
func TestWhatIsToldWithoutMetrics(t *testing.T) {
	p, _ := process(t)
	reg := prometheus.NewRegistry()
	accepted := prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_receiver_accepted_spans_total", Help: "."})
	reg.MustRegister(accepted)
	accepted.Add(7)
	x := &presence{b: &base{p: p, s: p.Settings, reg: reg, app: app.New("up", slog.New(slog.DiscardHandler))}, takes: true}
	told := exports(func() ([]fleet.Destination, []fleet.Tally) {
		return []fleet.Destination{{Name: "a"}}, []fleet.Tally{{Destination: "a", Signal: "traces", Exported: 5}}
	})
	x.exports.Store(&told)
	before := x.tell()
	reg.MustRegister(newDisk("/nowhere/at/all"))
	after := x.tell()
	if !strings.Contains(after.NotReady, "gather metrics") || len(after.Destinations) != 1 || len(after.Tallies) != 1 || after.Tallies[0] != before.Tallies[0] {
		t.Errorf("told %+v, before %+v", after, before)
	}
	if before.Gateway == nil || after.Gateway == nil || after.Gateway.Accepted["traces"] != 7 || before.Gateway.Accepted["traces"] != 7 {
		t.Errorf("told of the gateway %+v, before %+v", after.Gateway, before.Gateway)
	}
}
