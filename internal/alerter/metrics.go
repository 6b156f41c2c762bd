package alerter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Metrics of evaluating and telling.
type Metrics struct {
	evaluations *prometheus.CounterVec // outcome
	missed      prometheus.Counter
	seconds     prometheus.Histogram
	untold      prometheus.Counter
	tenants     prometheus.Counter
	incidents   *prometheus.GaugeVec // status
	firing      prometheus.Gauge
	timers      prometheus.Gauge
	late        prometheus.Gauge
	escalated   prometheus.Counter
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
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_alerter_" + name, Help: help})
	}
	m.incidents = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_alerter_incidents", Help: "Incidents that go on, by status: open, acked."}, []string{"status"})
	m.firing = gauge("firing_alerts", "Alerts that fire.")
	m.timers = gauge("escalation_timers", "Incidents of which a level, the next cycle or the end of an ack is to come. 0 on replicas that do not tell.")
	m.late = gauge("escalation_late_seconds", "How long what is to come has been due, of the incident that waits longest.")
	m.escalated = counter("escalations_total", "Levels that came, and cycles that ended without an answer.")
	reg.MustRegister(m.evaluations, m.missed, m.seconds, m.untold, m.tenants, m.incidents, m.firing, m.timers, m.late, m.escalated)
	for _, s := range []alerts.Status{alerts.Open, alerts.Taken} {
		m.incidents.WithLabelValues(string(s))
	}
	for _, o := range []string{"told", "muted"} {
		m.evaluations.WithLabelValues(o)
	}
	return m
}

// sight is what a step of the escalation saw.
type sight struct {
	status map[alerts.Status]int
	firing int
	timers int
	late   time.Duration
}

func (s *sight) add(i *alerts.Incident, at, now time.Time) {
	s.status[i.Status]++
	s.firing += len(i.Firing)
	if i.Status != alerts.Closed && !at.IsZero() {
		s.timers++
		s.late = max(s.late, now.Sub(at))
	}
}

func (m *Metrics) saw(s sight) {
	for _, status := range []alerts.Status{alerts.Open, alerts.Taken} {
		m.incidents.WithLabelValues(string(status)).Set(float64(s.status[status]))
	}
	m.firing.Set(float64(s.firing))
	m.timers.Set(float64(s.timers))
	m.late.Set(s.late.Seconds())
}
