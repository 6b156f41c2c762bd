package tenant

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Labels of tenants that have none of their own. No tenant can have such a name.
const (
	LabelNone   = "(none)"   // requests of no tenant
	LabelOthers = "(others)" // tenants beyond Config.MaxLabels
)

// Metrics of what each tenant sends. Bounded in labels by the Registry.
type Metrics struct {
	items   *prometheus.CounterVec // tenant, signal
	bytes   *prometheus.CounterVec // tenant
	refused *prometheus.CounterVec // tenant, reason
	known   prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		items: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_tenant_accepted_items_total",
			Help: "Items answered with success, by tenant: (none) are those of no tenant, (others) those of tenants beyond tenants.max_labels."}, []string{"tenant", "signal"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_tenant_accepted_bytes_total",
			Help: "Bytes of accepted requests after decompression, by tenant."}, []string{"tenant"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_tenant_refused_requests_total",
			Help: "Requests refused, by tenant and reason."}, []string{"tenant", "reason"}),
		known: prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_tenants_known",
			Help: "Tenants whose spending is remembered now."}),
	}
	reg.MustRegister(m.items, m.bytes, m.refused, m.known)
	return m
}

// counters are those of one label.
type counters struct {
	items   [otlp.NumSignals]prometheus.Counter
	bytes   prometheus.Counter
	refused *prometheus.CounterVec // reason
}

func (m *Metrics) of(label string) counters {
	c := counters{bytes: m.bytes.WithLabelValues(label), refused: m.refused.MustCurryWith(prometheus.Labels{"tenant": label})}
	for _, s := range otlp.Signals {
		c.items[s] = m.items.WithLabelValues(label, s.String())
	}
	return c
}
