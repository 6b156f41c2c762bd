package jetstream

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// BenchmarkPublish compares the ways to the embedded server. The stream is
// purged when it is full, outside of the measured time.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{64 << 10, 800 << 10} {
		for _, sync := range []bool{false, true} {
			for _, way := range []string{"pipe", "tcp"} {
				for _, flight := range []int{1, 8} {
					b.Run(fmt.Sprintf("size=%dKiB/sync=%t/%s/inflight=%d", size>>10, sync, way, flight), func(b *testing.B) {
						benchPublish(b, size, sync, way, flight)
					})
				}
			}
		}
	}
}

func benchServer(b *testing.B, sync bool, way string) *Queue {
	b.Helper()
	s, err := embedded.Start(b.Context(), embedded.Config{Dir: b.TempDir(), SyncAlways: sync, MaxStoreBytes: 8 << 30, Listen: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Shutdown(context.Background()) }) // the directory is removed
	c := Config{Conn: s, Durability: Process}
	if way == "tcp" {
		c.Conn, c.URL = nil, s.ClientURL()
	}
	q, err := Open(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = q.Close() }) // always nil
	return q
}

func benchPublish(b *testing.B, size int, sync bool, way string, flight int) {
	q := benchServer(b, sync, way)
	if err := q.EnsureStream(b.Context(), queue.StreamConfig{Name: "BENCH_0", MaxBytes: 4 << 30}); err != nil {
		b.Fatal(err)
	}
	body := make([]byte, size)
	header := map[string]string{"Penstock-Version": "1", "Penstock-Signal": "traces", "Penstock-Codec": "s2", "Penstock-Items": "8192"}
	var id atomic.Int64
	b.SetBytes(int64(size))
	b.ReportAllocs()
	cpu := cpuTime(b)
	defer func() { b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op") }()
	b.SetParallelism(max(1, flight/2)) // times GOMAXPROCS
	one := func() {
		n := id.Add(1)
		r, err := q.Publish(b.Context(), "BENCH_0", &queue.Message{ID: fmt.Sprint(n), Header: header, Body: body})
		if err != nil {
			b.Error(err)
			return
		}
		if n%1024 == 0 {
			if err := q.Purge(b.Context(), "BENCH_0", r.Sequence-1); err != nil {
				b.Error(err)
			}
		}
	}
	if flight == 1 {
		for b.Loop() {
			one()
		}
		return
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			one()
		}
	})
}

// cpuTime is of the process, client and server together, in ns: unlike the
// clock it does not depend on what else runs on the machine.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkConsume reads and acks what was stored before, by an own consumer
// for each round.
func BenchmarkConsume(b *testing.B) {
	const stored = 512
	for _, size := range []int{64 << 10, 256 << 10} {
		for _, way := range []string{"pipe", "tcp"} {
			b.Run(fmt.Sprintf("size=%dKiB/%s", size>>10, way), func(b *testing.B) {
				q := benchServer(b, false, way)
				if err := q.EnsureStream(b.Context(), queue.StreamConfig{Name: "BENCH_0", MaxBytes: 1 << 30}); err != nil {
					b.Fatal(err)
				}
				for i := range stored {
					if _, err := q.Publish(b.Context(), "BENCH_0", &queue.Message{ID: fmt.Sprint(i),
						Header: map[string]string{"Penstock-Signal": "traces", "Penstock-Items": "8192"}, Body: make([]byte, size)}); err != nil {
						b.Fatal(err)
					}
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				cpu := cpuTime(b)
				defer func() { b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op") }()
				var c queue.Consumer
				for i := 0; b.Loop(); i++ {
					if i%stored == 0 {
						c = nextRound(b, q, c, i/stored)
					}
					d, err := c.Next(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					if err := d.Ack(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func nextRound(b *testing.B, q *Queue, old queue.Consumer, n int) queue.Consumer {
	b.Helper()
	if old != nil {
		_ = old.Close() // always nil
	}
	name := fmt.Sprintf("c%d", n)
	if err := q.EnsureConsumer(b.Context(), "BENCH_0", queue.ConsumerConfig{Name: name}); err != nil {
		b.Fatal(err)
	}
	c, err := q.Consume(b.Context(), "BENCH_0", name, queue.ConsumeOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkBrowse reads what was stored before, by an own browser for each round.
func BenchmarkBrowse(b *testing.B) {
	const stored = 2048
	for _, size := range []int{4 << 10, 256 << 10} {
		for _, headers := range []bool{true, false} {
			for _, way := range []string{"pipe", "tcp"} {
				b.Run(fmt.Sprintf("size=%dKiB/headers=%t/%s", size>>10, headers, way), func(b *testing.B) {
					q := benchServer(b, false, way)
					if err := q.EnsureStream(b.Context(), queue.StreamConfig{Name: "BENCH_0", MaxBytes: 1 << 30}); err != nil {
						b.Fatal(err)
					}
					for i := range stored {
						if _, err := q.Publish(b.Context(), "BENCH_0", &queue.Message{ID: fmt.Sprint(i),
							Header: map[string]string{"Penstock-Signal": "traces", "Penstock-Items": "8192", "Penstock-Tenant": "default"}, Body: make([]byte, size)}); err != nil {
							b.Fatal(err)
						}
					}
					b.SetBytes(int64(size))
					b.ReportAllocs()
					cpu := cpuTime(b)
					defer func() { b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op") }()
					var br queue.Browser
					for i := 0; b.Loop(); i++ {
						if i%stored == 0 {
							if br != nil {
								_ = br.Close() // always nil
							}
							var err error
							if br, err = q.Browse(b.Context(), "BENCH_0", queue.BrowseOptions{HeadersOnly: headers}); err != nil {
								b.Fatal(err)
							}
						}
						if e, err := br.Next(b.Context()); err != nil || e.Size != size {
							b.Fatalf("entry %d of %d bytes, %v", e.Sequence, e.Size, err)
						}
					}
				})
			}
		}
	}
}

// BenchmarkStore saves, loads and lists small values.
func BenchmarkStore(b *testing.B) {
	for _, sync := range []bool{false, true} {
		q := benchServer(b, sync, "tcp")
		data := make([]byte, 1000)
		for i := range 200 {
			if _, err := q.Save(b.Context(), fmt.Sprintf("fleet/p%03d", i), data, 0); err != nil {
				b.Fatal(err)
			}
		}
		for name, op := range map[string]func() error{
			"save": func() error { _, err := q.Save(b.Context(), "one/a", data, queue.AnyRevision); return err },
			"load": func() error { _, err := q.Load(b.Context(), "fleet/p100"); return err },
			"list of 200": func() error {
				values, err := q.List(b.Context(), "fleet/")
				if err == nil && len(values) != 200 {
					err = fmt.Errorf("%d values", len(values))
				}
				return err
			},
		} {
			b.Run(fmt.Sprintf("%s/sync=%t", name, sync), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := op(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
