package promrules

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// minScale is the coarsest exponential histogram that Prometheus can hold; one
// that is coarser would end the translation of its metric.
const minScale = -4

// guard takes out of a request what would harm its neighbours further on: a time
// far ahead moves the window of the whole store and stops its delta stream, one
// far back stretches the store over years, and what is not finite stays in the
// sum of a delta stream for ever.
type guard struct {
	from, to uint64 // Unix ns
	o        *Options
	names    *labelNames
	said     *Appended
}

func (e *Engine) guard(md pmetric.Metrics, now time.Time, said *Appended) {
	g := guard{
		from: uint64(max(now.Add(-e.o.MaxAge).UnixNano(), 1)), to: uint64(now.Add(e.o.MaxAhead).UnixNano()),
		o: &e.o, names: &e.labelNames, said: said,
	}
	md.ResourceMetrics().RemoveIf(func(rm pmetric.ResourceMetrics) bool {
		if problem := g.attributes(rm.Resource().Attributes()); problem != "" {
			said.drop(LabelLimit, pointsOf(rm), "resource: "+problem)
			return true
		}
		rm.ScopeMetrics().RemoveIf(func(sm pmetric.ScopeMetrics) bool {
			sm.Metrics().RemoveIf(g.metric)
			return sm.Metrics().Len() == 0
		})
		return rm.ScopeMetrics().Len() == 0
	})
}

// metric takes out points, and tells whether nothing is left.
func (g *guard) metric(m pmetric.Metric) bool {
	name := m.Name()
	delta := temporality(m) == pmetric.AggregationTemporalityDelta
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		m.Gauge().DataPoints().RemoveIf(func(p pmetric.NumberDataPoint) bool { return g.number(name, p, false) })
		return m.Gauge().DataPoints().Len() == 0
	case pmetric.MetricTypeSum:
		falls := delta && m.Sum().IsMonotonic()
		m.Sum().DataPoints().RemoveIf(func(p pmetric.NumberDataPoint) bool { return g.number(name, p, falls) })
		return m.Sum().DataPoints().Len() == 0
	case pmetric.MetricTypeHistogram:
		m.Histogram().DataPoints().RemoveIf(func(p pmetric.HistogramDataPoint) bool {
			switch {
			case g.point(name, p.Timestamp(), p.Attributes()):
			case p.HasSum() && !finite(p.Sum()):
				g.said.drop(NotFinite, 1, fmt.Sprintf("%s: sum %v", name, p.Sum()))
			default:
				return false
			}
			return true
		})
		return m.Histogram().DataPoints().Len() == 0
	case pmetric.MetricTypeExponentialHistogram:
		m.ExponentialHistogram().DataPoints().RemoveIf(func(p pmetric.ExponentialHistogramDataPoint) bool {
			switch {
			case g.point(name, p.Timestamp(), p.Attributes()):
			case p.HasSum() && !finite(p.Sum()):
				g.said.drop(NotFinite, 1, fmt.Sprintf("%s: sum %v", name, p.Sum()))
			case p.Scale() < minScale:
				g.said.drop(Invalid, 1, fmt.Sprintf("%s: exponential histogram of scale %d, want %d or more", name, p.Scale(), minScale))
			default:
				return false
			}
			return true
		})
		return m.ExponentialHistogram().DataPoints().Len() == 0
	case pmetric.MetricTypeSummary:
		m.Summary().DataPoints().RemoveIf(func(p pmetric.SummaryDataPoint) bool { return g.point(name, p.Timestamp(), p.Attributes()) })
		return m.Summary().DataPoints().Len() == 0
	}
	return true
}

func (g *guard) number(name string, p pmetric.NumberDataPoint, mustRise bool) bool {
	if g.point(name, p.Timestamp(), p.Attributes()) {
		return true
	}
	if p.Flags().NoRecordedValue() {
		return false
	}
	var v float64
	if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
		v = float64(p.IntValue())
	} else {
		v = p.DoubleValue()
	}
	switch {
	case !finite(v):
		g.said.drop(NotFinite, 1, fmt.Sprintf("%s: value %v", name, v))
	case mustRise && v < 0:
		g.said.drop(Negative, 1, fmt.Sprintf("%s: delta %v of a monotonic sum", name, v))
	default:
		return false
	}
	return true
}

// point looks at what points of every kind have; true when it is to be left out.
func (g *guard) point(name string, at pcommon.Timestamp, a pcommon.Map) bool {
	switch {
	case uint64(at) < g.from:
		g.said.drop(TooOld, 1, fmt.Sprintf("%s: time %s is more than %s back", name, at.AsTime().Format(time.RFC3339), g.o.MaxAge))
	case uint64(at) > g.to:
		g.said.drop(Future, 1, fmt.Sprintf("%s: time %s is more than %s ahead", name, at.AsTime().Format(time.RFC3339), g.o.MaxAhead))
	default:
		problem := g.attributes(a)
		if problem == "" {
			return false
		}
		g.said.drop(LabelLimit, 1, name+": "+problem)
	}
	return true
}

// attributes says what of a list of attributes is not fit for labels.
func (g *guard) attributes(a pcommon.Map) (problem string) {
	if a.Len() > g.o.MaxLabels {
		return fmt.Sprintf("%d attributes, want at most %d", a.Len(), g.o.MaxLabels)
	}
	for k, v := range a.All() {
		if !g.names.fit(k) {
			return fmt.Sprintf("attribute name %.64q cannot be a label", k)
		}
		if n := sizeOf(v); len(k) > g.o.MaxLabelBytes || n > g.o.MaxLabelBytes {
			return fmt.Sprintf("attribute %.64q of %d and %d bytes, want at most %d", k, len(k), n, g.o.MaxLabelBytes)
		}
	}
	return ""
}

// sizeOf bounds the text of a value from below, without making it.
func sizeOf(v pcommon.Value) int {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return len(v.Str())
	case pcommon.ValueTypeBytes:
		return v.Bytes().Len()
	case pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
		return len(v.AsString())
	}
	return 0
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// labelNames remembers which attribute names can be labels; one that cannot ends
// the translation of its metric or resource.
type labelNames struct {
	namer otlptranslator.LabelNamer
	known map[string]bool
}

const maxLabelNames = 4096

func (l *labelNames) fit(name string) bool {
	fit, ok := l.known[name]
	if ok {
		return fit
	}
	_, err := l.namer.Build(name)
	if l.known == nil || len(l.known) >= maxLabelNames {
		l.known = map[string]bool{}
	}
	// The name of the metric is not for an attribute to set.
	l.known[name] = err == nil && name != "__name__"
	return l.known[name]
}

func temporality(m pmetric.Metric) pmetric.AggregationTemporality {
	switch m.Type() {
	case pmetric.MetricTypeSum:
		return m.Sum().AggregationTemporality()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().AggregationTemporality()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().AggregationTemporality()
	}
	return pmetric.AggregationTemporalityUnspecified
}

func pointsOf(rm pmetric.ResourceMetrics) (n int) {
	for _, sm := range rm.ScopeMetrics().All() {
		for _, m := range sm.Metrics().All() {
			n += pointsOfMetric(m)
		}
	}
	return n
}

func pointsOfMetric(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	}
	return 0
}
