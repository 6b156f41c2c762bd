package worker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
)

func TestRetriesWithGrowingBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		r := memoryRig(t, to("backend"), func(context.Context, *exporter.Request) (exporter.Result, error) {
			if at = append(at, time.Now()); len(at) < 10 {
				return exporter.Result{}, retryable(0)
			}
			return exporter.Result{}, nil
		})
		r.start()
		r.put(otlp.Traces, codec.S2, 1)
		time.Sleep(10 * time.Minute)
		r.stop()
		if len(at) != 10 {
			t.Fatalf("%d attempts, want 10", len(at))
		}
		want := time.Second
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < want/2 || gap > want {
				t.Errorf("wait before attempt %d is %s, want %s to %s", i+1, gap, want/2, want)
			}
			want = min(2*want, 30*time.Second)
		}
		r.settled(otlp.Traces, "backend", 1)
		r.wantMetric(9, "penstock_exporter_retries_total")
		r.wantMetric(9, "penstock_exporter_redeliveries_total")
		r.wantMetric(9, "penstock_exporter_send_failures_total", "code=UNAVAILABLE", "kind=retryable", "signal=traces")
		r.wantMetric(1, "penstock_exporter_sent_spans_total")
		if n := r.log.count("export failed"); n < 1 || n > 4 {
			t.Errorf("%d lines of one lasting failure in the log over 3 minutes:\n%s", n, r.log)
		}
		if r.log.count("takes data again") != 1 {
			t.Errorf("the end of the outage is not said:\n%s", r.log)
		}
	})
}

func TestDestinationsWaitIsHonoured(t *testing.T) {
	for _, c := range []struct{ asks, least, most time.Duration }{
		{3 * time.Minute, 3 * time.Minute, 3 * time.Minute},
		{100 * time.Millisecond, 500 * time.Millisecond, time.Second}, // less than the back-off
		{1000 * time.Hour, 5 * time.Minute, 5 * time.Minute},          // a wrong unit
	} {
		synctest.Test(t, func(t *testing.T) {
			var at []time.Time
			r := memoryRig(t, to("backend"), func(context.Context, *exporter.Request) (exporter.Result, error) {
				if at = append(at, time.Now()); len(at) == 1 {
					return exporter.Result{}, retryable(c.asks)
				}
				return exporter.Result{}, nil
			})
			r.start()
			r.put(otlp.Traces, codec.S2, 1)
			time.Sleep(2 * time.Hour)
			r.stop()
			if len(at) != 2 {
				t.Fatalf("asked for %s: %d attempts, want 2", c.asks, len(at))
			}
			if gap := at[1].Sub(at[0]); gap < c.least || gap > c.most {
				t.Errorf("asked for %s: came after %s, want %s to %s", c.asks, gap, c.least, c.most)
			}
		})
	}
}

// An exporter's error that is not of the contract loses nothing.
func TestUnknownErrorsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := memoryRig(t, to("backend"), func(context.Context, *exporter.Request) (exporter.Result, error) {
			if calls++; calls == 1 {
				return exporter.Result{}, errors.New("what is this")
			}
			return exporter.Result{}, nil
		})
		r.start()
		r.put(otlp.Traces, codec.S2, 1)
		time.Sleep(time.Minute)
		r.stop()
		r.settled(otlp.Traces, "backend", 1)
		r.wantMetric(1, "penstock_exporter_send_failures_total", "code=internal", "kind=retryable")
	})
}

// A message that waits for its back-off holds no slot and delays no other (I8).
func TestFailingMessageDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poison, done := "", 0
		r := memoryRig(t, to("backend", slots(1, 64<<20)), func(_ context.Context, r *exporter.Request) (exporter.Result, error) {
			if r.ID == poison {
				return exporter.Result{}, retryable(0)
			}
			done++
			return exporter.Result{}, nil
		})
		poison, _ = r.put(otlp.Traces, codec.S2, 1)
		for range 50 {
			r.put(otlp.Traces, codec.S2, 1)
		}
		r.start()
		synctest.Wait() // no time passes
		if done != 50 {
			t.Errorf("%d of 50 messages passed the one that waits", done)
		}
		r.stop()
	})
}

// A message of a later version belongs to a later worker (I7): it is neither
// exported nor buried.
func TestNewerVersionIsLeftForANewerWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memoryRig(t, to("backend"), func(context.Context, *exporter.Request) (exporter.Result, error) {
			return exporter.Result{}, errors.New("exported what cannot be read")
		})
		m := message(otlp.Traces, 1)
		m.Header["Penstock-Version"] = "2"
		r.publish(topology.Stream(otlp.Traces, 0), m)
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		if c := r.state(otlp.Traces, "backend"); c.AckFloor != 0 || len(r.dead()) != 0 {
			t.Errorf("%+v and %d dead letters, want the message unsettled and none", c, len(r.dead()))
		}
		if n := r.metric("penstock_exporter_send_failures_total", "code=newer_version"); n < 100 {
			t.Errorf("tried %g times in an hour", n)
		}
		r.wantMetric(0, "penstock_exporter_send_seconds")
	})
}
