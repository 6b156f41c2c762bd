package conformance

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// signal is one of the stable signals of OTLP.
type signal struct {
	name    string // as in a path
	service string // of gRPC
}

var allSignals = []signal{
	{"traces", "opentelemetry.proto.collector.trace.v1.TraceService"},
	{"metrics", "opentelemetry.proto.collector.metrics.v1.MetricsService"},
	{"logs", "opentelemetry.proto.collector.logs.v1.LogsService"},
}

func (s signal) path() string   { return "/v1/" + s.name }
func (s signal) method() string { return "/" + s.service + "/Export" }

// SignalNames are the values of Config.Signals.
func SignalNames() []string {
	names := make([]string, len(allSignals))
	for i, s := range allSignals {
		names[i] = s.name
	}
	return names
}

// markPrefix begins every mark, by which backends find what was sent.
const markPrefix = "otlpconf-"

const markLength = len(markPrefix) + 16

// newMark is a text that is nowhere else.
func newMark() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return markPrefix + hex.EncodeToString(b[:])
}

// Fixed values of what is sent.
const (
	startNano = 1_785_000_000_000_000_000
	endNano   = startNano + 1_000_000
	bigInt    = 9_007_199_254_740_993 // 2^53 + 1: a double would lose its end
)

var (
	traceID  = []byte{0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c}
	spanID   = []byte{0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74}
	parentID = []byte{0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x73}
)

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func attribute(key string, v *common.AnyValue) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: v}
}

// message is a request with one item that has the mark in its resource.
func (s signal) message(mark string, more ...*common.KeyValue) proto.Message {
	res := &resource.Resource{Attributes: []*common.KeyValue{attribute("service.name", text(mark))}}
	scope := &common.InstrumentationScope{Name: "otlp-conformance", Version: "1"}
	switch s.name {
	case "traces":
		return &coltrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{Resource: res, ScopeSpans: []*trace.ScopeSpans{{Scope: scope,
			Spans: []*trace.Span{{TraceId: traceID, SpanId: spanID, Name: mark, Kind: trace.Span_SPAN_KIND_SERVER, StartTimeUnixNano: startNano, EndTimeUnixNano: endNano, Attributes: more}}}}}}}
	case "metrics":
		return &colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{Resource: res, ScopeMetrics: []*metrics.ScopeMetrics{{Scope: scope,
			Metrics: []*metrics.Metric{{Name: "conformance.gauge", Unit: "1", Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: []*metrics.NumberDataPoint{{
				TimeUnixNano: endNano, Value: &metrics.NumberDataPoint_AsInt{AsInt: 42}, Attributes: more}}}}}}}}}}}
	default:
		return &collogs.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{Resource: res, ScopeLogs: []*logs.ScopeLogs{{Scope: scope,
			LogRecords: []*logs.LogRecord{{TimeUnixNano: startNano, ObservedTimeUnixNano: endNano, SeverityNumber: logs.SeverityNumber_SEVERITY_NUMBER_INFO, Body: text(mark), Attributes: more}}}}}}}
	}
}

// request is message in protobuf.
func (s signal) request(mark string, more ...*common.KeyValue) []byte {
	return encode(s.message(mark, more...))
}

// encode is for messages of this package's own making.
func encode(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("BUG: %T cannot be encoded: %v", m, err))
	}
	return b
}

// requestJSON is message in the JSON of OTLP, written by hand: the ids are hex,
// which the JSON mapping of protobuf would make base64.
func (s signal) requestJSON(mark string) string {
	res := fmt.Sprintf(`"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}}]}`, mark)
	scope := `"scope":{"name":"otlp-conformance","version":"1"}`
	switch s.name {
	case "traces":
		return fmt.Sprintf(`{"resourceSpans":[{%s,"scopeSpans":[{%s,"spans":[{"traceId":"%x","spanId":"%x","name":%q,"kind":2,"startTimeUnixNano":"%d","endTimeUnixNano":"%d"}]}]}]}`,
			res, scope, traceID, spanID, mark, int64(startNano), int64(endNano))
	case "metrics":
		return fmt.Sprintf(`{"resourceMetrics":[{%s,"scopeMetrics":[{%s,"metrics":[{"name":"conformance.gauge","unit":"1","gauge":{"dataPoints":[{"timeUnixNano":"%d","asInt":"42"}]}}]}]}]}`,
			res, scope, int64(endNano))
	default:
		return fmt.Sprintf(`{"resourceLogs":[{%s,"scopeLogs":[{%s,"logRecords":[{"timeUnixNano":"%d","observedTimeUnixNano":"%d","severityNumber":9,"body":{"stringValue":%q}}]}]}]}`,
			res, scope, int64(startNano), int64(endNano), mark)
	}
}

func (s signal) newRequest() proto.Message {
	return map[string]func() proto.Message{
		"traces":  func() proto.Message { return new(coltrace.ExportTraceServiceRequest) },
		"metrics": func() proto.Message { return new(colmetrics.ExportMetricsServiceRequest) },
		"logs":    func() proto.Message { return new(collogs.ExportLogsServiceRequest) },
	}[s.name]()
}

// partial is what an answer says of a request that was taken.
type partial struct {
	set      bool // partial_success is in the answer
	rejected int64
	message  string
}

// says tells whether there is anything in it.
func (p partial) says() bool { return p.rejected != 0 || p.message != "" }

// parseResponse reads an Export*ServiceResponse, in JSON or protobuf.
func (s signal) parseResponse(b []byte, isJSON bool) (partial, error) {
	decode := func(m proto.Message) error {
		if isJSON {
			return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, m)
		}
		return proto.Unmarshal(b, m)
	}
	switch s.name {
	case "traces":
		var m coltrace.ExportTraceServiceResponse
		err := decode(&m)
		return partial{m.PartialSuccess != nil, m.GetPartialSuccess().GetRejectedSpans(), m.GetPartialSuccess().GetErrorMessage()}, err
	case "metrics":
		var m colmetrics.ExportMetricsServiceResponse
		err := decode(&m)
		return partial{m.PartialSuccess != nil, m.GetPartialSuccess().GetRejectedDataPoints(), m.GetPartialSuccess().GetErrorMessage()}, err
	default:
		var m collogs.ExportLogsServiceResponse
		err := decode(&m)
		return partial{m.PartialSuccess != nil, m.GetPartialSuccess().GetRejectedLogRecords(), m.GetPartialSuccess().GetErrorMessage()}, err
	}
}

// response is the answer to a request that was taken in part.
func (s signal) response(rejected int64, message string) proto.Message {
	switch s.name {
	case "traces":
		return &coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: rejected, ErrorMessage: message}}
	case "metrics":
		return &colmetrics.ExportMetricsServiceResponse{PartialSuccess: &colmetrics.ExportMetricsPartialSuccess{RejectedDataPoints: rejected, ErrorMessage: message}}
	default:
		return &collogs.ExportLogsServiceResponse{PartialSuccess: &collogs.ExportLogsPartialSuccess{RejectedLogRecords: rejected, ErrorMessage: message}}
	}
}
