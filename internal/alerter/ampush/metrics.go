package ampush

import "github.com/prometheus/client_golang/prometheus"

// What became of an alert that was pushed.
const (
	outcomeSent    = "sent"
	outcomeFailed  = "failed"
	outcomeRefused = "refused"
)

// Metrics of pushing. The values of target are those of the configuration.
type Metrics struct {
	alerts *prometheus.CounterVec // target, outcome
	last   *prometheus.GaugeVec   // target
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_alerter_pushed_alerts_total",
			Help: "Alerts pushed to an Alertmanager, each time: sent, failed (and tried again), refused (by its answer, with what else was in the request)."}, []string{"target", "outcome"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_alerter_push_last_success_timestamp_seconds",
			Help: "When an Alertmanager last took what was pushed; 0: not yet, or another replica pushes."}, []string{"target"}),
	}
	reg.MustRegister(m.alerts, m.last)
	return m
}

func (m *Metrics) known(target string) {
	for _, o := range []string{outcomeSent, outcomeFailed, outcomeRefused} {
		m.alerts.WithLabelValues(target, o)
	}
	m.last.WithLabelValues(target)
}

func (m *Metrics) pushed(target, outcome string, n int) {
	m.alerts.WithLabelValues(target, outcome).Add(float64(n))
	if outcome == outcomeSent {
		m.last.WithLabelValues(target).SetToCurrentTime()
	}
}
