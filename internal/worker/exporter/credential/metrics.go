package credential

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of the tokens that are fetched.
type Metrics struct {
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec
	expiry   *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_exporter_token_requests_total",
			Help: "Requests to the token endpoint of a destination, by outcome: ok, failed."}, []string{"destination", "outcome"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_exporter_tokens_refused_total",
			Help: "Tokens that were dropped before they expired because the destination refused them."}, []string{"destination"}),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_exporter_token_expiry_timestamp_seconds",
			Help: "When the token in use expires; 0 when its endpoint does not say."}, []string{"destination"}),
	}
	reg.MustRegister(m.requests, m.refused, m.expiry)
	return m
}

// fetched counts a request; a nil m counts nothing.
func (m *Metrics) fetched(destination string, err error, expires time.Time) {
	switch {
	case m == nil:
	case err != nil:
		m.requests.WithLabelValues(destination, "failed").Inc()
	default:
		m.requests.WithLabelValues(destination, "ok").Inc()
		at := 0.0
		if !expires.IsZero() {
			at = float64(expires.Unix())
		}
		m.expiry.WithLabelValues(destination).Set(at)
	}
}

func (m *Metrics) dropped(destination string) {
	if m != nil {
		m.refused.WithLabelValues(destination).Inc()
	}
}
