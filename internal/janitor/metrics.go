package janitor

import "github.com/prometheus/client_golang/prometheus"

// Why messages are purged, as in the label of the metric.
const (
	reasonWindow   = "window"   // older than replay_window
	reasonBytes    = "bytes"    // above replay_bytes
	reasonPressure = "pressure" // the stream is short of space
)

// Metrics of the janitor. The gauges of streams are those of the leader alone.
type Metrics struct {
	purged        *prometheus.CounterVec // stream, reason
	floor, target *prometheus.GaugeVec   // stream
	kept          *prometheus.GaugeVec   // stream
	shortened     *prometheus.GaugeVec   // stream
	blocked       *prometheus.GaugeVec   // stream
	missing       *prometheus.GaugeVec   // stream
	held          *prometheus.GaugeVec   // stream
	leader        prometheus.Gauge
	lastRun       prometheus.Gauge
	failures      prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_janitor_" + name, Help: help}, []string{"stream"})
	}
	m := &Metrics{
		purged: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_janitor_purged_messages_total",
			Help: "Messages purged after every destination had them, by reason: window (older than retention.replay_window), bytes (above retention.replay_bytes), pressure (the stream was short of space)."}, []string{"stream", "reason"}),
		floor:     gauge("floor_sequence", "Sequence up to which every destination has the stream; nothing above it is purged. 0 when there is no destination or one is missing."),
		target:    gauge("target_sequence", "Sequence up to which the stream was to be purged, in the last round: floor and replay window together."),
		kept:      gauge("replay_window_seconds", "Age of the oldest message that the stream holds."),
		shortened: gauge("replay_window_shortened", "1 while the stream does not have room for retention.replay_window."),
		blocked:   gauge("blocked", "1 while the stream is above 80 % of its bytes and a destination that has not taken them keeps it there."),
		missing:   gauge("missing_consumers", "Durables that the destinations of this process should have on the stream and that are not there: nothing is purged then."),
		held:      gauge("held", "1 while a replay or the ledger keeps data of the stream that every destination has."),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_janitor_leader",
			Help: "1 in the process whose janitor works."}),
		lastRun: prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_janitor_last_success_timestamp_seconds",
			Help: "When this process as the leader last went round all streams without a failure."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_janitor_failures_total",
			Help: "Streams skipped in a round because of an error, and leases and holds that could not be asked for."}),
	}
	reg.MustRegister(m.purged, m.floor, m.target, m.kept, m.shortened, m.blocked, m.missing, m.held, m.leader, m.lastRun, m.failures)
	return m
}

// follow takes back what only the leader tells.
func (m *Metrics) follow() {
	m.leader.Set(0)
	for _, g := range []*prometheus.GaugeVec{m.floor, m.target, m.kept, m.shortened, m.blocked, m.missing, m.held} {
		g.Reset()
	}
}
