package worker_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker"
)

// An hour that the destination asks for is 5 minutes, for all of it, is said
// once, and is over with one export that goes well: nothing is parked.
func TestAskedWaitHoldsTheDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		var well atomic.Bool
		r := memoryRig(t, to("backend"), b.export(func(string) (time.Duration, error) {
			if !well.Load() {
				return time.Second, retryable(time.Hour)
			}
			return time.Second, nil
		}))
		begin := time.Now()
		ids := append(r.many(otlp.Traces, 100), r.many(otlp.Logs, 100)...)
		r.start()
		time.Sleep(2 * time.Second)
		if n, _ := b.counts(); n != 16 { // what was under way when it asked
			t.Errorf("%d exports before the hold, want the 16 that were under way", n)
		}
		time.Sleep(58 * time.Second)
		well.Store(true)
		time.Sleep(4 * time.Minute)
		if n, _ := b.counts(); n != 16 {
			t.Errorf("%d messages exported within the hold", n-16)
		}
		time.Sleep(1500 * time.Millisecond) // the hold began 1 s after the start
		if n, _ := b.counts(); n != 17 {
			t.Errorf("%d exports at the end of the hold, want one that probes", n-16)
		}
		time.Sleep(time.Minute)
		r.stop()
		at, ok := b.last(ids)
		if after := at.Sub(begin); !ok || after > 6*time.Minute {
			t.Errorf("all out after %s (%t), want them soon after the 5 minutes", after, ok)
		}
		if n := r.log.count("asks to be left alone"); n != 1 {
			t.Errorf("said %d times:\n%s", n, r.log)
		}
	})
}

// While the destination goes on asking, one export at a time is what it gets.
func TestHoldGoesOnWhileProbesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		r := memoryRig(t, to("backend"), b.export(func(string) (time.Duration, error) {
			return 0, retryable(time.Minute)
		}))
		r.many(otlp.Traces, 100)
		r.start()
		time.Sleep(30 * time.Second)
		first, _ := b.counts()
		time.Sleep(10 * time.Minute)
		r.stop()
		n, _ := b.counts()
		if n -= first; n < 8 || n > 10 {
			t.Errorf("%d exports in 10 minutes of waits of one, want one for each", n)
		}
	})
}

// A message that does not come to an export is no probe.
func TestDamagedMessageIsNoProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		asks := true
		later := func(d *worker.Destination) { d.Retry.Initial *= 10 } // the hold is over first
		r := memoryRig(t, to("backend", slots(1, 64<<20), only("traces"), later), b.export(func(string) (time.Duration, error) {
			defer func() { asks = false }()
			if asks {
				return 0, retryable(time.Second)
			}
			return 0, nil
		}))
		ids := r.many(otlp.Traces, 1)
		r.start()
		synctest.Wait()
		for range 3 {
			m := message(otlp.Traces, 1)
			m.ID = time.Now().String()
			m.Body[2] ^= 1
			time.Sleep(time.Millisecond)
			r.publish("PENSTOCK_TRACES_0", m)
		}
		ids = append(ids, r.many(otlp.Traces, 10)...)
		time.Sleep(2 * time.Minute)
		r.stop()
		if _, ok := b.last(ids); !ok || len(r.dead()) != 3 {
			t.Errorf("all out: %t, %d dead letters; want all, and 3", ok, len(r.dead()))
		}
	})
}

// Messages that the destination always answers by a wait hold it again and
// again, and still let others pass (I8).
func TestMessagesThatAlwaysAskLetOthersPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		var poison map[string]bool
		r := memoryRig(t, to("backend", slots(4, 64<<20)), b.export(func(id string) (time.Duration, error) {
			if poison[id] {
				return 0, retryable(time.Minute)
			}
			return 100 * time.Millisecond, nil
		}))
		poison = set(r.many(otlp.Traces, 8))
		r.start()
		time.Sleep(20 * time.Minute)
		begin := time.Now()
		good := r.many(otlp.Traces, 100)
		time.Sleep(time.Hour)
		r.stop()
		if at, ok := b.last(good); !ok || at.Sub(begin) > 10*time.Minute {
			t.Errorf("100 good messages are out after %s (%t)", at.Sub(begin), ok)
		}
	})
}
