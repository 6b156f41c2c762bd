package replay

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/job"
)

// Metrics of replay and redrive. The label is the kind of the job.
type Metrics struct {
	messages, items, bytes *prometheus.CounterVec // kind, outcome
	failures, yields       *prometheus.CounterVec // kind
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_replay_" + name + "_total", Help: help}, append([]string{"kind"}, labels...))
		reg.MustRegister(v)
		return v
	}
	const by = ", by outcome: done, skipped (not wanted), dead (moved to the dead-letter stream, or back), damaged (cannot be read), missing (purged before it was read)."
	return &Metrics{
		messages: counter("messages", "Messages that jobs of this process dealt with"+by, "outcome"),
		items:    counter("items", "Items that jobs of this process dealt with"+by, "outcome"),
		bytes:    counter("bytes", "Bytes before compression that jobs of this process dealt with"+by, "outcome"),
		failures: counter("failures", "Exports of jobs that failed and are tried again."),
		yields:   counter("yields", "Times an export of a job waited because live traffic needed the destination, each wait of 200 ms counted."),
	}
}

// count what a message came to.
func (m *Metrics) count(kind string, o outcome) {
	for name, a := range map[string]job.Amount{"done": o.done, "skipped": o.skipped, "dead": o.dead, "damaged": o.damaged, "missing": o.missing} {
		if a == (job.Amount{}) {
			continue
		}
		m.messages.WithLabelValues(kind, name).Add(float64(a.Messages))
		m.items.WithLabelValues(kind, name).Add(float64(a.Items))
		m.bytes.WithLabelValues(kind, name).Add(float64(a.Bytes))
	}
}
