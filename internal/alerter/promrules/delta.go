package promrules

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/deltatocumulativeprocessor"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

// deltas makes cumulative points of delta points. Not safe for concurrent use.
type deltas struct {
	p   processor.Metrics
	got pmetric.Metrics // what the processor has handed on
	any bool
}

// newDeltas starts the processor. stale is by the wall clock, as nothing else of
// it can be; it is far longer than an export interval and a catch-up, and bounds
// only what dead streams hold.
func newDeltas(streams int, stale time.Duration) (*deltas, error) {
	f := deltatocumulativeprocessor.NewFactory()
	d := &deltas{}
	next, err := consumer.NewMetrics(func(_ context.Context, md pmetric.Metrics) error {
		d.got, d.any = md, true
		return nil
	}, consumer.WithCapabilities(consumer.Capabilities{MutatesData: true}))
	if err != nil {
		return nil, fmt.Errorf("delta to cumulative: %w", err)
	}
	d.p, err = f.CreateMetrics(context.Background(), processor.Settings{
		ID: component.NewID(f.Type()),
		TelemetrySettings: component.TelemetrySettings{
			Logger: zap.NewNop(), MeterProvider: metricnoop.NewMeterProvider(), TracerProvider: tracenoop.NewTracerProvider(),
		},
	}, &deltatocumulativeprocessor.Config{MaxStale: stale, MaxStreams: min(streams, math.MaxInt)}, next)
	if err != nil {
		return nil, fmt.Errorf("delta to cumulative: %w", err)
	}
	if err := d.p.Start(context.Background(), nil); err != nil {
		return nil, fmt.Errorf("delta to cumulative: %w", err)
	}
	return d, nil
}

// convert changes md, and returns what is left of it.
func (d *deltas) convert(ctx context.Context, md pmetric.Metrics, said *Appended) (pmetric.Metrics, error) {
	before, name := countDeltas(md)
	if before == 0 {
		return md, nil
	}
	points := md.DataPointCount()
	d.any, d.got = false, pmetric.NewMetrics()
	if err := d.p.ConsumeMetrics(ctx, md); err != nil {
		return md, fmt.Errorf("delta to cumulative: %w", err)
	}
	out := d.got
	d.got = pmetric.Metrics{}
	if !d.any {
		out = pmetric.NewMetrics()
	}
	if lost := points - out.DataPointCount(); lost > 0 {
		said.drop(DeltaRefused, lost, name)
	}
	return out, nil
}

func (d *deltas) close() error { return d.p.Shutdown(context.Background()) }

// countDeltas counts points of delta temporality, and names a metric of them.
func countDeltas(md pmetric.Metrics) (n int, name string) {
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				if temporality(m) == pmetric.AggregationTemporalityDelta {
					n += pointsOfMetric(m)
					name = m.Name()
				}
			}
		}
	}
	return n, name
}
