package promrules_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
)

// round is a request of 1000 series of one of 100 metrics.
func round(m int, at time.Time) []byte {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "shop")
	rm.Resource().Attributes().PutStr("service.instance.id", "one")
	list := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	list.SetName(fmt.Sprintf("load.%d", m))
	d := list.SetEmptyGauge().DataPoints()
	for i := range 1000 {
		put(d, []point{{at, float64(i % 100), fmt.Sprint(i)}}, time.Time{})
		d.At(i).Attributes().PutStr("zone", "eu")
	}
	b, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
	if err != nil {
		panic(err)
	}
	return b
}

func benchEngine(b *testing.B, rules string) *promrules.Engine {
	b.Helper()
	e, err := promrules.New(promrules.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	f, err := promrules.Parse("test.yaml", []byte(rules))
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Load([]*promrules.File{f}); err != nil {
		b.Fatal(err)
	}
	return e
}

// BenchmarkAppend stores 1000 gauges an operation, into 100,000 series.
func BenchmarkAppend(b *testing.B) {
	e := benchEngine(b, group(everything))
	at := epoch
	samples := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		request := round(i%100, at)
		b.StartTimer()
		a, err := e.Append(b.Context(), request, at)
		if err != nil || a.Samples != 1000 {
			b.Fatalf("%+v, %v", a, err)
		}
		samples += a.Samples
		if i%100 == 99 {
			at = at.Add(15 * time.Second)
		}
	}
	b.ReportMetric(float64(samples)/b.Elapsed().Seconds(), "samples/s")
}

// BenchmarkEvaluate evaluates 500 threshold rules over 1000 series each, of which
// none or a tenth fires.
func BenchmarkEvaluate(b *testing.B) {
	for _, c := range []struct {
		name  string
		limit int
	}{{"quiet", 1000}, {"firing", 89}} {
		b.Run(c.name, func(b *testing.B) {
			var rules strings.Builder
			for i := range 500 {
				fmt.Fprintf(&rules, "  - {alert: A%d, expr: load_%d > %d, for: 1m}\n", i, i%100, c.limit)
			}
			e := benchEngine(b, group(rules.String()))
			at := epoch
			for b.Loop() {
				b.StopTimer()
				for m := range 100 {
					if _, err := e.Append(b.Context(), round(m, at), at); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				ev, err := e.Evaluate(b.Context(), g, at)
				if err != nil || len(ev.Failed) > 0 {
					b.Fatalf("%v, %v", ev.Failed, err)
				}
				at = at.Add(15 * time.Second)
			}
		})
	}
}
