package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// BenchmarkWorker is what the worker itself costs a message, of 512 KiB and of
// nothing: the queue is memory and the destination takes all at once.
func BenchmarkWorker(b *testing.B) {
	for _, size := range []int{0, 512 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			q := memory.New()
			plan := topology.Plan{Shards: 1, MaxBytes: 1 << 50, Destinations: []topology.Destination{{Name: "backend"}}}
			if err := topology.Apply(b.Context(), q, plan); err != nil {
				b.Fatal(err)
			}
			done := make(chan struct{})
			w, err := worker.New(worker.Options{Config: worker.DefaultConfig(), Queue: q, Plan: plan, Destinations: []worker.Destination{to("backend")},
				Exporters: map[string]exporter.Exporter{"backend": export(func(context.Context, *exporter.Request) (exporter.Result, error) {
					done <- struct{}{}
					return exporter.Result{}, nil
				})},
				Metrics: worker.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			w.Start()
			m := message(otlp.Traces, 1)
			m.Body = make([]byte, size)
			m.Header = record.Encode(&record.Record{Signal: otlp.Traces, Codec: "none", Items: 1, RawBytes: size, Body: m.Body}).Header
			b.SetBytes(int64(size))
			b.ReportAllocs()
			stream := topology.Stream(otlp.Traces, 0)
			for i := 0; b.Loop(); i++ {
				m.ID = fmt.Sprint(i)
				if _, err := q.Publish(b.Context(), stream, m); err != nil {
					b.Fatal(err)
				}
				<-done
				if err := q.Purge(b.Context(), stream, uint64(max(i-64, 0))); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if err := w.Stop(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
