package otlpgrpc

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
)

// BenchmarkExport is one call after the other, with a server that drops what it
// gets, in the same process.
func BenchmarkExport(b *testing.B) {
	raw := exportertest.Body(otlp.Traces, 1, 2000)
	for _, c := range []struct{ stored, wire string }{{"zstd", "zstd"}, {"s2", "none"}, {"s2", "zstd"}} {
		b.Run(c.stored+" to "+c.wire, func(b *testing.B) {
			// Windows that do not measure the server's flow control.
			s := &server{addr: "127.0.0.1:0", opts: []grpc.ServerOption{grpc.StaticStreamWindowSize(4 << 20), grpc.StaticConnWindowSize(16 << 20)}}
			s.handler = func(_ context.Context, _ otlp.Signal, recv func(*grpcwire.Frame) error) ([]byte, error) {
				f := grpcwire.Frame{KeepCompressed: true}
				defer f.Free()
				return nil, recv(&f)
			}
			s.start(b)
			defer s.Stop()
			x, err := New(Config{Endpoints: []string{s.addr}, Compression: c.wire})
			if err != nil {
				b.Fatal(err)
			}
			defer x.Close()
			r := exportertest.Request(b, otlp.Traces, c.stored, raw)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := x.Export(context.Background(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
