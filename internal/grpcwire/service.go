package grpcwire

import (
	"context"

	"google.golang.org/grpc"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// services are the full names in opentelemetry-proto v1.11, collector/*/v1.
var services = [otlp.NumSignals]string{
	otlp.Traces:  "opentelemetry.proto.collector.trace.v1.TraceService",
	otlp.Metrics: "opentelemetry.proto.collector.metrics.v1.MetricsService",
	otlp.Logs:    "opentelemetry.proto.collector.logs.v1.LogsService",
}

// Method is the full method name of a signal's Export, as in
// "/opentelemetry.proto.collector.trace.v1.TraceService/Export".
func Method(sig otlp.Signal) string { return "/" + services[sig] + "/Export" }

// ExportHandler answers one Export. Headers are in the incoming metadata of ctx;
// grpc.SetHeader and grpc.SetTrailer work.
//
// recv receives the request into a frame that the handler frees; it is called at
// most once, and not at all when the call is refused by its headers alone. Its
// error may be returned as it is, or mapped (see ReceiveProblem).
//
// reply is an encoded Export*ServiceResponse, empty for full success. It is sent
// without a copy and must not change afterwards. An error that is no gRPC status
// is answered as UNKNOWN.
type ExportHandler func(ctx context.Context, sig otlp.Signal, recv func(*Frame) error) (reply []byte, err error)

// ServiceDesc describes the service of a signal to grpc.Server.RegisterService
// (with nil for the implementation). The server must use Codec, by
// grpc.ForceServerCodecV2 or by default. Unary interceptors do not run: they
// would see a request only after it was received.
func ServiceDesc(sig otlp.Signal, handler ExportHandler) *grpc.ServiceDesc {
	export := func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		reply, err := handler(ctx, sig, func(f *Frame) error { return receive(f, dec) })
		if err != nil {
			return nil, err
		}
		return NewFrame(reply), nil
	}
	return &grpc.ServiceDesc{
		ServiceName: services[sig],
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: export}},
		Metadata:    "opentelemetry/proto/collector",
	}
}

// receive decompresses outside of RecvMsg, which answers errors by itself.
func receive(f *Frame, dec func(any) error) error {
	f.deferred = true
	err := dec(f)
	f.deferred = false
	if err == nil && !f.KeepCompressed {
		err = f.Decompress(0)
	}
	if err != nil {
		f.Free()
	}
	return err
}
