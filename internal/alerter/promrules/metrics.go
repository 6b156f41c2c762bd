package promrules

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of all engines of a process.
type Metrics struct {
	stored      prometheus.Counter
	dropped     *prometheus.CounterVec // reason
	evaluations *prometheus.CounterVec // outcome
	failures    prometheus.Counter
	missed      prometheus.Counter
	seconds     prometheus.Histogram
	refused     *prometheus.CounterVec // of

	byReason                      [NumReasons]prometheus.Counter
	ok, failed, cut               prometheus.Counter // of evaluations
	refusedMetrics, refusedResult prometheus.Counter

	mu      sync.Mutex // guards what follows
	engines map[*Engine]bool
}

// NewMetrics registers the metrics; nil: they are nowhere to be seen.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_alerter_rules_" + name, Help: help}, labels)
	}
	m := &Metrics{
		stored:      prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_alerter_rules_samples_total", Help: "Samples stored for rules."}),
		dropped:     counter("dropped_samples_total", "Samples of metrics that rules name which were left out, by reason: too_old, future, out_of_order, duplicate (of one time, with another value), not_finite, negative_delta, label_limit, series_limit, delta_refused (earlier than one of its series before it), invalid.", "reason"),
		evaluations: counter("evaluations_total", "Evaluations of rule groups, by outcome: ok, failed (a rule of it), cut (the process stopped).", "outcome"),
		failures:    prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_alerter_rules_failures_total", Help: "Rules that could not be evaluated at a slot; their alerts stay as they are."}),
		missed:      prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_alerter_rules_missed_slots_total", Help: "Slots of rule groups that were passed over."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "penstock_alerter_rules_evaluation_seconds", Help: "Time to evaluate a rule group.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 2, 5, 10, 30}}),
		refused: counter("refused_series_total", "Times that a series was not made because of the limit, by what it is of: metrics, results (of rules).", "of"),
		engines: map[*Engine]bool{},
	}
	for r := range NumReasons {
		m.byReason[r] = m.dropped.WithLabelValues(r.String())
	}
	m.ok, m.failed, m.cut = m.evaluations.WithLabelValues("ok"), m.evaluations.WithLabelValues("failed"), m.evaluations.WithLabelValues("cut")
	m.refusedMetrics, m.refusedResult = m.refused.WithLabelValues("metrics"), m.refused.WithLabelValues("results")
	if reg == nil {
		return m
	}
	gauge := func(name, help string, of string, read func(*Engine) int) prometheus.Collector {
		o := prometheus.GaugeOpts{Name: "penstock_alerter_rules_" + name, Help: help}
		if of != "" {
			o.ConstLabels = prometheus.Labels{"of": of}
		}
		return prometheus.NewGaugeFunc(o, func() float64 { return m.sum(read) })
	}
	const series = "Series that are held for rules, by what they are of: metrics, results (of rules)."
	reg.MustRegister(m.stored, m.dropped, m.evaluations, m.failures, m.missed, m.seconds, m.refused,
		gauge("series", series, "metrics", func(e *Engine) int { n, _ := e.Series(); return n }),
		gauge("series", series, "results", func(e *Engine) int { _, n := e.Series(); return n }),
		gauge("held_alerts", "Alerts that go on without data, because their rules say so (on_absent: hold).", "", func(e *Engine) int { return int(e.held.Load()) }))
	return m
}

// sum adds up engines.
func (m *Metrics) sum(read func(*Engine) int) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for e := range m.engines {
		n += read(e)
	}
	return float64(n)
}

// of begins or ends to count an engine.
func (m *Metrics) of(e *Engine, there bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there {
		m.engines[e] = true
	} else {
		delete(m.engines, e)
	}
}

func (m *Metrics) appended(a *Appended) {
	m.stored.Add(float64(a.Samples))
	for r, n := range a.Dropped {
		if n > 0 {
			m.byReason[r].Add(float64(n))
		}
	}
}
