package worker_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestExportsWhatIsStored(t *testing.T) {
	got := map[string]exporter.Request{}
	r := memoryRig(t, to("backend", slots(1, 64<<20)), func(_ context.Context, r *exporter.Request) (exporter.Result, error) {
		c := *r
		c.Body = bytes.Clone(r.Body)
		got[r.ID] = c // one slot: never two at a time
		return exporter.Result{}, nil
	})
	r.start()
	type sent struct {
		signal otlp.Signal
		codec  string
		raw    []byte
	}
	want := map[string]sent{}
	for _, s := range otlp.Signals {
		for _, c := range exportertest.Stored {
			id, raw := r.put(s, c, 5)
			want[id] = sent{s, c, raw}
		}
	}
	until(t, "all exported", func() bool { return r.metric("penstock_exporter_send_seconds") == 15 })
	r.stop()
	for id, w := range want {
		g, ok := got[id]
		raw, err := codec.Decode(nil, g.Codec, g.Body, 1<<20)
		switch {
		case !ok:
			t.Errorf("%s of %s never came", id, w.signal)
		case g.Signal != w.signal || g.Tenant != "acme" || g.Items != 5 || g.RawBytes != len(w.raw) || g.Codec != w.codec:
			t.Errorf("%s came as %+v", id, g)
		case err != nil || !bytes.Equal(raw, w.raw):
			t.Errorf("%s: bytes differ (%v)", id, err)
		}
	}
	for _, s := range otlp.Signals {
		r.settled(s, "backend", len(exportertest.Stored))
		r.wantMetric(25, "penstock_exporter_sent_"+s.Items()+"_total", "destination=backend")
	}
	r.wantMetric(15, "penstock_exporter_send_seconds", "destination=backend")
	r.wantMetric(0, "penstock_exporter_redeliveries_total")
}

func TestAcksOnlyAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		r := memoryRig(t, to("backend"), func(context.Context, *exporter.Request) (exporter.Result, error) {
			<-answer
			return exporter.Result{}, nil
		})
		r.start()
		r.put(otlp.Traces, codec.S2, 3)
		synctest.Wait()
		if c := r.state(otlp.Traces, "backend"); c.AckFloor != 0 || c.AckPending != 1 {
			t.Errorf("before the answer: %+v, want one unsettled", c)
		}
		r.wantMetric(1, "penstock_exporter_in_flight_requests")
		r.wantMetric(0, "penstock_exporter_sent_spans_total")
		close(answer)
		synctest.Wait()
		r.settled(otlp.Traces, "backend", 1)
		r.wantMetric(0, "penstock_exporter_in_flight_requests")
		r.wantMetric(3, "penstock_exporter_sent_spans_total")
		r.stop()
	})
}

// The count of a partial success is any number that a destination likes.
func TestPartialSuccessIsFinal(t *testing.T) {
	for _, c := range []struct {
		says           int64
		sent, rejected float64
	}{{0, 10, 0}, {3, 7, 3}, {10, 0, 10}, {1 << 60, 0, 10}, {-5, 10, 0}} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			r := memoryRig(t, to("backend"), func(context.Context, *exporter.Request) (exporter.Result, error) {
				calls++
				return exporter.Result{Rejected: c.says, Message: "some were too old"}, nil
			})
			r.start()
			r.put(otlp.Logs, codec.Gzip, 10)
			time.Sleep(time.Hour)
			r.stop()
			r.settled(otlp.Logs, "backend", 1)
			r.wantMetric(c.sent, "penstock_exporter_sent_log_records_total")
			r.wantMetric(c.rejected, "penstock_exporter_rejected_log_records_total")
			if calls != 1 {
				t.Errorf("rejected %d: exported %d times, want once", c.says, calls)
			}
			if r.log.count("some were too old") != 1 {
				t.Errorf("rejected %d: the destination's words are not in the log once:\n%s", c.says, r.log)
			}
		})
	}
}

func TestSignalsOfADestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []otlp.Signal
		r := memoryRig(t, to("backend", only("logs"), slots(1, 64<<20)), func(_ context.Context, r *exporter.Request) (exporter.Result, error) {
			got = append(got, r.Signal)
			return exporter.Result{}, nil
		})
		r.start()
		for _, s := range otlp.Signals {
			r.put(s, codec.S2, 1)
		}
		synctest.Wait()
		r.stop()
		if len(got) != 1 || got[0] != otlp.Logs {
			t.Errorf("exported %v, want logs alone", got)
		}
	})
}

func TestEveryShardIsDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memoryRig(t, to("backend"), func(context.Context, *exporter.Request) (exporter.Result, error) {
			return exporter.Result{}, nil
		})
		r.o.Plan.Shards = 3
		if err := topology.Apply(t.Context(), r.q, r.o.Plan); err != nil {
			t.Fatal(err)
		}
		r.start()
		for shard := range 3 {
			m := message(otlp.Metrics, 4)
			m.ID += strings.Repeat("x", shard)
			r.publish(topology.Stream(otlp.Metrics, shard), m)
		}
		synctest.Wait()
		r.stop()
		r.wantMetric(12, "penstock_exporter_sent_metric_points_total")
	})
}

// A worker with fewer shards than there are streams of says what it leaves.
func TestStreamsBeyondThePlanAreSaid(t *testing.T) {
	for _, c := range []struct {
		shards, said int
		part         string
	}{
		{1, 1, `streams="[PENSTOCK_TRACES_1 PENSTOCK_TRACES_2 PENSTOCK_METRICS_1 PENSTOCK_METRICS_2 PENSTOCK_LOGS_1 PENSTOCK_LOGS_2]" shards=1`},
		{2, 1, `streams="[PENSTOCK_TRACES_2 PENSTOCK_METRICS_2 PENSTOCK_LOGS_2]" shards=2`},
		{3, 0, "queue.shards"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var g gauge
			deaf := &deaf{Queue: memory.New(), until: time.Now().Add(time.Minute)}
			r := newRig(t, deaf, []worker.Destination{to("backend")}, g.slow(0))
			r.o.Plan.Shards = 3
			if err := topology.Apply(t.Context(), r.q, r.o.Plan); err != nil {
				t.Fatal(err)
			}
			r.o.Plan.Shards = c.shards
			r.start()
			time.Sleep(time.Hour)
			r.stop()
			if n := r.log.count("level=ERROR"); n != c.said || n != r.log.count(c.part) {
				t.Errorf("%d of 3 shards: want %d lines with %s, log:\n%s", c.shards, c.said, c.part, r.log)
			}
			deaf.until = time.Now().Add(time.Minute)
			r.start()
			r.stop() // does not wait for an answer
		})
	}
}

// deaf tells nothing of its streams for a time.
type deaf struct {
	*memory.Queue
	until time.Time
}

func (q *deaf) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	if time.Now().Before(q.until) {
		return queue.StreamState{}, queue.ErrUnavailable
	}
	return q.Queue.StreamState(ctx, stream)
}

func TestMetricsAreClean(t *testing.T) {
	r := newRig(t, memory.New(), []worker.Destination{to("backend")}, export(nil))
	if _, err := worker.New(r.o); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(r.reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestNewNeedsAnExporter(t *testing.T) {
	r := newRig(t, memory.New(), []worker.Destination{to("backend")}, export(nil))
	delete(r.o.Exporters, "backend")
	if _, err := worker.New(r.o); err == nil || !strings.Contains(err.Error(), "destination backend has no exporter") {
		t.Errorf("got %v", err)
	}
}
