package receiver

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/penstock-otel/penstock/internal/gateway/committer"
	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// drained keeps the memory queue from filling, and its ids from growing.
func drained(b *testing.B, d *door) {
	b.Helper()
	for _, names := range streams {
		if err := d.q.Purge(context.Background(), names[0], 1<<62); err != nil {
			b.Fatal(err)
		}
	}
}

func payload100() []byte {
	return sample.New(1, sample.Shape{}).Append(nil, otlp.Traces, 100, time.Unix(1_800_000_000, 0))
}

// BenchmarkGRPC is a call of 100 spans over a connection, client included.
func BenchmarkGRPC(b *testing.B) {
	for _, name := range []string{encoding.Identity, "zstd", "gzip"} {
		b.Run(name, func(b *testing.B) {
			d := open(b)
			c := d.dial(b)
			p := payload100()
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := exportBytes(context.Background(), c, otlp.Traces, p, grpc.UseCompressor(name)); err != nil {
					b.Fatal(err)
				}
				if i%1000 == 999 {
					drained(b, d)
				}
			}
		})
	}
}

// BenchmarkHTTP is a request of 100 spans over a connection, client included.
func BenchmarkHTTP(b *testing.B) {
	for _, name := range []string{"", "zstd", "gzip"} {
		b.Run("encoding="+name, func(b *testing.B) {
			d := open(b)
			c := client(b, "h1", nil)
			p := payload100()
			b.SetBytes(int64(len(p)))
			packed := pack(b, name, p)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				a, err := post(context.Background(), b, c, d.url("/v1/traces"), typeProtobuf, name, bytes.NewReader(packed))
				if err != nil || a.code != http.StatusOK {
					b.Fatal(a, err)
				}
				if i%1000 == 999 {
					drained(b, d)
				}
			}
		})
	}
}

// silent is a ResponseWriter that keeps nothing.
type silent struct{ header http.Header }

func (s silent) Header() http.Header         { return s.header }
func (s silent) Write(p []byte) (int, error) { return len(p), nil }
func (s silent) WriteHeader(int)             {}

// instant is a committer for which everything is durable at once: what remains
// is the receiver's own work.
type instant struct{}

func (instant) Add(r committer.Request) (committer.Ticket, error) {
	r.Release()
	return committer.Ticket{}, nil
}

// BenchmarkAccept is the path from a body, or a message, to an answer, without
// network and commit.
func BenchmarkAccept(b *testing.B) {
	p := payload100()
	run := func(name string, f func(b *testing.B, d *door)) {
		b.Run(name, func(b *testing.B) {
			d := open(b)
			d.commit = instant{}
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			f(b, d)
		})
	}
	run("grpc", func(b *testing.B, d *door) {
		recv := func(f *grpcwire.Frame) error {
			buf := d.g.pool.Get(len(p))
			copy(*buf, p)
			f.Data = append(f.Data, mem.NewBuffer(buf, d.g.pool))
			return nil
		}
		for b.Loop() {
			if _, err := d.g.export(context.Background(), otlp.Traces, recv); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, name := range []string{"", "zstd", "gzip"} {
		run("http encoding="+name, func(b *testing.B, d *door) {
			packed := pack(b, name, p)
			body := bytes.NewReader(packed)
			r, err := http.NewRequest(http.MethodPost, d.url("/v1/traces"), io.NopCloser(body))
			if err != nil {
				b.Fatal(err)
			}
			r.ContentLength = int64(len(packed))
			r.Header.Set("Content-Type", typeProtobuf)
			if name != "" {
				r.Header.Set("Content-Encoding", name)
			}
			w := silent{http.Header{}}
			for b.Loop() {
				body.Reset(packed)
				d.h.route(w, r)
			}
		})
	}
}
