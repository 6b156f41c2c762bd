package grpcwire

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/penstock-otel/penstock/internal/otlp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// serve runs a server until the test is over and returns its address.
func serve(t testing.TB, register func(*grpc.Server), opts ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(append(opts, grpc.WaitForHandlers(true))...)
	register(s)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		// A test may be over before the server began to serve.
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// serveFrames runs a server of the three signals on this package.
func serveFrames(t testing.TB, h ExportHandler, opts ...grpc.ServerOption) string {
	t.Helper()
	return serve(t, func(s *grpc.Server) {
		for _, sig := range otlp.Signals {
			s.RegisterService(ServiceDesc(sig, h), nil)
		}
	}, append(opts, grpc.ForceServerCodecV2(Codec{}))...)
}

// official is a server of the official types, on gRPC's own path.
type official struct {
	coltrace.UnimplementedTraceServiceServer
	export func(context.Context, *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error)
}

func (o official) Export(ctx context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	return o.export(ctx, r)
}

func dial(t testing.TB, addr string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+addr, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// request has spans of about n bytes in all.
func request(n int, seed string) *coltrace.ExportTraceServiceRequest {
	ss := &trace.ScopeSpans{}
	for i := 0; n > 0; i++ {
		name := fmt.Sprintf("%s GET /api/v1/items/%d", seed, i*7919%100003)
		ss.Spans = append(ss.Spans, &trace.Span{Name: name, SpanId: []byte(fmt.Sprintf("%08d", i)), Attributes: []*common.KeyValue{
			{Key: "http.route", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: strings.Repeat("/x", 20)}}},
		}})
		n -= 90 + len(name)
	}
	return &coltrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{ScopeSpans: []*trace.ScopeSpans{ss}}}}
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compress is what other programs send as a grpc-encoding.
func compress(t testing.TB, encoding string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var err error
	switch encoding {
	case "gzip":
		w := gzip.NewWriter(&out)
		_, err = w.Write(b)
		err = firstError(err, w.Close())
	case "zstd":
		w, _ := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		_, err = w.Write(b)
		err = firstError(err, w.Close())
	case "snappy":
		w := snappy.NewBufferedWriter(&out)
		_, err = w.Write(b)
		err = firstError(err, w.Close())
	case "":
		return b
	default:
		t.Fatalf("compress %q", encoding)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 10 s: %s", what)
		}
	}
}
