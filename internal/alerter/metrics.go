package alerter

import "github.com/prometheus/client_golang/prometheus"

// Metrics of evaluating and telling.
type Metrics struct {
	evaluations *prometheus.CounterVec // outcome
	missed      prometheus.Counter
	seconds     prometheus.Histogram
	untold      prometheus.Counter
	tenants     prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_alerter_" + name, Help: help})
	}
	m := &Metrics{
		evaluations: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_alerter_evaluations_total",
			Help: "Evaluations of a group of rules at a slot: told, or muted (of the time before the start, for what holds)."}, []string{"outcome"}),
		missed: counter("missed_slots_total", "Slots that were passed over, as they were too far behind."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "penstock_alerter_evaluation_duration_seconds",
			Help: "How long the evaluation of a group took.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}),
		untold:  counter("untold_evaluations_total", "Evaluations whose changes the log of alerts did not take; the next one says them again."),
		tenants: counter("refused_tenants_total", "Requests of tenants beyond those whose metrics are kept for rules."),
	}
	reg.MustRegister(m.evaluations, m.missed, m.seconds, m.untold, m.tenants)
	for _, o := range []string{"told", "muted"} {
		m.evaluations.WithLabelValues(o)
	}
	return m
}
