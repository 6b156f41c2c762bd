package grpcwire

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"

	"github.com/penstock-otel/penstock/internal/otlp"
)

func BenchmarkCodec(b *testing.B) {
	pool := NewMeteredPool(0)
	var data mem.BufferSlice
	for range 8 {
		data = append(data, mem.NewBuffer(pool.Get(16<<10), pool))
	}
	b.SetBytes(int64(data.Len()))
	b.ReportAllocs()
	var f Frame
	for b.Loop() {
		if err := (Codec{}).Unmarshal(data, &f); err != nil {
			b.Fatal(err)
		}
		_, release := f.Bytes(pool)
		f.Free()
		release()
	}
}

func BenchmarkPool(b *testing.B) {
	p := NewMeteredPool(0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p.Put(p.Get(16 << 10))
		}
	})
}

func BenchmarkDecompress(b *testing.B) {
	data := marshal(b, request(1<<20, "b"))
	for _, encoding := range []string{"gzip", "zstd", "snappy"} {
		b.Run(encoding, func(b *testing.B) {
			packed := compress(b, encoding, data)
			pool := NewMeteredPool(0)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				f := Frame{Data: mem.BufferSlice{mem.SliceBuffer(packed)}, Encoding: encoding, Pool: pool}
				if err := f.Decompress(0); err != nil {
					b.Fatal(err)
				}
				f.Free()
			}
		})
	}
}

// BenchmarkExport is one call over loopback, client and server in one process.
func BenchmarkExport(b *testing.B) {
	data := marshal(b, request(40<<10, "b")) // about 300 spans
	for _, encoding := range []string{"", "gzip", "zstd"} {
		b.Run("shipped "+encoding, func(b *testing.B) {
			pool := NewMeteredPool(0)
			addr := serveFrames(b, func(_ context.Context, _ otlp.Signal, recv func(*Frame) error) ([]byte, error) {
				f := Frame{Pool: pool}
				if err := recv(&f); err != nil {
					return nil, err
				}
				_, release := f.Bytes(pool)
				f.Free()
				release()
				return nil, nil
			}, experimental.BufferPool(pool))
			var opts []grpc.DialOption
			if encoding != "" {
				opts = append(opts, ShipCompressor(encoding))
			}
			c := dial(b, addr, opts...)
			body := compress(b, encoding, data)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				var reply Frame
				for pb.Next() {
					if err := c.Invoke(context.Background(), Method(otlp.Traces), NewFrame(body), &reply, grpc.ForceCodecV2(Codec{})); err != nil {
						b.Error(err)
					}
					reply.Free()
				}
			})
		})
	}
}
