package replay_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// sink takes everything.
type sink struct{}

func (sink) Export(context.Context, *exporter.Request) (exporter.Result, error) {
	return exporter.Result{}, nil
}
func (sink) Close() error { return nil }

// BenchmarkReplay is the way of a message of 256 KiB from the queue to an
// exporter that does nothing.
func BenchmarkReplay(b *testing.B) {
	q := memory.New()
	plan := topology.Plan{Shards: 1, MaxBytes: 64 << 30}
	if err := topology.Apply(b.Context(), q, plan); err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 256<<10)
	m := record.Encode(&record.Record{ID: "x", Signal: otlp.Logs, Codec: "none", Items: 100, RawBytes: len(body), Body: body})
	for i := range b.N {
		m.ID = "x" + time.Duration(i).String()
		if _, err := q.Publish(b.Context(), stream, m); err != nil {
			b.Fatal(err)
		}
	}
	jobs := job.NewStore(q)
	j, err := replay.Start(b.Context(), jobs, q, plan, replay.Spec{Destination: "a", Signals: logsOnly, Unlimited: true}, replay.StartOptions{})
	if err != nil {
		b.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	r := job.NewRunner(job.Options{Store: jobs, Leaser: q, Holder: "p", Only: j.ID, Metrics: job.NewMetrics(reg), Logger: log,
		Handlers: replay.Handlers(replay.Options{Queue: q, Destinations: map[string]replay.Destination{"a": {Exporter: sink{}}}, Metrics: replay.NewMetrics(reg), Logger: log})})
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.ResetTimer()
	if err := r.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
}
