package amapi

import "github.com/prometheus/client_golang/prometheus"

// Metrics of what is posted.
type Metrics struct {
	alerts   *prometheus.CounterVec // outcome
	extended prometheus.Counter
	expired  prometheus.Counter
}

// What became of an alert that was posted.
const (
	isFiring   = "firing"
	isResolved = "resolved"
	isInvalid  = "invalid"
	isTooMany  = "too_many"
	isFailed   = "failed"
)

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_alerter_posted_alerts_total",
			Help: "Alerts that others posted, each time: firing, resolved, invalid (refused), too_many (refused, as more would fire than a tenant may have), failed (the log of alerts did not take it)."}, []string{"outcome"}),
		extended: prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_alerter_posted_extensions_total",
			Help: "Events in the log of alerts that moved the end of posted ones."}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_alerter_posted_expired_total",
			Help: "Posted alerts that ended as nobody posted them any more."}),
	}
	reg.MustRegister(m.alerts, m.extended, m.expired)
	for _, o := range []string{isFiring, isResolved, isInvalid, isTooMany, isFailed} {
		m.alerts.WithLabelValues(o)
	}
	return m
}

func (m *Metrics) posted(outcome string, n int) { m.alerts.WithLabelValues(outcome).Add(float64(n)) }
