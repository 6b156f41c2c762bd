package otlp

import (
	"fmt"
	"math/rand/v2"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

func number(key string, value int64) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: value}}}
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// realistic is a request as an instrumented HTTP service sends it: one resource,
// one scope, n items of some 350 (spans), 150 (points) or 300 (records) bytes.
func realistic(t testing.TB, sig Signal, n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	const start = 1_790_000_000_000_000_000
	res := &resource.Resource{Attributes: []*common.KeyValue{
		text("service.name", "checkout"), text("service.version", "2.14.1"), text("k8s.pod.name", "checkout-7d9c6bdf4-x2x8p"),
		text("k8s.namespace.name", "shop"), text("host.name", "ip-10-1-2-3.eu-central-1.compute.internal"),
		text("telemetry.sdk.language", "go"), text("telemetry.sdk.version", "1.40.0")}}
	scope := &common.InstrumentationScope{Name: "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", Version: "0.65.0"}
	attributes := func(i int) []*common.KeyValue {
		return []*common.KeyValue{
			text("http.request.method", "GET"), text("url.path", fmt.Sprintf("/api/v1/orders/%d/items", i*7919)),
			text("http.route", "/api/v1/orders/{id}/items"), number("http.response.status_code", 200),
			text("server.address", "checkout.shop.svc.cluster.local"), number("server.port", 8080),
			text("network.protocol.version", "1.1"), text("user_agent.original", "okhttp/4.12.0")}
	}
	var m proto.Message
	switch sig {
	case Traces:
		s := &trace.ScopeSpans{Scope: scope, SchemaUrl: "https://opentelemetry.io/schemas/1.37.0"}
		for i := range n {
			s.Spans = append(s.Spans, &trace.Span{
				TraceId: randomBytes(r, 16), SpanId: randomBytes(r, 8), ParentSpanId: randomBytes(r, 8), Flags: 257,
				Name: "GET /api/v1/orders/{id}/items", Kind: trace.Span_SPAN_KIND_SERVER,
				StartTimeUnixNano: start + uint64(i)*1000, EndTimeUnixNano: start + uint64(i)*1000 + 2_000_000,
				Attributes: attributes(i), Status: &trace.Status{},
			})
		}
		m = &coltrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{Resource: res, ScopeSpans: []*trace.ScopeSpans{s}}}}
	case Metrics:
		s := &metrics.ScopeMetrics{Scope: scope}
		for i := 0; i < n; i += 10 {
			sum := &metrics.Sum{AggregationTemporality: 2, IsMonotonic: true}
			hist := &metrics.Histogram{AggregationTemporality: 2}
			for j := range min(10, n-i) {
				if j%2 == 0 {
					sum.DataPoints = append(sum.DataPoints, &metrics.NumberDataPoint{StartTimeUnixNano: start, TimeUnixNano: start + 15_000_000_000,
						Value: &metrics.NumberDataPoint_AsInt{AsInt: r.Int64()}, Attributes: attributes(j)[3:7]})
					continue
				}
				hist.DataPoints = append(hist.DataPoints, &metrics.HistogramDataPoint{StartTimeUnixNano: start, TimeUnixNano: start + 15_000_000_000,
					Count: 100, Sum: proto.Float64(12.5), Min: proto.Float64(0.1), Max: proto.Float64(4),
					BucketCounts: make([]uint64, 15), ExplicitBounds: make([]float64, 14), Attributes: attributes(j)[3:7]})
			}
			s.Metrics = append(s.Metrics,
				&metrics.Metric{Name: "http.server.request.body.size", Unit: "By", Data: &metrics.Metric_Sum{Sum: sum}},
				&metrics.Metric{Name: "http.server.request.duration", Unit: "s", Description: "Duration of HTTP server requests.", Data: &metrics.Metric_Histogram{Histogram: hist}})
		}
		m = &colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{Resource: res, ScopeMetrics: []*metrics.ScopeMetrics{s}}}}
	case Logs:
		s := &logs.ScopeLogs{Scope: scope}
		for i := range n {
			s.LogRecords = append(s.LogRecords, &logs.LogRecord{
				TimeUnixNano: start + uint64(i)*1000, ObservedTimeUnixNano: start + uint64(i)*1000, SeverityNumber: 9, SeverityText: "INFO",
				Body:       &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: fmt.Sprintf("order %d confirmed, payment authorised after 2 tries in 183 ms", i)}},
				Attributes: attributes(i)[:5], TraceId: randomBytes(r, 16), SpanId: randomBytes(r, 8), Flags: 1,
			})
		}
		m = &collogs.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{Resource: res, ScopeLogs: []*logs.ScopeLogs{s}}}}
	}
	return encode(t, m)
}
