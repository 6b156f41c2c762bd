package intake

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Why messages did not reach the sink, as in the label of the metric.
const (
	reasonPurged   = "purged"
	reasonDamaged  = "damaged"
	reasonNewer    = "newer_version"
	reasonTooLarge = "too_large"
	reasonRefused  = "refused"
)

var reasons = []string{reasonPurged, reasonDamaged, reasonNewer, reasonTooLarge, reasonRefused}

// Metrics of the intake.
type Metrics struct {
	messages *prometheus.CounterVec // stream
	dropped  *prometheus.CounterVec // stream, reason
	failures *prometheus.CounterVec // stream
	retries  *prometheus.CounterVec // stream
	anew     *prometheus.CounterVec // stream
	behind   *prometheus.GaugeVec   // stream
	short    *prometheus.GaugeVec   // stream
	ahead    *prometheus.GaugeVec   // stream
	points   prometheus.Counter
	metrics  *prometheus.CounterVec // outcome

	kept, left prometheus.Counter // of metrics
	intake     atomic.Pointer[Intake]
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_alerter_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_alerter_" + name, Help: help}, []string{"stream"})
	}
	m := &Metrics{
		messages: counter("intake_messages_total", "Messages that the alerter has read.", "stream"),
		dropped:  counter("intake_dropped_messages_total", "Messages that did not reach the rules, by reason: purged (before they could be read), damaged, newer_version (upgrade the alerter), too_large, refused (the samples cannot be translated).", "stream", "reason"),
		failures: counter("intake_failures_total", "Times that a stream could not be read or asked; it is tried on.", "stream"),
		retries:  counter("intake_retries_total", "Times that samples could not be stored; the same are tried on.", "stream"),
		anew:     counter("intake_streams_made_anew_total", "Times that a stream was found made anew, and read from its beginning.", "stream"),
		behind:   gauge("intake_behind_messages", "Messages of the stream that the alerter has not read yet."),
		short:    gauge("warmup_missing_seconds", "How much less of the past the stream held at the start than the rules look back."),
		ahead:    gauge("clock_ahead_seconds", "By how much this clock was seen to be ahead of the queue's. More than the query offset lets a rule be evaluated too early."),
		points:   prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_alerter_intake_points_total", Help: "Metric points in the messages read, whether a rule wants them or not."}),
		metrics:  counter("intake_metrics_total", "Metrics in the messages read, by outcome: kept (a rule names it), left.", "outcome"),
	}
	m.kept, m.left = m.metrics.WithLabelValues("kept"), m.metrics.WithLabelValues("left")
	lag := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "penstock_alerter_watermark_lag_seconds",
		Help: "Age of the watermark: rules are evaluated as of then, less the query offset."}, m.lag)
	reg.MustRegister(m.messages, m.dropped, m.failures, m.retries, m.anew, m.behind, m.short, m.ahead, m.points, m.metrics, lag)
	return m
}

// of makes the series of an intake.
func (m *Metrics) of(i *Intake) {
	m.intake.Store(i)
	for _, s := range i.o.Streams {
		for _, r := range reasons {
			m.dropped.WithLabelValues(s, r)
		}
		for _, c := range []*prometheus.CounterVec{m.messages, m.failures, m.retries, m.anew} {
			c.WithLabelValues(s)
		}
		for _, g := range []*prometheus.GaugeVec{m.behind, m.short, m.ahead} {
			g.WithLabelValues(s)
		}
	}
}

// lag is since the beginning as long as there is no watermark.
func (m *Metrics) lag() float64 {
	i := m.intake.Load()
	if i == nil {
		return 0
	}
	at := i.Watermark()
	if at.IsZero() {
		at = i.o.From
	}
	return max(0, time.Since(at).Seconds())
}
