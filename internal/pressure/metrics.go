package pressure

import "github.com/prometheus/client_golang/prometheus"

// Metrics of early refusal.
type Metrics struct {
	refusing *prometheus.GaugeVec // signal
	rate     *prometheus.GaugeVec // stream
	needed   prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		refusing: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_pressure_refusing",
			Help: "1 while requests of the signal are refused early: its streams are above 90 % of their bytes, or the volume of the embedded queue is nearly full."}, []string{"signal"}),
		rate: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_pressure_freed_bytes_per_second",
			Help: "Rate at which purging frees a stream, from which the wait asked of refused clients is computed."}, []string{"stream"}),
		needed: prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_pressure_disk_needed_bytes",
			Help: "Free bytes on the volume of the embedded queue below which requests are refused; 0 when the queue is elsewhere."}),
	}
	reg.MustRegister(m.refusing, m.rate, m.needed)
	return m
}
