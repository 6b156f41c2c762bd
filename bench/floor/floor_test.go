// Package floor measures what the parts of the way cost by themselves on this
// machine: the floors that docs/performance.md compares with. Each benchmark has
// ns/B, of time on one core, beside what Go prints.
package floor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// perByte reports the time of b by bytes of one operation.
func perByte(b *testing.B, took time.Duration, bytes int, unit string) {
	b.ReportMetric(float64(took)/float64(b.N)/float64(bytes), unit)
}

// BenchmarkCopy copies 32 KiB within a core's cache, and 32 KiB of 128 MiB in turn,
// which no cache holds.
func BenchmarkCopy(b *testing.B) {
	const piece = 32 << 10
	for _, c := range []struct {
		name string
		size int
	}{{"hot", piece}, {"cold", 128 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			from, to := make([]byte, c.size), make([]byte, c.size)
			for i := range from {
				from[i], to[i] = byte(i), 1
			}
			at := 0
			b.SetBytes(piece)
			for b.Loop() {
				copy(to[at:at+piece], from[at:at+piece])
				if at += piece; at == c.size {
					at = 0
				}
			}
			perByte(b, b.Elapsed(), piece, "ns/B")
		})
	}
}

// items are those of a request of each signal in the benchmark's scenarios.
var items = map[otlp.Signal]int{otlp.Traces: 100, otlp.Metrics: 1000, otlp.Logs: 512}

// requests is a group of about 1 MiB, request by request.
func requests(sig otlp.Signal) (out [][]byte) {
	g := sample.New(1, sample.Shape{})
	for size, at := 0, time.Unix(1_800_000_000, 0); size < 1<<20; at = at.Add(time.Second) {
		p := g.Append(nil, sig, items[sig], at)
		out, size = append(out, p), size+len(p)
	}
	return out
}

// BenchmarkCheck checks the requests of a group in turn.
func BenchmarkCheck(b *testing.B) {
	for _, sig := range otlp.Signals {
		b.Run(sig.String(), func(b *testing.B) {
			group := requests(sig)
			size := len(slices.Concat(group...))
			b.SetBytes(int64(size))
			for b.Loop() {
				for _, p := range group {
					if _, err := otlp.Check(sig, p, otlp.CheckOptions{}); err != nil {
						b.Fatal(err)
					}
				}
			}
			perByte(b, b.Elapsed(), size, "ns/B")
		})
	}
}

// BenchmarkCodec compresses and decompresses a group; the figures are by raw byte.
func BenchmarkCodec(b *testing.B) {
	for _, name := range []string{codec.S2, codec.Zstd} {
		for _, sig := range otlp.Signals {
			raw := slices.Concat(requests(sig)...)
			enc, err := codec.NewEncoder(name, 0)
			if err != nil {
				b.Fatal(err)
			}
			packed, err := enc.Append(make([]byte, 0, codec.MaxEncodedLen(name, len(raw))), raw)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("encode/%s/%s", name, sig), func(b *testing.B) {
				dst := make([]byte, 0, codec.MaxEncodedLen(name, len(raw)))
				b.SetBytes(int64(len(raw)))
				for b.Loop() {
					if _, err := enc.Append(dst, raw); err != nil {
						b.Fatal(err)
					}
				}
				perByte(b, b.Elapsed(), len(raw), "ns/B")
				b.ReportMetric(100*float64(len(packed))/float64(len(raw)), "%stored")
			})
			b.Run(fmt.Sprintf("decode/%s/%s", name, sig), func(b *testing.B) {
				dst := make([]byte, 0, len(raw))
				b.SetBytes(int64(len(raw)))
				for b.Loop() {
					if _, err := codec.Decode(dst, name, packed, len(raw)); err != nil {
						b.Fatal(err)
					}
				}
				perByte(b, b.Elapsed(), len(raw), "ns/B")
			})
		}
	}
}

