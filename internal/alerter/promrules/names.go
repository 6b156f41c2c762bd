package promrules

import (
	"fmt"

	"github.com/prometheus/otlptranslator"

	"github.com/penstock-otel/penstock/pkg/alerts/rules"
)

// Names writes names of OTLP as the series of an Engine have them. It implements
// rules.Names.
type Names struct{}

var kindNames = map[string]Kind{
	rules.Gauge: Gauge, rules.UpDown: Sum, rules.Counter: MonotonicSum,
	rules.Histogram: Histogram, rules.ExponentialHistogram: ExponentialHistogram,
}

// Metric has the name of the metric, to which the series of a classic histogram add
// their suffixes.
func (Names) Metric(name, unit, kind string) (string, error) {
	k, ok := kindNames[kind]
	if !ok {
		return "", fmt.Errorf("unknown kind %q", kind)
	}
	return MetricName(name, unit, k)
}

// Label is the name of an attribute.
func (Names) Label(name string) (string, error) { return (&otlptranslator.LabelNamer{}).Build(name) }

// MetricName is what a metric of OTLP is called in rules.
func MetricName(name, unit string, kind Kind) (string, error) {
	namer := newNamer()
	return namer.Build(otlptranslator.Metric{Name: name, Unit: unit, Type: kinds[kind]})
}

// newNamer is as Engine translates.
func newNamer() otlptranslator.MetricNamer {
	return otlptranslator.MetricNamer{WithMetricSuffixes: true}
}
