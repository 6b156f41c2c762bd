package receiver

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Transports, as in the label of the metrics.
const (
	transportGRPC = "grpc"
	transportHTTP = "http"
)

// Metrics of the front door. The stems are those of the OpenTelemetry
// Collector's receivers.
type Metrics struct {
	requests          *prometheus.CounterVec // signal, transport, outcome
	bytes             *prometheus.CounterVec // signal, transport
	seconds           *prometheus.HistogramVec
	accepted, refused [otlp.NumSignals]*prometheus.CounterVec
	unrouted          *prometheus.CounterVec // signal
	repaired          prometheus.Counter
	gateWaits         prometheus.Counter
	connections       *prometheus.CounterVec // transport, reason
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_receiver_requests_total",
			Help: "Requests by outcome: accepted, empty, partial, or the reason of refusal. Requests for no known signal have the signal none."}, []string{"signal", "transport", "outcome"}),
		unrouted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_receiver_unrouted_items_total",
			Help: "Items accepted of a signal that no destination takes; they stay in the queue for the replay window."}, []string{"signal"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_receiver_request_bytes_total",
			Help: "Bytes of requests after decompression."}, []string{"signal", "transport"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "penstock_receiver_request_seconds",
			Help: "Time from a received request to its answer.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15)}, []string{"transport"}),
		repaired: prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_receiver_repaired_strings_total",
			Help: "Strings that were not UTF-8 and had their bad bytes replaced."}),
		gateWaits: prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_receiver_gate_waits_total",
			Help: "Reads of OTLP/gRPC connections that waited because the buffers of half-received messages were full."}),
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_receiver_refused_connections_total",
			Help: "Connections that were closed: at once, because as many were open as gateway.limits allows, by the key of the limit; or, calls_given_up, because their client gave up 1000 more calls than it sent."}, []string{"transport", "reason"}),
	}
	reg.MustRegister(m.requests, m.bytes, m.seconds, m.repaired, m.unrouted, m.gateWaits, m.connections)
	for _, t := range []string{transportGRPC, transportHTTP} {
		m.connections.WithLabelValues(t, overAll)
		m.connections.WithLabelValues(t, overEach)
	}
	for _, s := range otlp.Signals {
		m.accepted[s] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_receiver_accepted_" + s.Items() + "_total",
			Help: "Items answered with success: durable in the queue."}, []string{"transport"})
		m.refused[s] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_receiver_refused_" + s.Items() + "_total",
			Help: "Items refused, by reason. Requests that could not be decoded count no items."}, []string{"transport", "reason"})
		reg.MustRegister(m.accepted[s], m.refused[s])
		for _, t := range []string{transportGRPC, transportHTTP} {
			m.accepted[s].WithLabelValues(t)
			m.bytes.WithLabelValues(s.String(), t)
		}
	}
	return m
}

// unknown counts a request for no signal.
func (m *Metrics) unknown(transport string, reason otlp.Reason) {
	m.requests.WithLabelValues("none", transport, string(reason)).Inc()
}

func (m *Metrics) refusal(s otlp.Signal, transport string, items int, reason otlp.Reason) {
	m.requests.WithLabelValues(s.String(), transport, string(reason)).Inc()
	if items > 0 {
		m.refused[s].WithLabelValues(transport, string(reason)).Add(float64(items))
	}
}