// BenchmarkChecksum is by stored byte.
func BenchmarkChecksum(b *testing.B) {
	p := make([]byte, 256<<10)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		codec.Checksum(p)
	}
	perByte(b, b.Elapsed(), len(p), "ns/B")
}

// BenchmarkSocket writes to a loopback connection and then reads it, in one
// goroutine, so that nothing waits and each side is timed alone. The kernel does
// much of the receiver's work within the write.
func BenchmarkSocket(b *testing.B) {
	for _, size := range []int{32 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			w, r := connected(b)
			p := make([]byte, size)
			var writing, reading time.Duration
			b.SetBytes(int64(size))
			for b.Loop() {
				began := time.Now()
				if n, err := syscall.Write(w, p); n != size || err != nil {
					b.Fatalf("wrote %d: %v", n, err)
				}
				written := time.Now()
				for n := 0; n < size; {
					m, err := syscall.Read(r, p)
					if m <= 0 || err != nil {
						b.Fatalf("read %d: %v", m, err)
					}
					n += m
				}
				writing, reading = writing+written.Sub(began), reading+time.Since(written)
			}
			perByte(b, writing, size, "write-ns/B")
			perByte(b, reading, size, "read-ns/B")
		})
	}
}

// connected are the two ends of a TCP connection, which block.
func connected(b *testing.B) (w, r int) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	own := func(c net.Conn) int {
		f, err := c.(*net.TCPConn).File() // a blocking descriptor of our own
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { f.Close() })
		return int(f.Fd())
	}
	return own(c), own(s)
}

// BenchmarkDisk writes 256 KiB at a time into a file of 64 MiB in the system's
// temporary directory: into the page cache, and with an fsync each.
func BenchmarkDisk(b *testing.B) {
	const piece, most = 256 << 10, 64 << 20
	p := make([]byte, piece)
	for i := range p {
		p[i] = byte(i * i >> 3)
	}
	for _, sync := range []bool{false, true} {
		b.Run(map[bool]string{false: "write", true: "fsync"}[sync], func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "disk"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			var syncs []time.Duration
			var writing time.Duration
			at := int64(0)
			b.SetBytes(piece)
			for b.Loop() {
				began := time.Now()
				if _, err := f.WriteAt(p, at); err != nil {
					b.Fatal(err)
				}
				writing += time.Since(began)
				if at += piece; at == most {
					at = 0
				}
				if !sync {
					continue
				}
				began = time.Now()
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
				syncs = append(syncs, time.Since(began))
			}
			perByte(b, writing, piece, "write-ns/B")
			if sync {
				slices.Sort(syncs)
				b.ReportMetric(float64(syncs[len(syncs)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(syncs[len(syncs)*99/100].Microseconds())/1000, "p99-ms")
			}
		})
	}
}

// BenchmarkCall is an empty unary call over loopback, 48 at a time on 4 connections,
// client and server in this process: cpu-µs is of both together.
func BenchmarkCall(b *testing.B) {
	server := grpc.NewServer(grpc.ForceServerCodecV2(grpcwire.Codec{}))
	server.RegisterService(grpcwire.ServiceDesc(otlp.Traces, func(_ context.Context, _ otlp.Signal, recv func(*grpcwire.Frame) error) ([]byte, error) {
		var f grpcwire.Frame
		defer f.Free()
		return nil, recv(&f)
	}), nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
	}()
	var conns [4]*grpc.ClientConn
	for i := range conns {
		conns[i], err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(grpcwire.Codec{})))
		if err != nil {
			b.Fatal(err)
		}
		defer conns[i].Close()
	}
	b.SetParallelism(24)
	b.ResetTimer()
	before := cpu(b)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			var reply grpcwire.Frame
			if err := conns[i%len(conns)].Invoke(context.Background(), grpcwire.Method(otlp.Traces), grpcwire.NewFrame(nil), &reply); err != nil {
				b.Error(err)
				return
			}
			reply.Free()
		}
	})
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/call")
}

// cpu is the time of this process, user and system.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
