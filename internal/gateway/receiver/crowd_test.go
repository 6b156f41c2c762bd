package receiver

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// Many clients at once over shared buffers: each request is stored as it was
// sent. A buffer that is given back too early shows here, the more so under the
// race detector.
func TestCrowd(t *testing.T) {
	const clients, each = 8, 15
	d := open(t)
	var sent [clients][][]byte
	var group errgroup.Group
	for i := range clients {
		r := rand.New(rand.NewPCG(7, uint64(i)))
		gen := sample.New(uint64(i), sample.Shape{Source: uint32(i + 1)})
		for range each {
			sent[i] = append(sent[i], gen.Append(nil, otlp.Traces, 1+r.IntN(20), time.Unix(1_800_000_000, 0)))
		}
		conn, web := d.dial(t), client(t, []string{"h1", "h2c"}[i%2], nil)
		group.Go(func() error {
			for k, b := range sent[i] {
				if (i+k)%2 == 0 {
					var opts []grpc.CallOption
					if name := []string{"", "gzip", "zstd", "snappy"}[r.IntN(4)]; name != "" {
						opts = append(opts, grpc.UseCompressor(name))
					}
					if err := exportBytes(testContext(t), conn, otlp.Traces, b, opts...); err != nil {
						return err
					}
					continue
				}
				encoding := []string{"", "gzip", "zstd", "br", "deflate", "snappy"}[r.IntN(6)]
				a, err := post(testContext(t), t, web, d.url("/v1/traces"), typeProtobuf, encoding, bytes.NewReader(pack(t, encoding, b)))
				if err != nil || a.code != http.StatusOK {
					return fmt.Errorf("%q: %d %q %w", encoding, a.code, a.body, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	stored, _ := d.stored(t, otlp.Traces)
	total := 0
	for i := range sent {
		for k, b := range sent[i] {
			total += len(b)
			if bytes.Count(stored, b) != 1 {
				t.Errorf("request %d of client %d is stored %d times", k, i, bytes.Count(stored, b))
			}
		}
	}
	if total != len(stored) {
		t.Errorf("%d bytes are stored, sent were %d", len(stored), total)
	}
}
