package worker_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// acks counts how deliveries are settled, and fails what fails is told to.
type acks struct {
	plain, sync, retries atomic.Int64
	fail                 atomic.Bool // Ack fails
	failSync             atomic.Bool // AckSync waits in vain
	failRest             atomic.Bool // Retry and Extend fail
}

type ackedDelivery struct {
	queue.Delivery
	a *acks
}

func (a *acks) tap(d queue.Delivery) queue.Delivery { return &ackedDelivery{d, a} }

func (d *ackedDelivery) Ack() error {
	d.a.plain.Add(1)
	if d.a.fail.Load() {
		return queue.ErrUnavailable
	}
	return d.Delivery.Ack()
}

func (d *ackedDelivery) AckSync(ctx context.Context) error {
	d.a.sync.Add(1)
	if d.a.failSync.Load() {
		<-ctx.Done()
		return queue.ErrUnavailable
	}
	return d.Delivery.AckSync(ctx)
}

func (d *ackedDelivery) Retry(after time.Duration) error {
	d.a.retries.Add(1)
	if d.a.failRest.Load() {
		return queue.ErrUnavailable
	}
	return d.Delivery.Retry(after)
}

func (d *ackedDelivery) Extend() error {
	if d.a.failRest.Load() {
		return queue.ErrUnavailable
	}
	return d.Delivery.Extend()
}

func ackRig(t *testing.T, d worker.Destination, x exporter.Exporter) (*rig, *acks) {
	a := new(acks)
	return newRig(t, &tapped{Queue: memory.New(), delivery: a.tap}, []worker.Destination{d}, x), a
}

func TestStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		r, a := ackRig(t, to("backend", slots(2, 64<<20), only("traces")), g.slow(5*time.Second))
		for range 5 {
			r.put(otlp.Traces, codec.S2, 1)
		}
		r.start()
		time.Sleep(time.Second)
		begin := time.Now()
		r.stop()
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("Stop took %s, want the 4s that the exports still need", took)
		}
		if c := r.state(otlp.Traces, "backend"); c.AckFloor != 2 || c.AckPending != 1 || c.Pending != 2 {
			t.Errorf("%+v, want two exported, one given back and two left", c)
		}
		if a.plain.Load() != 0 || a.sync.Load() != 2 || a.retries.Load() != 1 {
			t.Errorf("%d plain acks, %d confirmed, %d given back; want 0, 2, 1", a.plain.Load(), a.sync.Load(), a.retries.Load())
		}
		next(t, r, otlp.Traces, 3, 2) // the message that waited for a slot comes at once
	})
}

// next reads what a new reader gets now.
func next(t *testing.T, r *rig, s otlp.Signal, seq uint64, attempt int) {
	t.Helper()
	c, err := r.q.Consume(t.Context(), topology.Stream(s, 0), topology.Durable("backend"), queue.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // nothing can fail
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	d, err := c.Next(ctx)
	if err != nil || d.Sequence() != seq || d.Attempt() != attempt {
		t.Errorf("next is %+v, %v; want sequence %d at attempt %d", d, err, seq, attempt)
	}
}

func TestStopGivesBackWhatIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := ackRig(t, to("backend", only("traces")), export(func(ctx context.Context, _ *exporter.Request) (exporter.Result, error) {
			<-ctx.Done()
			return exporter.Result{}, retryable(time.Hour)
		}))
		r.put(otlp.Traces, codec.S2, 1)
		r.start()
		synctest.Wait()
		begin := time.Now()
		err := r.stopWithin(20 * time.Second)
		if err == nil || !strings.Contains(err.Error(), "1 exports were not done in time and were given back") {
			t.Errorf("Stop: %v", err)
		}
		if took := time.Since(begin); took >= 20*time.Second || took < 17*time.Second {
			t.Errorf("Stop took %s, want just under its bound", took)
		}
		if a.plain.Load()+a.sync.Load() != 0 || a.retries.Load() != 1 {
			t.Errorf("acked %d times and given back %d times, want never and once", a.plain.Load()+a.sync.Load(), a.retries.Load())
		}
		r.wantMetric(0, "penstock_exporter_send_failures_total") // nobody's failure
		next(t, r, otlp.Traces, 1, 2)
	})
}

func TestStopGivesBackWhatWaitsForBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memoryRig(t, to("backend", only("traces"), slots(4, 1<<20)), func(ctx context.Context, _ *exporter.Request) (exporter.Result, error) {
			<-ctx.Done()
			return exporter.Result{}, retryable(0)
		})
		r.big(otlp.Traces, 1<<20)
		r.big(otlp.Traces, 1<<20)
		r.start()
		synctest.Wait()
		err := r.stopWithin(20 * time.Second)
		if err == nil || !strings.Contains(err.Error(), "2 exports were not done") {
			t.Errorf("Stop: %v", err)
		}
		if c := r.state(otlp.Traces, "backend"); c.AckFloor != 0 {
			t.Errorf("%+v, want nothing acked", c)
		}
		next(t, r, otlp.Traces, 1, 2)
	})
}

// So is a redelivery that has its share and waits for a slot.
func TestStopGivesBackARedeliveryThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := ""
		r := memoryRig(t, to("backend", only("traces"), slots(2, 64<<20)), func(_ context.Context, r *exporter.Request) (exporter.Result, error) {
			if r.ID == failed {
				return exporter.Result{}, retryable(0)
			}
			time.Sleep(10 * time.Second)
			return exporter.Result{}, nil
		})
		failed, _ = r.put(otlp.Traces, codec.S2, 1)
		r.start()
		synctest.Wait()
		r.many(otlp.Traces, 2)
		time.Sleep(2 * time.Second)
		r.stop()
		if c := r.state(otlp.Traces, "backend"); c.AckFloor != 0 || c.AckPending != 1 || c.Pending != 0 {
			t.Errorf("%+v, want one unsettled", c)
		}
		next(t, r, otlp.Traces, 1, 3)
	})
}

// A dead letter whose confirmation does not come is no dead letter.
func TestStopGivesBackWhatIsBeingBuried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &tapped{Queue: memory.New()}
		r := newRig(t, q, []worker.Destination{to("backend")}, export(func(context.Context, *exporter.Request) (exporter.Result, error) {
			return exporter.Result{}, permanent()
		}))
		r.put(otlp.Traces, codec.S2, 1)
		asked := make(chan struct{})
		q.publish = func(string, *queue.Message) error {
			<-asked
			return queue.ErrUnavailable
		}
		r.start()
		synctest.Wait()
		time.AfterFunc(19*time.Second, func() { close(asked) })
		if err := r.stopWithin(20 * time.Second); err == nil {
			t.Error("Stop says nothing of it")
		}
		next(t, r, otlp.Traces, 1, 2)
	})
}

// An exporter that does not listen is left behind, and what it holds too.
func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		r := memoryRig(t, to("backend", only("traces")), func(context.Context, *exporter.Request) (exporter.Result, error) {
			<-free
			return exporter.Result{}, retryable(0)
		})
		r.put(otlp.Traces, codec.S2, 1)
		r.start()
		synctest.Wait()
		begin := time.Now()
		err := r.stopWithin(20 * time.Second)
		if err == nil || !strings.Contains(err.Error(), "destination backend: 1 exports do not end") {
			t.Errorf("Stop: %v", err)
		}
		if took := time.Since(begin); took > 20*time.Second+200*time.Millisecond {
			t.Errorf("Stop took %s", took)
		}
		close(free)
		synctest.Wait()
		if c := r.state(otlp.Traces, "backend"); c.AckFloor != 0 {
			t.Errorf("%+v, want nothing acked", c)
		}
	})
}

