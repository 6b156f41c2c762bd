package worker_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// book is what became of each message: when it was exported, and to what end.
type book struct {
	mu      sync.Mutex
	tries   map[string][]time.Time
	done    map[string]time.Time
	running int
	most    int
}

func newBook() *book {
	return &book{tries: map[string][]time.Time{}, done: map[string]time.Time{}}
}

// export takes d, and has the error that fail gives for the message.
func (b *book) export(fail func(id string) (time.Duration, error)) export {
	return func(_ context.Context, r *exporter.Request) (exporter.Result, error) {
		d, err := fail(r.ID)
		b.mu.Lock()
		b.tries[r.ID] = append(b.tries[r.ID], time.Now())
		b.running++
		b.most = max(b.most, b.running)
		b.mu.Unlock()
		time.Sleep(d)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.running--
		if err == nil {
			b.done[r.ID] = time.Now()
		}
		return exporter.Result{}, err
	}
}

// exports and successes so far.
func (b *book) counts() (exports, done int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, at := range b.tries {
		exports += len(at)
	}
	return exports, len(b.done)
}

// last is when the last of the ids was done; ok if all were.
func (b *book) last(ids []string) (at time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		done, ok := b.done[id]
		if !ok {
			return at, false
		}
		if done.After(at) {
			at = done
		}
	}
	return at, true
}

func (r *rig) many(s otlp.Signal, n int) (ids []string) {
	for range n {
		id, _ := r.put(s, codec.S2, 1)
		ids = append(ids, id)
	}
	return ids
}

func set(ids []string) map[string]bool {
	m := map[string]bool{}
	for _, id := range ids {
		m[id] = true
	}
	return m
}

// Messages that fail slowly, more than the slots work off within the longest
// back-off, delay no other of their stream (I8). Without a breaker: nothing but
// failures is an outage to it.
func TestSlowFailuresStarveNobody(t *testing.T) {
	for _, c := range []struct {
		slots int
		bound time.Duration
	}{{1, 5 * time.Minute}, {2, time.Minute}, {16, 15 * time.Second}} {
		t.Run(fmt.Sprint(c.slots), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBook()
				var poison map[string]bool
				r := memoryRig(t, to("backend", slots(c.slots, 64<<20), noBreaker), b.export(func(id string) (time.Duration, error) {
					if poison[id] {
						return 10 * time.Second, retryable(0)
					}
					return 10 * time.Millisecond, nil
				}))
				poison = set(r.many(otlp.Traces, 64))
				r.start()
				time.Sleep(time.Duration(2*64/c.slots)*10*time.Second + 2*time.Minute) // all have failed, and some are always due
				begin := time.Now()
				good := r.many(otlp.Traces, 10)
				time.Sleep(20 * time.Minute)
				r.stop()
				at, ok := b.last(good)
				if !ok || at.Sub(begin) > c.bound {
					t.Errorf("10 good messages are out after %s (%t), want %s at most", at.Sub(begin), ok, c.bound)
				}
				if b.most > c.slots {
					t.Errorf("%d exports at a time over %d slots", b.most, c.slots)
				}
			})
		})
	}
}

// After an outage, in which no breaker spared them, everything is a redelivery. It drains as fast as its share of
// the slots allows, and waits for about one back-off.
func TestOutageDrainsQuickly(t *testing.T) {
	for _, each := range []time.Duration{time.Millisecond, 100 * time.Millisecond, time.Second} {
		t.Run(each.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBook()
				var well atomic.Bool
				r := memoryRig(t, to("backend", noBreaker), b.export(func(string) (time.Duration, error) {
					if !well.Load() {
						return 0, retryable(0)
					}
					return each, nil
				}))
				ids := r.many(otlp.Traces, 500)
				r.start()
				fewest := func() int {
					b.mu.Lock()
					defer b.mu.Unlock()
					n := 1 << 30
					for _, id := range ids {
						n = min(n, len(b.tries[id]))
					}
					return n
				}
				for fewest() < 5 {
					time.Sleep(time.Second)
				}
				well.Store(true)
				begin := time.Now()
				time.Sleep(10 * time.Minute)
				r.stop()
				at, ok := b.last(ids)
				// The back-off in which the end of the outage finds them, and
				// one more for those that find their 12 of 16 slots taken.
				bound := 500*each/12 + 30*time.Second
				if each > time.Millisecond {
					bound += 30 * time.Second
				}
				if !ok || at.Sub(begin) > bound {
					t.Errorf("drained after %s (%t), want %s at most", at.Sub(begin), ok, bound)
				}
			})
		})
	}
}

// A message that alone keeps failing waits longer and longer, up to ten times
// retry.max; in an outage of the destination nothing does.
func TestLongestWaitRisesForTheLoneAlone(t *testing.T) {
	for _, outage := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBook()
			bad := ""
			r := memoryRig(t, to("backend"), b.export(func(id string) (time.Duration, error) {
				if outage || id == bad {
					return 0, retryable(0)
				}
				return 0, nil
			}))
			bad, _ = r.put(otlp.Traces, codec.S2, 1)
			r.start()
			for i := range 5 * 360 { // 5 hours
				if !outage || i < 5 {
					r.put(otlp.Traces, codec.S2, 1)
				}
				time.Sleep(10 * time.Second)
			}
			r.stop()
			tries := b.tries[bad]
			n := len(tries)
			if early := tries[9].Sub(tries[8]); early > time.Minute {
				t.Errorf("outage %t: waited %s already after 9 attempts", outage, early)
			}
			gap, least, most := tries[n-1].Sub(tries[n-2]), 150*time.Second, 300*time.Second
			if outage {
				least, most = 15*time.Second, 35*time.Second // and a hold of the breaker
			}
			if gap < least || gap > most {
				t.Errorf("outage %t: waits %s after %d attempts, want %s to %s", outage, gap, n, least, most)
			}
		})
	}
}
