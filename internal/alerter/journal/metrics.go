package journal

import "github.com/prometheus/client_golang/prometheus"

// Reasons for which an append fails.
const (
	reasonUnavailable = "unavailable" // the queue did not say whether it is stored
	reasonFull        = "full"        // the stream is at its limit, or has no room in the store
	reasonTooLarge    = "too_large"   // more than an entry or a message may have
)

// Reasons for which messages are purged.
const (
	reasonAge   = "age"
	reasonSpace = "space"
)

// Metrics of the log of alerts.
type Metrics struct {
	entries    prometheus.Counter
	conflicts  prometheus.Counter
	failures   *prometheus.CounterVec // reason
	unreadable prometheus.Counter
	gaps       prometheus.Counter
	anew       prometheus.Counter
	snapshots  prometheus.Counter
	purged     *prometheus.CounterVec // reason
	errors     prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_alerter_log_" + name + "_total", Help: help})
	}
	vec := func(name, help string, reasons ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_alerter_log_" + name + "_total", Help: help}, []string{"reason"})
		for _, r := range reasons {
			v.WithLabelValues(r)
		}
		return v
	}
	m := &Metrics{
		entries:    counter("entries", "Entries of the log of alerts that this process has stored."),
		conflicts:  counter("conflicts", "Entries that this process did not store because another was quicker; it then decides anew."),
		failures:   vec("failed_entries", "Entries that could not be stored: unavailable, full, too_large.", reasonUnavailable, reasonFull, reasonTooLarge),
		unreadable: counter("unreadable", "Events, entries and snapshots of the log of alerts that this process could not read and passed over."),
		gaps:       counter("gaps", "Times that entries were gone before this process had read them, without a snapshot in their place."),
		anew:       counter("anew", "Times that the log of alerts was found lost and made anew."),
		snapshots:  counter("snapshots", "Snapshots of the state of all alerts that this process has stored."),
		purged:     vec("purged_entries", "Messages of the log of alerts that this process has removed, because of their age or for space.", reasonAge, reasonSpace),
		errors:     counter("read_errors", "Times that the log of alerts could not be read and was tried again."),
	}
	reg.MustRegister(m.entries, m.conflicts, m.failures, m.unreadable, m.gaps, m.anew, m.snapshots, m.purged, m.errors)
	return m
}
