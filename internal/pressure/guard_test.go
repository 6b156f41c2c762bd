package pressure

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a guard whose queue and disk are numbers.
type rig struct {
	*testing.T
	g          *Guard
	view       queuewatch.View
	free, size uint64
	mu         sync.Mutex // guards free, for a guard that runs
	diskErr    error
	log        bytes.Buffer
	reg        *prometheus.Registry
}

func newRig(t *testing.T, disk bool) *rig {
	r := &rig{T: t, reg: prometheus.NewRegistry(), free: 500 << 20, size: 1000 << 20}
	plan := topology.Plan{Shards: 2}
	for _, name := range plan.AllStreams() {
		r.view.Streams = append(r.view.Streams, queuewatch.Stream{Name: name, Messages: 1000, MaxBytes: 1_000_000, FirstSeq: 1})
	}
	o := Options{View: func() queuewatch.View { return r.view }, Plan: plan, Metrics: NewMetrics(r.reg), Logger: slog.New(slog.NewTextHandler(&r.log, nil))}
	if disk {
		o.Disk = func() (uint64, uint64, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.free, r.size, r.diskErr
		}
	}
	r.g = New(o)
	return r
}

// see is a look at the queue after 5 s, with the logs at so many bytes.
func (r *rig) see(shard0, shard1 uint64) {
	time.Sleep(queuewatch.Every)
	r.view.At = time.Now()
	r.view.Streams[4].Bytes, r.view.Streams[5].Bytes = shard0, shard1
	r.g.look()
}

// refuses wants a wait within its jitter; 0: none, let in.
func (r *rig) refuses(s otlp.Signal, wait time.Duration) {
	r.Helper()
	refusal := r.g.Refuse(s)
	if wait == 0 {
		if refusal != nil {
			r.Errorf("%s is refused: %v", s, refusal)
		}
		return
	}
	if refusal == nil {
		r.Fatalf("%s is not refused", s)
	}
	if refusal.Reason != otlp.ReasonQueueFull || refusal.RetryAfter < wait || refusal.RetryAfter > wait*5/4+1 {
		r.Errorf("%s is refused as %s for %s, want %s", s, refusal.Reason, refusal.RetryAfter, wait)
	}
}

func TestNothingIsKnown(t *testing.T) {
	r := newRig(t, false)
	r.g.look()
	r.refuses(otlp.Logs, 0)
}

// A signal is refused while all its streams are nearly full, and alone.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, false)
		r.see(900_000, 900_000)
		r.refuses(otlp.Logs, 0)
		r.see(900_001, 1_000_000)
		r.refuses(otlp.Logs, mostWait) // nothing is freed
		r.refuses(otlp.Traces, 0)
		if text := r.g.Refuse(otlp.Logs).Message; !strings.Contains(text, "PENSTOCK_LOGS_0 holds 900001 of 1000000 bytes") {
			t.Errorf("says %q", text)
		}
		r.see(850_001, 1_000_000) // not before 85 %
		r.refuses(otlp.Logs, mostWait)
		r.see(850_000, 1_000_000)
		r.refuses(otlp.Logs, 0)
		r.see(890_000, 1_000_000)
		r.refuses(otlp.Logs, 0)
		for text, times := range map[string]int{"is nearly full": 2, "has room again": 1} {
			if n := strings.Count(r.log.String(), text); n != times {
				t.Errorf("%d times %q, want %d, in\n%s", n, text, times, &r.log)
			}
		}
		if problems, err := testutil.GatherAndLint(r.reg); err != nil || len(problems) > 0 {
			t.Errorf("metrics: %v %v", problems, err)
		}
	})
}

// The wait is that of the stream that is free first, by its rate.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, false)
		r.see(1_000_000, 1_000_000)
		r.view.Streams[4].FirstSeq += 75 // of 1000 messages of 1000 bytes, in 5 s: 15000 B/s, smoothed 7500
		r.see(1_000_000, 1_000_000)
		r.refuses(otlp.Logs, 20*time.Second)
		r.view.Streams[5].FirstSeq += 200
		r.see(1_000_000, 1_000_000)
		r.refuses(otlp.Logs, 7500*time.Millisecond)
		r.view.Streams[5].FirstSeq += 400
		r.see(1_000_000, 851_000)
		r.refuses(otlp.Logs, leastWait)
		r.g.look() // the same view once more changes nothing
		r.refuses(otlp.Logs, leastWait)
	})
}

