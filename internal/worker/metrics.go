package worker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Metrics of the worker. The stems are those of the OpenTelemetry Collector's
// exporters; the destination is a label.
type Metrics struct {
	sent, rejected       [otlp.NumSignals]*prometheus.CounterVec
	dead, unwanted       [otlp.NumSignals]*prometheus.CounterVec
	unrouted             *prometheus.CounterVec
	possible             *prometheus.CounterVec
	splits, bisections   *prometheus.CounterVec
	merged               *prometheus.CounterVec
	breakerChanges       *prometheus.CounterVec
	breakerState         *prometheus.GaugeVec
	requestLimit         *prometheus.GaugeVec
	failed               *prometheus.CounterVec
	deadLetters          *prometheus.CounterVec
	retries, redelivered *prometheus.CounterVec
	ackFailures          *prometheus.CounterVec
	deadLetterFailures   *prometheus.CounterVec
	inFlight             *prometheus.GaugeVec
	seconds              *prometheus.HistogramVec
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	destination := []string{"destination"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append(destination, labels...))
		reg.MustRegister(v)
		return v
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, destination)
		reg.MustRegister(v)
		return v
	}
	m := &Metrics{
		failed:             counter("penstock_exporter_send_failures_total", "Export attempts that failed, each attempt counted.", "signal", "code", "kind"),
		deadLetters:        counter("penstock_exporter_dead_letters_total", "Messages moved to the dead-letter stream.", "reason"),
		deadLetterFailures: counter("penstock_exporter_dead_letter_failures_total", "Messages that the dead-letter stream did not confirm; they stay in the queue and are tried again."),
		retries:            counter("penstock_exporter_retries_total", "Messages given back to the queue to be tried again."),
		redelivered:        counter("penstock_exporter_redeliveries_total", "Deliveries that were not the first of their message."),
		ackFailures:        counter("penstock_exporter_ack_failures_total", "Acknowledgements that could not be sent or were not confirmed; the message is exported again."),
		possible:           counter("penstock_exporter_possible_duplicate_items_total", "Items that the destination confirmed and may have had before: an earlier export of them ended without an answer, or was another worker's.", "signal"),
		splits:             counter("penstock_exporter_splits_total", "Messages that were split because they were too large for one export."),
		bisections:         counter("penstock_exporter_bisections_total", "Messages that were taken apart to find the items that the destination rejects."),
		merged:             counter("penstock_exporter_merged_messages_total", "Messages that went out in one export with others."),
		breakerChanges:     counter("penstock_exporter_breaker_transitions_total", "Changes of the breaker, by the state that it changed to.", "to"),
		breakerState:       gauge("penstock_exporter_breaker_state", "0 closed, 1 half-open: an export probes the destination, 2 open: nothing is sent to it."),
		requestLimit:       gauge("penstock_exporter_request_limit_bytes", "Largest export now, before compression: max_request_bytes, or less where the destination called one too large."),
		inFlight:           gauge("penstock_exporter_in_flight_requests", "Exports running now."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "penstock_exporter_send_seconds",
			Help: "Time of one export attempt.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}, destination),
	}
	m.unrouted = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_worker_unrouted_items_total",
		Help: "Items that no destination of this worker wants; they stay in the queue for the replay window. Counted by the first destination that takes the signal."}, []string{"signal"})
	reg.MustRegister(m.seconds, m.unrouted)
	for _, s := range otlp.Signals {
		m.sent[s] = counter("penstock_exporter_sent_"+s.Items()+"_total", "Items that the destination confirmed.")
		m.rejected[s] = counter("penstock_exporter_rejected_"+s.Items()+"_total", "Items that the destination took the request of and rejected (partial success).")
		m.dead[s] = counter("penstock_exporter_dead_lettered_"+s.Items()+"_total", "Items moved to the dead-letter stream.")
		m.unwanted[s] = counter("penstock_exporter_unwanted_"+s.Items()+"_total", "Items that were settled without being sent, because the destination's tenants and conditions leave them out.")
	}
	return m
}

// of is the metrics of one destination.
func (m *Metrics) of(name string) *destinationMetrics {
	d := &destinationMetrics{
		failed: m.failed, deadLetters: m.deadLetters,
		retries: m.retries.WithLabelValues(name), redelivered: m.redelivered.WithLabelValues(name),
		ackFailures: m.ackFailures.WithLabelValues(name), inFlight: m.inFlight.WithLabelValues(name),
		deadLetterFailures: m.deadLetterFailures.WithLabelValues(name), seconds: m.seconds.WithLabelValues(name),
		splits: m.splits.WithLabelValues(name), bisections: m.bisections.WithLabelValues(name), merged: m.merged.WithLabelValues(name),
		breakerState: m.breakerState.WithLabelValues(name), breakerChanges: breakerMetrics(m.breakerChanges, name),
		requestLimit: m.requestLimit.WithLabelValues(name),
	}
	for _, s := range otlp.Signals {
		d.sent[s] = m.sent[s].WithLabelValues(name)
		d.rejected[s] = m.rejected[s].WithLabelValues(name)
		d.dead[s] = m.dead[s].WithLabelValues(name)
		d.unwanted[s] = m.unwanted[s].WithLabelValues(name)
		d.unrouted[s] = m.unrouted.WithLabelValues(s.String())
		d.possible[s] = m.possible.WithLabelValues(name, s.String())
	}
	return d
}

type destinationMetrics struct {
	sent, rejected, dead, possible    [otlp.NumSignals]prometheus.Counter
	unwanted, unrouted                [otlp.NumSignals]prometheus.Counter
	splits, bisections, merged        prometheus.Counter
	breakerState, requestLimit        prometheus.Gauge
	breakerChanges                    map[string]prometheus.Counter
	failed, deadLetters               *prometheus.CounterVec
	retries, redelivered, ackFailures prometheus.Counter
	deadLetterFailures                prometheus.Counter
	inFlight                          prometheus.Gauge
	seconds                           prometheus.Observer
}
