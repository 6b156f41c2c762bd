package worker_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// gauge knows what runs at a time, and what ran at most.
type gauge struct {
	mu                    sync.Mutex
	calls, bytes          int
	mostCalls, mostBytes  int
	total, mostForAnybody int
	seen                  map[string]int
}

func (g *gauge) enter(r *exporter.Request) (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := r.RawBytes + len(r.Body)
	g.calls, g.bytes, g.total = g.calls+1, g.bytes+n, g.total+1
	g.mostCalls, g.mostBytes = max(g.mostCalls, g.calls), max(g.mostBytes, g.bytes)
	if g.seen == nil {
		g.seen = map[string]int{}
	}
	g.seen[r.ID]++
	g.mostForAnybody = max(g.mostForAnybody, g.seen[r.ID])
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.calls, g.bytes = g.calls-1, g.bytes-n
	}
}

func (g *gauge) slow(d time.Duration) export {
	return func(_ context.Context, r *exporter.Request) (exporter.Result, error) {
		defer g.enter(r)()
		time.Sleep(d)
		return exporter.Result{}, nil
	}
}

// big is a group of so many bytes, stored as they are.
func (r *rig) big(s otlp.Signal, bytes int) {
	r.t.Helper()
	r.n++
	m := record.Encode(&record.Record{ID: time.Duration(r.n).String(), Signal: s, Codec: codec.None, Items: 1, RawBytes: bytes, Body: make([]byte, bytes)})
	r.publish(topology.Stream(s, 0), m)
}

func TestExportsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		r := memoryRig(t, to("backend", slots(3, 64<<20)), g.slow(time.Second))
		for range 10 {
			for _, s := range otlp.Signals {
				r.put(s, codec.S2, 1)
			}
		}
		r.start()
		time.Sleep(10*time.Second + 1)
		r.stop()
		if g.total != 30 || g.mostCalls != 3 {
			t.Errorf("%d exports, %d at a time; want 30, 3 at a time over the lanes of all signals", g.total, g.mostCalls)
		}
	})
}

func TestBytesAreBounded(t *testing.T) {
	for _, c := range []struct {
		limit, each, atATime int
	}{
		{4 << 20, 500 << 10, 4},  // stored and decompressed count
		{1 << 20, 2000 << 10, 1}, // more than all: alone, and not never
	} {
		synctest.Test(t, func(t *testing.T) {
			var g gauge
			r := memoryRig(t, to("backend", slots(16, config.ByteSize(c.limit))), g.slow(time.Second))
			for range 4 {
				r.big(otlp.Traces, c.each)
				r.big(otlp.Logs, c.each)
			}
			r.start()
			time.Sleep(10 * time.Second)
			r.stop()
			if g.total != 8 || g.mostCalls != c.atATime || g.mostBytes > max(c.limit, 2*c.each) {
				t.Errorf("limit %d, each %d: %d exports, %d at a time with %d bytes; want 8, %d at a time", c.limit, c.each, g.total, g.mostCalls, g.mostBytes, c.atATime)
			}
		})
	}
}

// An idle lane holds no slot: one slot is enough for all signals.
func TestIdleLanesHoldNoSlot(t *testing.T) {
	for _, s := range otlp.Signals {
		synctest.Test(t, func(t *testing.T) {
			var g gauge
			r := memoryRig(t, to("backend", slots(1, 64<<20)), g.slow(0))
			r.start()
			synctest.Wait() // every lane is idle
			for range 5 {
				r.put(s, codec.S2, 1)
			}
			synctest.Wait()
			r.settled(s, "backend", 5)
			r.stop()
		})
	}
}

// One dead or hanging destination does not delay another (I8).
func TestDestinationsAreApart(t *testing.T) {
	for name, bad := range map[string]export{
		"dead": func(context.Context, *exporter.Request) (exporter.Result, error) {
			return exporter.Result{}, retryable(0)
		},
		"hanging": func(ctx context.Context, _ *exporter.Request) (exporter.Result, error) {
			<-ctx.Done()
			return exporter.Result{}, retryable(0)
		},
		"rejecting": func(context.Context, *exporter.Request) (exporter.Result, error) {
			return exporter.Result{}, permanent()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g gauge
				r := newRig(t, memory.New(), []worker.Destination{to("bad"), to("good")}, bad, g.slow(0))
				r.start()
				for range 100 {
					for _, s := range otlp.Signals {
						r.put(s, codec.S2, 1)
					}
				}
				synctest.Wait() // no time passes
				for _, s := range otlp.Signals {
					r.settled(s, "good", 100)
				}
				if g.total != 300 {
					t.Errorf("%d of 300 reached the good destination", g.total)
				}
				if err := r.stopWithin(20 * time.Second); (err != nil) != (name == "hanging") {
					t.Errorf("Stop: %v", err)
				}
			})
		})
	}
}

// Neither a slow export nor a wait for a slot makes a message come twice.
func TestSlowExportsKeepTheirMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		r := memoryRig(t, to("backend", slots(1, 64<<20)), g.slow(10*time.Minute))
		for _, s := range otlp.Signals {
			for range 3 {
				r.put(s, codec.S2, 1)
			}
		}
		r.start()
		time.Sleep(91 * time.Minute)
		r.stop()
		if g.total != 9 || g.mostForAnybody != 1 {
			t.Errorf("%d exports, one message %d times; want 9, each once", g.total, g.mostForAnybody)
		}
		for _, s := range otlp.Signals {
			r.settled(s, "backend", 3)
		}
		r.wantMetric(0, "penstock_exporter_redeliveries_total")
	})
}

// extends counts.
type extends struct {
	queue.Delivery
	n *int
}

func (d *extends) Extend() error { *d.n++; return d.Delivery.Extend() }

// What waited in the reader while its lane waited for a slot has little of its
// ack wait left: it is extended when it is taken, and a fresh message is not.
func TestWaitingInTheReaderIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		var g gauge
		q := &tapped{Queue: memory.New(), delivery: func(d queue.Delivery) queue.Delivery { return &extends{d, &n} }}
		r := newRig(t, q, []worker.Destination{to("backend", slots(1, 64<<20), only("traces"))}, g.slow(time.Second))
		r.start()
		r.put(otlp.Traces, codec.S2, 1)
		synctest.Wait()
		if n != 0 {
			t.Errorf("a fresh message was extended %d times", n)
		}
		r.put(otlp.Traces, codec.S2, 1) // waits for the slot
		time.Sleep(1500 * time.Millisecond)
		r.put(otlp.Traces, codec.S2, 1)
		synctest.Wait()
		if n != 1 {
			t.Errorf("extended %d times after a wait, want once", n)
		}
		time.Sleep(3 * time.Minute)
		n = 0
		r.put(otlp.Traces, codec.S2, 1)
		time.Sleep(2 * time.Second)
		r.stop()
		if n != 0 {
			t.Errorf("extended %d times although nothing waited for long", n)
		}
	})
}