// What the queue itself refuses comes back when there is room, as far as that is
// known.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true)
		f := func(s otlp.Signal, want time.Duration) {
			t.Helper()
			if got := r.g.RetryAfter(s); got < want || got > want*5/4+1 {
				t.Errorf("%s: %s, want %s", s, got, want)
			}
		}
		f(otlp.Logs, 0) // nothing is known
		r.see(100_000, 100_000)
		f(otlp.Logs, leastWait) // it filled since
		r.see(1_000_000, 1_000_000)
		f(otlp.Logs, mostWait) // nothing is freed
		f(otlp.Traces, leastWait)
		r.view.Streams[4].FirstSeq += 100 // 1000 messages of 1000 bytes: 10,000 B/s, smoothed a half
		r.see(1_000_000, 1_000_000)
		if got := r.g.RetryAfter(otlp.Logs); got < leastWait || got >= mostWait {
			t.Errorf("while it is freed: %s", got)
		}
		time.Sleep(stale + 1)
		r.g.look()
		f(otlp.Logs, 0)
		r.free = 1
		r.g.look()
		f(otlp.Metrics, mostWait)
	})
}

// What was seen long ago refuses nobody.
func TestStaleView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, false)
		r.see(1_000_000, 1_000_000)
		time.Sleep(stale)
		r.g.look()
		r.refuses(otlp.Logs, mostWait)
		time.Sleep(time.Nanosecond)
		r.g.look()
		r.refuses(otlp.Logs, 0)
	})
}

func TestDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true)
		f := func(free uint64, wait time.Duration) {
			t.Helper()
			time.Sleep(every)
			r.free = free
			r.g.look()
			for _, s := range otlp.Signals {
				r.refuses(s, wait)
			}
		}
		f(500<<20, 0)
		f(100<<20, 0)
		f(100<<20-1, mostWait)
		f(109<<20, leastWait) // is being freed, and not yet enough
		f(110<<20, 0)
		f(99<<20, 8*time.Second) // 11 MiB at 1.375 MiB/s
		r.diskErr = errors.New("no luck")
		f(0, 0)
		f(0, 0)
		r.diskErr = nil
		f(1, mostWait)
		for text, times := range map[string]int{"no luck": 1, "volume of queue.dir is nearly full": 3, "has space again": 1} {
			if n := strings.Count(r.log.String(), text); n != times {
				t.Errorf("%d times %q, want %d, in\n%s", n, text, times, &r.log)
			}
		}
	})
}

func TestNeed(t *testing.T) {
	for size, want := range map[uint64]uint64{100 << 20: 25 << 20, 256 << 20: 64 << 20, 500 << 20: 64 << 20, 1000 << 20: 100 << 20, 1 << 40: 10 << 30, math.MaxUint64: 10 << 30} {
		if got := need(size); got != want {
			t.Errorf("%d of %d, want %d", got, size, want)
		}
	}
	free, size, err := Volume(t.TempDir())()
	if err != nil || free == 0 || size < free {
		t.Errorf("%d of %d, %v", free, size, err)
	}
	if _, _, err := Volume("/does/not/exist")(); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("%v", err)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.g.Run(ctx) }()
		synctest.Wait()
		r.refuses(otlp.Traces, 0)
		r.mu.Lock()
		r.free = 1
		r.mu.Unlock()
		time.Sleep(every)
		synctest.Wait()
		r.refuses(otlp.Traces, mostWait)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkRefuse(b *testing.B) {
	g := New(Options{Metrics: NewMetrics(prometheus.NewRegistry())})
	b.ReportAllocs()
	for b.Loop() {
		if g.Refuse(otlp.Traces) != nil {
			b.Fatal("refused")
		}
	}
}
