package worker_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship/shiptest"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func newQueue() queue.Queue { return memory.New() }

// An outage of an hour: a request for each probe, an attempt of a message for
// each probe at most, and everything flows when it is over.
func TestBreakerPausesPulling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		var most atomic.Int64
		b := &shiptest.Backend{Judge: func([]int, int) error {
			if !well.Load() {
				return retryable(0)
			}
			return nil
		}}
		q := &tapped{Queue: memory.New(), delivery: func(d queue.Delivery) queue.Delivery {
			most.Store(max(most.Load(), int64(d.Attempt())))
			return d
		}}
		r := newRig(t, q, []worker.Destination{to("backend", only("logs"), slowProbes)}, exporter.Exporter(b))
		for i := range 1000 {
			r.items(i*10, 10)
		}
		r.start()
		wait(time.Hour)
		n, _ := b.Requests()
		if n > 16+3600/30+10 || most.Load() > 3600/30 {
			t.Errorf("%d requests in an hour of outage, %d attempts for one message", n, most.Load())
		}
		s := r.w.Status()[0]
		if s.Breaker != "open" && s.Breaker != "half_open" || s.LastError == nil || s.LastError.Code != "UNAVAILABLE" || s.LastSuccess != nil {
			t.Errorf("status %+v", s)
		}
		if r.metric("penstock_exporter_breaker_state") == 0 || r.metric("penstock_exporter_breaker_transitions_total", "to=open") < 100 {
			t.Errorf("state %g after %g openings", r.metric("penstock_exporter_breaker_state"), r.metric("penstock_exporter_breaker_transitions_total", "to=open"))
		}
		well.Store(true)
		wait(65 * time.Second) // a wait of the breaker, and a back-off
		r.stop()
		r.balance(b, 10_000, 1000)
		r.wantMetric(0, "penstock_exporter_breaker_state")
		r.wantMetric(1, "penstock_exporter_breaker_transitions_total", "to=closed")
		if n := r.log.count("destination takes nothing"); n != 1 {
			t.Errorf("said %d times", n)
		}
		if s := r.w.Status()[0]; s.Breaker != "closed" || s.BreakerUntil != nil || s.LastSuccess == nil || s.Sent["logs"] != 10_000 || s.InFlight != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

func slowProbes(d *worker.Destination) { d.Breaker.Max = config.Duration(30 * time.Second) }

// The same while new data comes in, until the durable is full of what waits.
func TestBreakerUnderTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		b := &shiptest.Backend{Judge: func([]int, int) error {
			if !well.Load() {
				return retryable(0)
			}
			return nil
		}}
		r := booked(t, b, slowProbes)
		r.plan.MaxAckPending, r.o.Config.MaxAckPending = 20, 20
		if err := applyConsumers(r); err != nil {
			t.Fatal(err)
		}
		r.start()
		for i := range 360 {
			r.items(i*10, 10)
			wait(10 * time.Second)
		}
		if n, _ := b.Requests(); n > 150 {
			t.Errorf("%d requests in an hour of outage", n)
		}
		if n := r.metric("penstock_exporter_redeliveries_total"); n > 300 {
			t.Errorf("%g redeliveries of 20 messages in an hour of outage", n)
		}
		well.Store(true)
		wait(2 * time.Minute)
		r.stop()
		r.balance(b, 3600, 360)
	})
}

// Messages that fail beside others that are taken open no breaker, however often
// they are tried; a success in between counts.
func TestPoisonOpensNoBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &shiptest.Backend{Judge: func(items []int, _ int) error {
			if items[0]%4 == 0 {
				return retryable(0)
			}
			return nil
		}}
		r := booked(t, b, slots(1, 64<<20))
		r.start()
		for i := range 400 {
			r.items(i, 1)
			if i%4 == 3 {
				wait(time.Second)
			}
		}
		r.stop()
		if n := len(b.Got()); n < 298 {
			t.Errorf("%d of 300 good ones are out", n)
		}
		r.wantMetric(0, "penstock_exporter_breaker_transitions_total", "to=open")
	})
}

// First deliveries probe before messages that failed.
func TestFirstDeliveriesProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var tried []int
		b := &shiptest.Backend{Judge: func(items []int, _ int) error {
			mu.Lock()
			defer mu.Unlock()
			tried = append(tried, items[0])
			if items[0] < 20 {
				return retryable(0)
			}
			return nil
		}}
		r := booked(t, b)
		for i := range 20 {
			r.items(i, 1)
		}
		r.start()
		wait(10 * time.Minute)
		r.items(100, 1)
		begin := time.Now()
		for len(b.Got()) == 0 && time.Since(begin) < time.Minute {
			wait(10 * time.Millisecond)
		}
		if after := time.Since(begin); after > 10*time.Second {
			t.Errorf("a new message was tried after %s", after)
		}
		r.stop()
	})
}

// Without a breaker each message is tried at its own pace.
func TestBreakerOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memoryRig(t, to("backend", only("logs"), noBreaker), func(context.Context, *exporter.Request) (exporter.Result, error) {
			return exporter.Result{}, retryable(0)
		})
		for i := range 100 {
			r.items(i, 1)
		}
		r.start()
		wait(10 * time.Minute)
		if n := r.metric("penstock_exporter_send_seconds"); n < 2000 {
			t.Errorf("%g exports", n)
		}
		if s := r.w.Status()[0]; s.Breaker != "" {
			t.Errorf("breaker %q", s.Breaker)
		}
		r.stop()
		r.wantMetric(0, "penstock_exporter_breaker_state")
		if c := r.state(otlp.Logs, "backend"); c.AckPending != 100 {
			t.Errorf("%+v", c)
		}
	})
}
