package reload

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of the running configuration.
type Metrics struct {
	successful prometheus.Gauge
	succeeded  prometheus.Gauge
	reloads    *prometheus.CounterVec
	restart    prometheus.Gauge
	hash       prometheus.Gauge
	info       *prometheus.GaugeVec
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_config_" + name, Help: help})
	}
	m := &Metrics{
		successful: gauge("last_reload_successful", "1: the last reload of the configuration, or the start, took it; 0: it was refused, and what ran before runs."),
		succeeded:  gauge("last_reload_success_timestamp_seconds", "When the configuration was last taken, by a reload or by the start."),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_config_reloads_total",
			Help: "Reloads by how they ended."}, []string{"outcome"}),
		restart: gauge("restart_required", "1: the configuration was changed where only a restart can follow; 0: it was not."),
		hash:    gauge("hash", "First 12 digits of the hash of the running configuration, as a number. Secrets have no part in it."),
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_config_info",
			Help: "1 for the hash of the running configuration. Secrets have no part in it."}, []string{"hash"}),
	}
	for _, o := range Outcomes {
		m.reloads.WithLabelValues(o)
	}
	r.MustRegister(m.successful, m.succeeded, m.reloads, m.restart, m.hash, m.info)
	return m
}

// running tells what runs.
func (m *Metrics) running(hash string, waiting int) {
	number, err := strconv.ParseUint(hash[:12], 16, 64) // 48 bits: a float64 has them all
	if err != nil {
		panic("BUG: " + err.Error())
	}
	m.hash.Set(float64(number))
	m.info.Reset()
	m.info.WithLabelValues(hash).Set(1)
	m.restart.Set(float64(min(waiting, 1)))
	m.successful.Set(1)
	m.succeeded.SetToCurrentTime()
}
