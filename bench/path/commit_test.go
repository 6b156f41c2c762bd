// Package path measures the way of a request through Penstock inside one process:
// what a commit costs over a real queue, and what the whole way allocates.
package path

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/gateway/committer"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// inFlight is the requests that wait for their commit at a time.
const inFlight = 96

// load is a realistic request.
func load(sig otlp.Signal, items int) ([]byte, otlp.Info, error) {
	p := sample.New(1, sample.Shape{}).Append(nil, sig, items, time.Unix(1_800_000_000, 0))
	info, err := otlp.Check(sig, p, otlp.CheckOptions{})
	return p, info, err
}

// cpuTime is of the whole process, the embedded server too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// emptied purges the stream now and then, outside of what is of interest, so
// that a long run does not fill the disk.
type emptied struct {
	*jetstream.Queue
	published atomic.Int64
}

func (e *emptied) Publish(ctx context.Context, stream string, m *queue.Message) (queue.Receipt, error) {
	r, err := e.Queue.Publish(ctx, stream, m)
	if err == nil && e.published.Add(1)%1024 == 0 {
		err = e.Purge(ctx, stream, r.Sequence-1)
	}
	return r, err
}

// BenchmarkCommit joins requests into groups, compresses them, and has them
// confirmed by an embedded JetStream: after an fsync (strict) or a write
// (process). One operation is one request; cpu-ns/B is by raw byte.
func BenchmarkCommit(b *testing.B) {
	for _, durability := range []jetstream.Durability{jetstream.Strict, jetstream.Process} {
		for _, name := range []string{"none", "s2", "zstd"} {
			for _, sig := range otlp.Signals {
				b.Run(fmt.Sprintf("%s/%s/%s", durability, name, sig), func(b *testing.B) { benchCommit(b, durability, name, sig) })
			}
		}
	}
}

func benchCommit(b *testing.B, durability jetstream.Durability, codecName string, sig otlp.Signal) {
	server, err := embedded.Start(b.Context(), embedded.Config{Dir: b.TempDir(), SyncAlways: durability == jetstream.Strict, MaxStoreBytes: 8 << 30})
	if err != nil {
		b.Fatal(err)
	}
	q, err := jetstream.Open(b.Context(), jetstream.Config{Conn: server, Durability: durability})
	if err != nil {
		b.Fatal(err)
	}
	var streams [otlp.NumSignals][]string
	for _, s := range otlp.Signals {
		streams[s] = []string{"PATH_" + strings.ToUpper(s.String())}
		if err := q.EnsureStream(b.Context(), queue.StreamConfig{Name: streams[s][0], MaxBytes: 2 << 30}); err != nil {
			b.Fatal(err)
		}
	}
	policy, err := codec.NewPolicy(codecName, 0, 0)
	if err != nil {
		b.Fatal(err)
	}
	c := committer.New(committer.Options{Config: committer.DefaultConfig(), Queue: &emptied{Queue: q}, Streams: streams,
		Compression: policy, Metrics: committer.NewMetrics(prometheus.NewRegistry())})
	p, info, err := load(sig, map[otlp.Signal]int{otlp.Traces: 100, otlp.Metrics: 1000, otlp.Logs: 512}[sig])
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	b.SetParallelism(max(1, inFlight/runtime.GOMAXPROCS(0)))
	before := cpuTime(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ticket, err := c.Add(committer.Request{Signal: sig, Payload: p, Info: info, Release: func() {}})
			if err == nil {
				_, err = ticket.Wait(context.Background())
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/float64(len(p)), "cpu-ns/B")
	b.StopTimer()
	if err := c.Stop(context.Background()); err != nil {
		b.Error(err)
	}
	if err := q.Close(); err != nil {
		b.Error(err)
	}
	if err := server.Shutdown(context.Background()); err != nil {
		b.Error(err)
	}
}