// A queue that confirms nothing at the end does not hold the stop up.
func TestStopWithoutConfirmations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		r, a := ackRig(t, to("backend", only("traces")), g.slow(9*time.Second))
		a.failSync.Store(true)
		r.put(otlp.Traces, codec.S2, 1)
		r.start()
		synctest.Wait()
		begin := time.Now()
		if err := r.stopWithin(10 * time.Second); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("Stop took %s", took)
		}
		r.wantMetric(1, "penstock_exporter_ack_failures_total")
	})
}

// Stop without a deadline waits for as long as it takes.
func TestStopWithoutDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		r := memoryRig(t, to("backend"), g.slow(time.Hour))
		r.put(otlp.Traces, codec.S2, 1)
		r.start()
		synctest.Wait()
		if err := r.w.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		r.settled(otlp.Traces, "backend", 1)
	})
}

type badClose struct{ export }

func (badClose) Close() error { return errors.New("it is stuck") }

func TestStopTellsOfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		r := newRig(t, memory.New(), []worker.Destination{to("backend")}, badClose{g.slow(0)})
		r.start()
		if err := r.stopWithin(time.Second); err == nil || err.Error() != "close destination backend: it is stuck" {
			t.Errorf("got %v", err)
		}
	})
}

// An ack that cannot be sent is repeated, so that a lost connection does not
// double what was delivered (I9).
func TestFailedAckIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		r, a := ackRig(t, to("backend"), g.slow(0))
		a.fail.Store(true)
		r.put(otlp.Traces, codec.S2, 1)
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		r.settled(otlp.Traces, "backend", 1)
		if g.total != 1 || a.sync.Load() != 1 {
			t.Errorf("exported %d times with %d confirmed acks, want once each", g.total, a.sync.Load())
		}
		r.wantMetric(0, "penstock_exporter_ack_failures_total")
	})
}

// When the queue takes no word at all the message comes again, and is not sent
// again: this process knows that it was delivered. It is counted once.
func TestLostAckIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r, a := ackRig(t, to("backend"), export(func(context.Context, *exporter.Request) (exporter.Result, error) {
			calls++
			return exporter.Result{}, nil
		}))
		a.fail.Store(true)
		a.failSync.Store(true)
		a.failRest.Store(true)
		r.put(otlp.Traces, codec.S2, 7)
		r.start()
		time.Sleep(59 * time.Second)
		tally := r.w.Tally()
		if len(tally) != 1 || tally[0].Exported != 7 || tally[0].Messages != 1 {
			t.Errorf("%+v is counted of a message whose ack may have arrived, want all of it", tally)
		}
		time.Sleep(time.Minute)
		a.fail.Store(false)
		time.Sleep(time.Minute)
		if again := r.w.Tally(); !slices.Equal(again, tally) {
			t.Errorf("%+v is counted after it came again, %+v before", again, tally)
		}
		r.stop()
		if calls != 1 {
			t.Errorf("exported %d times, want once", calls)
		}
		r.settled(otlp.Traces, "backend", 1)
		r.wantMetric(2, "penstock_exporter_ack_failures_total")
		r.wantMetric(2, "penstock_exporter_redeliveries_total")
		if r.log.count("ack failed") != 2 {
			t.Errorf("log:\n%s", r.log)
		}
	})
}

func TestLostGiveBackIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r, a := ackRig(t, to("backend"), export(func(context.Context, *exporter.Request) (exporter.Result, error) {
			if calls.Add(1) > 3 {
				return exporter.Result{}, nil
			}
			time.Sleep(25 * time.Second) // long enough to extend
			return exporter.Result{}, retryable(0)
		}))
		a.failRest.Store(true)
		for range 3 {
			r.put(otlp.Traces, codec.S2, 1)
		}
		r.start()
		time.Sleep(10 * time.Minute)
		r.stop()
		r.settled(otlp.Traces, "backend", 3) // they came back after the ack wait
		if r.log.count("giving a message back failed") != 1 || r.log.count("extending the ack wait failed") != 1 {
			t.Errorf("log:\n%s", r.log)
		}
	})
}
