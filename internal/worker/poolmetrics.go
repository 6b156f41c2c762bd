package worker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/pool"
)

// pooled is an exporter over a connection pool.
type pooled interface{ Stats() pool.Stats }

// poolCollector reads the pools when it is scraped.
type poolCollector struct {
	pools map[string]pooled

	connections, inFlight, waiting, waits, dials, connectFailures, removed *prometheus.Desc
}

// NewPoolCollector is a collector of the connection pools among the exporters.
func NewPoolCollector(exporters map[string]exporter.Exporter) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("penstock_exporter_pool_"+name, help, append([]string{"destination"}, labels...), nil)
	}
	c := &poolCollector{
		pools:           map[string]pooled{},
		connections:     desc("connections", "Connections of a destination by state.", "state"),
		inFlight:        desc("in_flight_calls", "Calls running on a connection."),
		waiting:         desc("waiting_calls", "Calls that wait for a connection."),
		waits:           desc("waits_total", "Calls that found no connection at once."),
		dials:           desc("dials_total", "Connections opened."),
		connectFailures: desc("connect_failures_total", "Times that a connection could not be made, or lost its peer."),
		removed:         desc("removed_connections_total", "Connections taken out, by reason.", "reason"),
	}
	for name, x := range exporters {
		if p, ok := x.(pooled); ok {
			c.pools[name] = p
		}
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.connections, c.inFlight, c.waiting, c.waits, c.dials, c.connectFailures, c.removed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	for name, p := range c.pools {
		s := p.Stats()
		gauge := func(d *prometheus.Desc, v int, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), append([]string{name}, labels...)...)
		}
		counter := func(d *prometheus.Desc, v uint64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append([]string{name}, labels...)...)
		}
		gauge(c.connections, s.Ready, "ready")
		gauge(c.connections, s.Connecting, "connecting")
		gauge(c.connections, s.Idle, "idle")
		gauge(c.connections, s.NotServing, "not_serving")
		gauge(c.connections, s.Broken, "broken")
		gauge(c.connections, s.Draining, "draining")
		gauge(c.inFlight, s.InFlight)
		gauge(c.waiting, s.Waiting)
		counter(c.waits, s.Waits)
		counter(c.dials, s.Dials)
		counter(c.connectFailures, s.ConnectFailures)
		counter(c.removed, s.Removed.Idle, "idle")
		counter(c.removed, s.Removed.MaxAge, "max_age")
		counter(c.removed, s.Removed.Hung, "hung")
		counter(c.removed, s.Removed.Failover, "failover")
	}
}
