package audit

import "github.com/prometheus/client_golang/prometheus"

// Reasons for which an event is not in the stream.
const (
	reasonOverflow    = "overflow"    // too many waited
	reasonUnavailable = "unavailable" // the queue took nothing for too long
	reasonFull        = "full"        // the stream is at its limit
	reasonStopped     = "stopped"     // the process stopped before, or had no queue
)

// Reasons for which entries are purged.
const (
	reasonAge   = "age"
	reasonSpace = "space"
)

// Metrics of the audit stream.
type Metrics struct {
	entries    *prometheus.CounterVec // outcome
	merged     prometheus.Counter
	unrecorded *prometheus.CounterVec // reason
	purged     *prometheus.CounterVec // reason
	breaks     prometheus.Counter
	head       prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_audit_" + name + "_total", Help: help}, labels)
	}
	m := &Metrics{
		entries: counter("entries", "Audit entries that this process has stored: done, failed, refused.", "outcome"),
		merged: prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_audit_merged_refusals_total",
			Help: "Refused requests that another entry of the audit stream counts, because there were too many for one each."}),
		unrecorded: counter("unrecorded", "Events that are not in the audit stream but in the log, whole, as errors: overflow, unavailable, full, stopped.", "reason"),
		purged:     counter("purged_entries", "Audit entries that this process has removed, because of their age or for space.", "reason"),
		breaks: prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_audit_chain_breaks_total",
			Help: "Times that the audit stream did not have any more what this process had seen in it."}),
		head: prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_audit_head_sequence",
			Help: "Number of the last audit entry that this process has seen; its hash is in the status."}),
	}
	for _, outcome := range []string{Done, Failed, Refused} {
		m.entries.WithLabelValues(outcome)
	}
	for _, reason := range []string{reasonOverflow, reasonUnavailable, reasonFull, reasonStopped} {
		m.unrecorded.WithLabelValues(reason)
	}
	reg.MustRegister(m.entries, m.merged, m.unrecorded, m.purged, m.breaks, m.head)
	return m
}
