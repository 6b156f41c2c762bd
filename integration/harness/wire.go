package harness

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // senders and backends may use it
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// rawCodec carries *[]byte. Unlike the product's it copies, and knows nothing of
// compression: gRPC does that.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("raw codec was given a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*b)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("raw codec was given a %T", v)
	}
	*b = data.Materialize()
	return nil
}

var serviceNames = [otlp.NumSignals]string{
	otlp.Traces:  "opentelemetry.proto.collector.trace.v1.TraceService",
	otlp.Metrics: "opentelemetry.proto.collector.metrics.v1.MetricsService",
	otlp.Logs:    "opentelemetry.proto.collector.logs.v1.LogsService",
}

func method(sig otlp.Signal) string { return "/" + serviceNames[sig] + "/Export" }

// serveRaw registers the three services with one handler of bytes.
func serveRaw(s *grpc.Server, handle func(ctx context.Context, sig otlp.Signal, body []byte) ([]byte, error)) {
	for _, sig := range otlp.Signals {
		s.RegisterService(&grpc.ServiceDesc{
			ServiceName: serviceNames[sig],
			Methods: []grpc.MethodDesc{{
				MethodName: "Export",
				Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
					var body []byte
					if err := dec(&body); err != nil {
						return nil, err
					}
					reply, err := handle(ctx, sig, body)
					return &reply, err
				},
			}},
		}, nil)
	}
}

// NewRequest is an empty request of the official types.
func NewRequest(sig otlp.Signal) proto.Message {
	return [...]proto.Message{
		otlp.Traces:  &collectortrace.ExportTraceServiceRequest{},
		otlp.Metrics: &collectormetrics.ExportMetricsServiceRequest{},
		otlp.Logs:    &collectorlogs.ExportLogsServiceRequest{},
	}[sig]
}
