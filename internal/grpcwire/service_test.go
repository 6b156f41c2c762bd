package grpcwire

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/penstock-otel/penstock/internal/otlp"
)

func TestMethodNamesAreTheOfficialOnes(t *testing.T) {
	for sig, want := range map[otlp.Signal]string{
		otlp.Traces:  coltrace.TraceService_Export_FullMethodName,
		otlp.Metrics: colmetrics.MetricsService_Export_FullMethodName,
		otlp.Logs:    collogs.LogsService_Export_FullMethodName,
	} {
		if got := Method(sig); got != want {
			t.Errorf("Method(%s) = %q, want %q", sig, got, want)
		}
	}
}

// answer is what both servers of TestNothingTellsItFromAUnaryMethod do.
func answer(ctx context.Context, spans int) (*coltrace.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	grpc.SetHeader(ctx, metadata.Pairs("x-header", strings.Join(md["x-ask"], "+")))
	grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", fmt.Sprint(spans)))
	switch first := append(md["x-ask"], "")[0]; first {
	case "partial":
		return &coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: 3, ErrorMessage: strings.Repeat("too old. ", 300)}}, nil
	case "busy":
		st, err := status.New(codes.Unavailable, "queue is full").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(7e9)})
		if err != nil {
			return nil, err
		}
		return nil, st.Err()
	case "plain error":
		return nil, fmt.Errorf("no status")
	case "deadline":
		return nil, context.DeadlineExceeded
	}
	return &coltrace.ExportTraceServiceResponse{}, nil
}

func spans(r *coltrace.ExportTraceServiceRequest) (n int) {
	for _, rs := range r.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			n += len(ss.Spans)
		}
	}
	return n
}

// One conversation with a server of this package and with one of the official
// types: responses, headers, trailers, statuses and details are the same.
func TestNothingTellsItFromAUnaryMethod(t *testing.T) {
	limit := grpc.MaxRecvMsgSize(1 << 20)
	ours := serveFrames(t, func(ctx context.Context, _ otlp.Signal, recv func(*Frame) error) ([]byte, error) {
		var f Frame
		if err := recv(&f); err != nil {
			return nil, err
		}
		defer f.Free()
		b, release := f.Bytes(nil)
		defer release()
		var r coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(b, &r); err != nil {
			return nil, err
		}
		reply, err := answer(ctx, spans(&r))
		if err != nil {
			return nil, err
		}
		return proto.Marshal(reply)
	}, limit)
	theirs := serve(t, func(s *grpc.Server) {
		coltrace.RegisterTraceServiceServer(s, official{export: func(ctx context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
			return answer(ctx, spans(r))
		}})
	}, limit)

	unary := func(ask string, spans int, opts ...grpc.CallOption) func(*grpc.ClientConn) string {
		return func(c *grpc.ClientConn) string {
			ctx := metadata.AppendToOutgoingContext(testContext(t), "x-ask", ask)
			var header, trailer metadata.MD
			reply, err := coltrace.NewTraceServiceClient(c).Export(ctx, request(spans*140, "a"), append(opts, grpc.Header(&header), grpc.Trailer(&trailer))...)
			return fmt.Sprint(reply, status.Convert(err).Proto(), header["x-header"], header["content-type"], trailer["x-trailer"])
		}
	}
	// stream sends n requests as a client that streams would.
	stream := func(n int, opts ...grpc.CallOption) func(*grpc.ClientConn) string {
		return func(c *grpc.ClientConn) string {
			s, err := c.NewStream(testContext(t), &grpc.StreamDesc{ClientStreams: true}, Method(otlp.Traces), opts...)
			for i := 0; i < n && err == nil; i++ {
				err = s.SendMsg(request(300, "s"))
			}
			var reply coltrace.ExportTraceServiceResponse
			err = firstError(err, s.CloseSend(), s.RecvMsg(&reply))
			return fmt.Sprint(status.Convert(err).Proto())
		}
	}
	for name, conversation := range map[string]func(*grpc.ClientConn) string{
		"ok":                    unary("nothing", 10),
		"empty request":         unary("nothing", 0),
		"partial success":       unary("partial", 10),
		"status with details":   unary("busy", 10),
		"error without status":  unary("plain error", 10),
		"context error":         unary("deadline", 10),
		"gzip":                  unary("partial", 1000, grpc.UseCompressor("gzip")),
		"zstd":                  unary("partial", 1000, grpc.UseCompressor("zstd")),
		"snappy":                unary("partial", 1000, grpc.UseCompressor("snappy")),
		"gzip of nothing":       unary("nothing", 0, grpc.UseCompressor("gzip")),
		"over the limit":        unary("nothing", 20_000),
		"no message":            stream(0),
		"one message":           stream(1),
		"two messages":          stream(2),
		"two messages, gzipped": stream(2, grpc.UseCompressor("gzip")),
	} {
		t.Run(name, func(t *testing.T) {
			got, want := conversation(dial(t, ours)), conversation(dial(t, theirs))
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	t.Run("encoding that nobody has", func(t *testing.T) {
		for _, addr := range []string{ours, theirs} {
			_, err := coltrace.NewTraceServiceClient(dial(t, addr, ShipCompressor("lz4"))).Export(testContext(t), request(10, "z"))
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("%v, want UNIMPLEMENTED", err)
			}
		}
	})
}

func TestHandlerMayRefuseBeforeItReceives(t *testing.T) {
	addr := serveFrames(t, func(context.Context, otlp.Signal, func(*Frame) error) ([]byte, error) {
		return nil, status.Error(codes.Unauthenticated, "who are you")
	})
	_, err := coltrace.NewTraceServiceClient(dial(t, addr)).Export(testContext(t), request(2<<20, "x"))
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("%v, want UNAUTHENTICATED", err)
	}
}

func TestEverySignalReachesTheHandler(t *testing.T) {
	addr := serveFrames(t, func(_ context.Context, sig otlp.Signal, recv func(*Frame) error) ([]byte, error) {
		return nil, status.Error(codes.Aborted, sig.String())
	})
	c := dial(t, addr)
	for _, sig := range otlp.Signals {
		err := c.Invoke(testContext(t), Method(sig), NewFrame(nil), &Frame{}, grpc.ForceCodecV2(Codec{}))
		if status.Convert(err).Message() != sig.String() {
			t.Errorf("%s: %v", sig, err)
		}
	}
}

// The codec serves protobuf services beside frames.
func TestHealthServiceOnTheSameServer(t *testing.T) {
	addr := serve(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, health.NewServer()) }, grpc.ForceServerCodecV2(Codec{}))
	for _, name := range []string{encoding.Identity, "gzip", "zstd", "snappy"} {
		r, err := healthpb.NewHealthClient(dial(t, addr)).Check(testContext(t), &healthpb.HealthCheckRequest{}, grpc.UseCompressor(name))
		if err != nil || r.Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}
