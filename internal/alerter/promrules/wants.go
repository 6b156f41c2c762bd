package promrules

import (
	"sync"

	"github.com/prometheus/otlptranslator"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Kind is the kind of a metric's data.
type Kind uint8

// The kinds of OTLP.
const (
	Gauge Kind = iota + 1
	Sum
	MonotonicSum
	Histogram
	ExponentialHistogram
	Summary
)

// kinds are those of the translator.
var kinds = [...]otlptranslator.MetricType{
	Gauge:                otlptranslator.MetricTypeGauge,
	Sum:                  otlptranslator.MetricTypeNonMonotonicCounter,
	MonotonicSum:         otlptranslator.MetricTypeMonotonicCounter,
	Histogram:            otlptranslator.MetricTypeHistogram,
	ExponentialHistogram: otlptranslator.MetricTypeExponentialHistogram,
	Summary:              otlptranslator.MetricTypeSummary,
}

// nameCache remembers which metrics rules want.
type nameCache struct {
	namer otlptranslator.MetricNamer

	mu    sync.RWMutex // guards what follows
	all   bool
	want  map[string]bool // names of metrics in Prometheus' form, suffixes of series cut off too
	known map[string][]verdict
	size  int
}

// verdict is one metric of a name.
type verdict struct {
	unit string
	kind Kind
	want bool
}

// maxKnown bounds the cache, which begins anew beyond it; maxUnits those of a name.
const (
	maxKnown = 16384
	maxUnits = 16
)

// Wants tells whether a rule reads the metric, by its name, unit and kind in OTLP.
// It is for each metric of the stream: a name that was seen costs one lookup and no
// allocation.
func (e *Engine) Wants(name, unit []byte, kind Kind) bool {
	if kind == 0 || int(kind) >= len(kinds) {
		return false
	}
	c := &e.names
	c.mu.RLock()
	if c.all {
		c.mu.RUnlock()
		return true
	}
	for _, v := range c.known[string(name)] {
		if v.kind == kind && v.unit == string(unit) {
			c.mu.RUnlock()
			return v.want
		}
	}
	c.mu.RUnlock()
	return c.learn(string(name), string(unit), kind)
}

func (c *nameCache) learn(name, unit string, kind Kind) bool {
	built, err := c.namer.Build(otlptranslator.Metric{Name: name, Unit: unit, Type: kinds[kind]})
	c.mu.Lock()
	defer c.mu.Unlock()
	want := c.all || err == nil && c.want[built]
	if c.size >= maxKnown || len(c.known[name]) >= maxUnits {
		c.known, c.size = map[string][]verdict{}, 0
	}
	c.known[name] = append(c.known[name], verdict{unit, kind, want})
	c.size++
	return want
}

// set replaces what is wanted.
func (c *nameCache) set(n Needs) {
	want := map[string]bool{}
	for _, name := range n.Names {
		for _, b := range bases(name) {
			want[b] = true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all, c.want, c.known, c.size = n.All, want, map[string][]verdict{}, 0
}

// KindOf is the kind of a metric on the wire; 0: of none that rules can read.
func KindOf(h otlp.MetricHead) Kind {
	switch h.Kind {
	case otlp.Gauge:
		return Gauge
	case otlp.Sum:
		if h.Monotonic {
			return MonotonicSum
		}
		return Sum
	case otlp.Histogram:
		return Histogram
	case otlp.ExponentialHistogram:
		return ExponentialHistogram
	case otlp.Summary:
		return Summary
	}
	return 0
}
