package role

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/send"
)

// TestIntakeGoesOnAboveTheLimit sends several times what a stream may hold. Without
// a janitor the queue would be full of exported data and refuse for ever; with it
// everything arrives, by a short replay window as by one that has to give way.
func TestIntakeGoesOnAboveTheLimit(t *testing.T) {
	f := func(window string) {
		t.Run("replay window "+window, func(t *testing.T) {
			t.Parallel()
			p, log := process(t, `destinations=[{name: summary, protocol: debug}]`, "queue.max_bytes=40MiB", "queue.durability=process",
				"gateway.compression.codec=none", "retention.replay_window="+window, "retention.every=100ms")
			up := make(chan Running, 1)
			r := start(t, func(ctx context.Context) error { return Up(ctx, p, func(r Running) { up <- r }) })
			var at Running
			select {
			case at = <-up:
			case err := <-r.done:
				t.Fatalf("did not start: %v", err)
			}
			const items = 100_000
			var totals send.Totals
			c := send.Config{Target: at.GRPC, Protocol: "grpc", Insecure: true, Signals: []otlp.Signal{otlp.Traces}, Items: items, Batch: 500, Rate: 25_000, Clients: 2, Seed: 5}
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			if err := send.Run(ctx, c, &totals); err != nil {
				t.Fatal(err)
			}
			if n := totals.Accepted[otlp.Traces].Load(); n != items {
				t.Fatalf("%d of %d spans were accepted", n, items)
			}
			eventually(t, "everything is exported", func() bool {
				got, err := ReadTotals(at.Registry)
				return err == nil && got[otlp.Traces].Exported >= items
			})
			v := at.Watch.Look(t.Context())
			s := v.Streams[0]
			through := value(t, at.Registry, "penstock_receiver_request_bytes_total", "traces")
			if through < 2.5*float64(s.MaxBytes) {
				t.Errorf("%g bytes went through a stream of %d: the test is too small", through, s.MaxBytes)
			}
			if s.FirstSeq < 2 || s.Bytes > uint64(s.MaxBytes)*9/10 {
				t.Errorf("the stream is %+v", s)
			}
			reason := "window"
			if window != "0s" {
				reason = "pressure"
				if !strings.Contains(log.String(), "exported data is kept for less than retention.replay_window") {
					t.Error("the log does not say that the window was shortened")
				}
			}
			if n := value(t, at.Registry, "penstock_janitor_purged_messages_total", reason); n < 2 {
				t.Errorf("%g messages purged by %s", n, reason)
			}
			r.end(t)
			if strings.Contains(log.String(), `"level":"ERROR"`) {
				t.Error("there are errors in the log")
			}
		})
	}
	f("0s")
	f("24h")
}

// value sums the series of a metric that have a label of this value.
func value(t *testing.T, g prometheus.Gatherer, name, label string) (sum float64) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return sum
}

// TestFullOfUnexportedDataRefuses: nothing takes the data, so none of it goes, and
// clients are refused before the stream is full.
func TestFullOfUnexportedDataRefuses(t *testing.T) {
	port := freePort(t)
	p, log := process(t, `destinations=[{name: nobody, protocol: grpc, endpoints: ["`+port+`"], tls: {insecure: true}}]`, "queue.max_bytes=40MiB",
		"queue.durability=process", "gateway.compression.codec=none", "retention.replay_window=0s", "retention.every=100ms", "gateway.grpc.listen="+freePort(t), "admin.listen="+freePort(t))
	start(t, func(ctx context.Context) error { return Gateway(ctx, p) })
	eventually(t, "the gateway is ready", func() bool { return strings.Contains(log.String(), `"msg":"ready"`) })
	var totals send.Totals
	c := send.Config{Target: p.Settings.Gateway.GRPC.Listen, Protocol: "grpc", Insecure: true, Signals: []otlp.Signal{otlp.Traces}, Batch: 500, Clients: 1}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- send.Run(ctx, c, &totals) }()
	for _, text := range []string{"a stream fills with data that a destination has not taken", "a stream is nearly full", "queue_full"} {
		eventually(t, fmt.Sprintf("the log says %q", text), func() bool { return strings.Contains(log.String(), text) })
	}
	accepted := totals.Accepted[otlp.Traces].Load()
	if accepted == 0 {
		t.Error("nothing was accepted")
	}
	metrics, err := admin.Get(t.Context(), p.Settings.Admin.Listen, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	if text := string(metrics); strings.Contains(text, "penstock_janitor_purged_messages_total{") || !strings.Contains(text, `penstock_pressure_refusing{signal="traces"} 1`) {
		t.Errorf("data that nobody has was purged, or the pressure is not shown:\n%s", text)
	}
	cancel()
	<-sent // that it was cut off is its error
}
