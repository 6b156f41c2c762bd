package ledger

import "github.com/prometheus/client_golang/prometheus"

// Metrics of the ledger. All but failures are those of the keeper alone.
type Metrics struct {
	items       *prometheus.GaugeVec // signal, destination, state
	uncounted   *prometheus.GaugeVec // stream
	ok, leader  prometheus.Gauge
	problems    prometheus.Gauge
	lastSuccess prometheus.Gauge
	failures    prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_ledger_" + name, Help: help})
	}
	m := &Metrics{
		items: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_ledger_items",
			Help: "Items since the ledger began, by what became of them: accepted, pending, exported, rejected, dead_lettered, redriven, unwanted, purged, missing, uncounted, possible_duplicates. Told by the process that keeps the ledger."}, []string{"signal", "destination", "state"}),
		uncounted: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_ledger_uncounted_messages",
			Help: "Messages that were purged before the ledger counted them."}, []string{"stream"}),
		ok:          gauge("ok", "1 while the ledger adds up and every required durable is there."),
		leader:      gauge("leader", "1 in the process that keeps the ledger."),
		problems:    gauge("problems", "Problems that the ledger has, as penstock status tells them."),
		lastSuccess: gauge("last_success_timestamp_seconds", "When this process last brought the ledger up to date."),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_ledger_failures_total",
			Help: "Looks that failed."}),
	}
	reg.MustRegister(m.items, m.uncounted, m.ok, m.leader, m.problems, m.lastSuccess, m.failures)
	return m
}

func (m *Metrics) show(l Ledger) {
	m.items.Reset()
	for _, r := range l.Signals {
		for state, n := range map[string]uint64{"accepted": r.Accepted, "pending": r.Pending, "exported": r.Exported, "rejected": r.Rejected,
			"dead_lettered": r.DeadLettered, "redriven": r.Redriven, "unwanted": r.Unwanted, "purged": r.Purged, "missing": r.Missing, "uncounted": r.Uncounted,
			"possible_duplicates": r.PossibleDuplicates} {
			m.items.WithLabelValues(r.Signal, r.Destination, state).Set(float64(n))
		}
	}
	for _, s := range l.Streams {
		m.uncounted.WithLabelValues(s.Stream).Set(float64(s.Uncounted))
	}
	ok := 0.0
	if l.OK {
		ok = 1
	}
	m.ok.Set(ok)
	m.leader.Set(1)
	m.problems.Set(float64(len(l.Problems)))
	m.lastSuccess.SetToCurrentTime()
}

// follow takes back what only the keeper tells.
func (m *Metrics) follow() {
	m.items.Reset()
	m.uncounted.Reset()
	m.ok.Set(0)
	m.leader.Set(0)
	m.problems.Set(0)
}
