package deliver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// How a send ended, as in the label of the metric.
const (
	outcomeSent    = "sent"
	outcomeFailed  = "failed"
	outcomeDropped = "dropped"
)

// Metrics of deliveries. The values of receiver are those of the configuration.
type Metrics struct {
	notifications *prometheus.CounterVec   // receiver, outcome
	seconds       *prometheus.HistogramVec // receiver
	claims        *prometheus.CounterVec   // verdict
	withoutStore  *prometheus.CounterVec   // receiver, outcome
	restored      prometheus.Counter
	lost          prometheus.Counter
	unrecorded    prometheus.Counter
	store         prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_alerter_" + name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_alerter_" + name, Help: help}, labels)
	}
	m := &Metrics{
		notifications: vec("notifications_total", "Notifications by receiver and outcome: sent, failed (and tried again), dropped (refused for good).", "receiver", "outcome"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "penstock_alerter_notification_duration_seconds", Help: "How long receivers took, whatever they answered.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 7)}, []string{"receiver"}),
		claims:       vec("claims_total", "Claims by verdict: go (this replica sends), not_needed (it was sent), held (another sends).", "verdict"),
		withoutStore: vec("without_store_total", "Looks at groups that had to be told while the store of claims did not answer: sent (severe enough), waiting.", "receiver", "outcome"),
		restored:     counter("claims_restored_total", "Groups of which the store of claims had to be told from the log what was sent."),
		lost:         counter("claims_lost_total", "Claims that another replica took over while this one was sending: a duplicate each."),
		unrecorded:   counter("notifications_unrecorded_total", "Notifications that are not in the history, as the log did not take them for long."),
		store: prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_alerter_claims_store_up",
			Help: "1 while the store of claims answers, 0 while it is passed over."}),
	}
	reg.MustRegister(m.notifications, m.seconds, m.claims, m.withoutStore, m.restored, m.lost, m.unrecorded, m.store)
	for _, v := range verdicts {
		m.claims.WithLabelValues(v)
	}
	return m
}

var verdicts = map[alerts.Verdict]string{alerts.Go: "go", alerts.NotNeeded: "not_needed", alerts.Held: "held"}

func (m *Metrics) claim(v alerts.Verdict) { m.claims.WithLabelValues(verdicts[v]).Inc() }

func (m *Metrics) sent(receiver, outcome string, took time.Duration) {
	m.notifications.WithLabelValues(receiver, outcome).Inc()
	m.seconds.WithLabelValues(receiver).Observe(took.Seconds())
}

func (m *Metrics) waiting(receiver string) { m.withoutStore.WithLabelValues(receiver, "waiting").Inc() }

func (m *Metrics) open(receiver string) { m.withoutStore.WithLabelValues(receiver, "sent").Inc() }
