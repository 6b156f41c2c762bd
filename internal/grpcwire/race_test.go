package grpcwire

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/experimental"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

func encodingCompressor(name string) encoding.Compressor { return encoding.GetCompressor(name) }

// Pooled buffers and compressors have given one request another's bytes
// elsewhere. Here many clients send payloads of their own in all encodings,
// shipped and compressed, some damaged, over a few connections; server and
// client compare checksums.
func TestManyCallsKeepTheirOwnData(t *testing.T) {
	const clients, calls = 8, 18
	pool := NewMeteredPool(0)
	addr := serveFrames(t, func(_ context.Context, _ otlp.Signal, recv func(*Frame) error) ([]byte, error) {
		f := Frame{Pool: pool}
		if err := recv(&f); err != nil {
			return nil, err
		}
		b, release := f.Bytes(pool)
		defer release()
		f.Free()
		return append([]byte(nil), b...), nil // an echo, which gRPC compresses as the request was
	}, experimental.BufferPool(pool))

	names := []string{"gzip", "zstd", "snappy"}
	shipping := map[string]*grpc.ClientConn{}
	for _, name := range names {
		shipping[name] = dial(t, addr, ShipCompressor(name), experimental.WithBufferPool(pool))
	}
	plain := dial(t, addr, experimental.WithBufferPool(pool))
	ctx := testContext(t)
	var wg sync.WaitGroup
	for g := range clients {
		wg.Go(func() {
			for i := range calls {
				name := names[i%len(names)]
				data := marshal(t, request(500+g*9000+i*500, fmt.Sprintf("client %d call %d", g, i)))
				want := codec.Checksum(data)
				reply := Frame{Pool: pool}
				var err error
				switch i % 4 {
				case 0, 1:
					err = shipping[name].Invoke(ctx, Method(otlp.Traces), NewFrame(compress(t, name, data)), &reply, grpc.ForceCodecV2(Codec{}))
				case 2:
					err = plain.Invoke(ctx, Method(otlp.Traces), NewFrame(data), &reply, grpc.ForceCodecV2(Codec{}), grpc.UseCompressor(name))
				case 3:
					cut := compress(t, name, data)
					err = shipping[name].Invoke(ctx, Method(otlp.Traces), NewFrame(cut[:len(cut)-9]), &reply, grpc.ForceCodecV2(Codec{}))
					if err == nil {
						t.Errorf("%s cut short: no error", name)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				b, release := reply.Bytes(pool)
				if got := codec.Checksum(b); got != want || len(b) != len(data) {
					t.Errorf("client %d call %d, %s: %d bytes with checksum %#x, want %d with %#x", g, i, name, len(b), got, len(data), want)
				}
				release()
				reply.Free()
			}
		})
	}
	wg.Wait()
	eventually(t, "all buffers are back", func() bool { return pool.InUse() == 0 })
}
