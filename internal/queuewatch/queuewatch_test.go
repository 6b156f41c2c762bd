package queuewatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func plan() topology.Plan {
	return topology.Plan{Shards: 1, MaxBytes: 100 << 20, AckWait: time.Hour, Destinations: []topology.Destination{
		{Name: "all"}, {Name: "logs", Signals: []otlp.Signal{otlp.Logs}}}}
}

func watch(t *testing.T, q queue.Queue) (*queuewatch.Watch, *prometheus.Registry) {
	t.Helper()
	if err := topology.Apply(t.Context(), q, plan()); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	return queuewatch.New(q, plan(), reg), reg
}

func put(t *testing.T, q queue.Queue, n int) {
	t.Helper()
	st, err := q.StreamState(t.Context(), "PENSTOCK_LOGS_0")
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := q.Publish(t.Context(), "PENSTOCK_LOGS_0", &queue.Message{ID: fmt.Sprint("m", int(st.LastSeq)+i), Body: make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
}

// take gets n deliveries of a destination.
func take(t *testing.T, q queue.Queue, destination string, n int) []queue.Delivery {
	t.Helper()
	c, err := q.Consume(t.Context(), "PENSTOCK_LOGS_0", topology.Durable(destination), queue.ConsumeOptions{MaxMessages: n})
	if err != nil {
		t.Fatal(err)
	}
	var out []queue.Delivery
	for range n {
		d, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

func lag(t *testing.T, v queuewatch.View, destination string) queuewatch.Lag {
	t.Helper()
	for _, l := range v.Lags {
		if l.Destination == destination && l.Stream == "PENSTOCK_LOGS_0" {
			return l
		}
	}
	t.Fatalf("no lag of %s in %+v", destination, v)
	return queuewatch.Lag{}
}

func TestLookSeesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		w, reg := watch(t, q)
		put(t, q, 1)
		time.Sleep(10 * time.Second)
		put(t, q, 4)
		d := take(t, q, "logs", 3)
		if err := errors.Join(d[0].Ack(), d[1].Retry(0)); err != nil { // the second is delivered again later
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		v := w.Look(t.Context())
		if v.Error != "" || !v.At.Equal(time.Now()) || len(v.Streams) != 4 || len(v.Lags) != 4 {
			t.Errorf("saw %+v", v)
		}
		if s := v.Streams[2]; s.Name != "PENSTOCK_LOGS_0" || s.Messages != 5 || s.Bytes < 5000 || s.MaxBytes != 30<<20 {
			t.Errorf("saw stream %+v", s)
		}
		if l := lag(t, v, "all"); l.Pending != 5 || l.InFlight != 0 || l.OldestAge != 15 {
			t.Errorf("of all: %+v", l)
		}
		if l := lag(t, v, "logs"); l.Pending != 2 || l.InFlight != 2 || l.Redelivered != 0 || l.OldestAge != 5 {
			t.Errorf("of logs: %+v", l)
		}
		err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP penstock_queue_backlog_messages Messages that a destination has not had delivered yet.
# TYPE penstock_queue_backlog_messages gauge
penstock_queue_backlog_messages{destination="all",stream="PENSTOCK_LOGS_0"} 5
penstock_queue_backlog_messages{destination="all",stream="PENSTOCK_METRICS_0"} 0
penstock_queue_backlog_messages{destination="all",stream="PENSTOCK_TRACES_0"} 0
penstock_queue_backlog_messages{destination="logs",stream="PENSTOCK_LOGS_0"} 2
# HELP penstock_queue_unsettled_messages Messages delivered for a destination and not acknowledged.
# TYPE penstock_queue_unsettled_messages gauge
penstock_queue_unsettled_messages{destination="all",stream="PENSTOCK_LOGS_0"} 0
penstock_queue_unsettled_messages{destination="all",stream="PENSTOCK_METRICS_0"} 0
penstock_queue_unsettled_messages{destination="all",stream="PENSTOCK_TRACES_0"} 0
penstock_queue_unsettled_messages{destination="logs",stream="PENSTOCK_LOGS_0"} 2
# HELP penstock_queue_oldest_unacked_age_seconds Age of the oldest message that a destination has not acknowledged; 0 when it has all.
# TYPE penstock_queue_oldest_unacked_age_seconds gauge
penstock_queue_oldest_unacked_age_seconds{destination="all",stream="PENSTOCK_LOGS_0"} 15
penstock_queue_oldest_unacked_age_seconds{destination="all",stream="PENSTOCK_METRICS_0"} 0
penstock_queue_oldest_unacked_age_seconds{destination="all",stream="PENSTOCK_TRACES_0"} 0
penstock_queue_oldest_unacked_age_seconds{destination="logs",stream="PENSTOCK_LOGS_0"} 5
# HELP penstock_queue_capacity_bytes Bytes at which a stream refuses.
# TYPE penstock_queue_capacity_bytes gauge
penstock_queue_capacity_bytes{stream="PENSTOCK_DLQ"} 1.048576e+07
penstock_queue_capacity_bytes{stream="PENSTOCK_LOGS_0"} 3.145728e+07
penstock_queue_capacity_bytes{stream="PENSTOCK_METRICS_0"} 3.145728e+07
penstock_queue_capacity_bytes{stream="PENSTOCK_TRACES_0"} 3.145728e+07
# HELP penstock_queue_messages Messages that a stream holds, delivered or not.
# TYPE penstock_queue_messages gauge
penstock_queue_messages{stream="PENSTOCK_DLQ"} 0
penstock_queue_messages{stream="PENSTOCK_LOGS_0"} 5
penstock_queue_messages{stream="PENSTOCK_METRICS_0"} 0
penstock_queue_messages{stream="PENSTOCK_TRACES_0"} 0
# HELP penstock_queue_watch_last_success_timestamp_seconds When the gauges of the queue were last refreshed.
# TYPE penstock_queue_watch_last_success_timestamp_seconds gauge
penstock_queue_watch_last_success_timestamp_seconds 9.46684815e+08
`), "penstock_queue_backlog_messages", "penstock_queue_unsettled_messages", "penstock_queue_oldest_unacked_age_seconds",
			"penstock_queue_capacity_bytes", "penstock_queue_messages", "penstock_queue_watch_last_success_timestamp_seconds")
		if err != nil {
			t.Error(err)
		}
	})
}

// The age follows the ack floor: to the next message, over a purge, to nothing.
func TestOldestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		w, _ := watch(t, q)
		f := func(want float64) {
			t.Helper()
			if got := lag(t, w.Look(t.Context()), "logs").OldestAge; got != want {
				t.Errorf("oldest age is %g s, want %g", got, want)
			}
		}
		f(0)
		for range 5 {
			put(t, q, 1)
			time.Sleep(time.Second)
		}
		f(5)
		f(5)
		d := take(t, q, "logs", 2)
		f(5)
		if err := d[1].Ack(); err != nil { // the first is still the oldest
			t.Fatal(err)
		}
		f(5)
		if err := d[0].Ack(); err != nil {
			t.Fatal(err)
		}
		f(3)
		time.Sleep(time.Second)
		f(4)
		if err := q.Purge(t.Context(), "PENSTOCK_LOGS_0", 4); err != nil {
			t.Fatal(err)
		}
		f(2)
		for _, d := range take(t, q, "logs", 1) {
			if err := d.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		f(0)
		put(t, q, 1)
		time.Sleep(time.Second)
		f(1)
	})
}

// asked counts what a look costs, and fails what it is told to.
type asked struct {
	queue.Queue
	gets atomic.Int64
	mu   sync.Mutex
	fail map[string]error
}

func (q *asked) of(verb string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fail[verb]
}

func (q *asked) Get(ctx context.Context, stream string, seq uint64) (*queue.Message, time.Time, error) {
	q.gets.Add(1)
	if err := q.of("get"); err != nil {
		return nil, time.Time{}, err
	}
	return q.Queue.Get(ctx, stream, seq)
}

func (q *asked) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	if err := q.of("stream"); err != nil {
		return queue.StreamState{}, err
	}
	return q.Queue.StreamState(ctx, stream)
}

func (q *asked) ConsumerState(ctx context.Context, stream, consumer string) (queue.ConsumerState, error) {
	if err := q.of("consumer"); err != nil {
		return queue.ConsumerState{}, err
	}
	return q.Queue.ConsumerState(ctx, stream, consumer)
}

// The oldest message comes with its body: it is read once, not at each look.
func TestOldestIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &asked{Queue: memory.New()}
		w, _ := watch(t, q)
		put(t, q, 3)
		for range 10 {
			w.Look(t.Context())
		}
		if n := q.gets.Load(); n != 2 { // one a destination
			t.Errorf("read %d times in 10 looks, want 2", n)
		}
	})
}

// A failed look changes nothing but says so.
func TestFailedLook(t *testing.T) {
	for verb, want := range map[string]string{
		"stream":   "look at stream PENSTOCK_TRACES_0: no luck",
		"consumer": "look at destination all on stream PENSTOCK_TRACES_0: no luck",
		"get":      "look at destination all on stream PENSTOCK_LOGS_0: no luck",
	} {
		synctest.Test(t, func(t *testing.T) {
			q := &asked{Queue: memory.New(), fail: map[string]error{}}
			w, reg := watch(t, q)
			put(t, q, 1)
			if verb != "get" { // else the oldest is known
				w.Look(t.Context())
			}
			before := w.View()
			put(t, q, 1)
			q.fail[verb] = errors.New("no luck")
			time.Sleep(time.Second)
			v := w.Look(t.Context())
			if v.Error != want || !v.At.Equal(before.At) || len(v.Lags) != len(before.Lags) {
				t.Errorf("%s: %+v, want the view of before with %s", verb, v, want)
			}
			values := fmt.Sprintf("# HELP penstock_queue_watch_failures_total Looks at the queue that failed.\n# TYPE penstock_queue_watch_failures_total counter\npenstock_queue_watch_failures_total %d\n", 1)
			if err := testutil.GatherAndCompare(reg, strings.NewReader(values), "penstock_queue_watch_failures_total"); err != nil {
				t.Error(err)
			}
			delete(q.fail, verb)
			if v := w.Look(t.Context()); v.Error != "" || lag(t, v, "all").Pending != 2 {
				t.Errorf("%s: after it healed %+v", verb, v)
			}
		})
	}
}

// A message that is gone when it is looked for has no age.
func TestPurgedInBetween(t *testing.T) {
	q := &asked{Queue: memory.New(), fail: map[string]error{"get": queue.ErrNotFound}}
	w, _ := watch(t, q)
	put(t, q, 1)
	if v := w.Look(t.Context()); v.Error != "" || lag(t, v, "all").OldestAge != 0 || lag(t, v, "all").Pending != 1 {
		t.Errorf("saw %+v", v)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		w, reg := watch(t, q)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		synctest.Wait()
		if v := w.View(); v.At.IsZero() {
			t.Error("no look at the start")
		}
		put(t, q, 1)
		time.Sleep(queuewatch.Every)
		synctest.Wait()
		if got := lag(t, w.View(), "all").Pending; got != 1 {
			t.Errorf("%d pending after %s, want 1", got, queuewatch.Every)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		before := w.View()
		if v := w.Look(ctx); v.Error != "" || !v.At.Equal(before.At) { // a process that stops has no failure
			t.Errorf("after the stop: %+v", v)
		}
		if n, err := testutil.GatherAndCount(reg, "penstock_queue_watch_failures_total"); err != nil || n != 1 {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestOnARealQueue(t *testing.T) {
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
	if err != nil {
		t.Fatal(errors.Join(err, s.Shutdown(context.Background())))
	}
	defer func() {
		if err := errors.Join(q.Close(), s.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	}()
	w, reg := watch(t, q)
	put(t, q, 3)
	d := take(t, q, "logs", 2)
	if err := d[0].AckSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := w.Look(t.Context())
	// The reader may have pulled the third, and have given it back.
	if l := lag(t, v, "logs"); v.Error != "" || l.InFlight < 1 || l.InFlight+int(l.Pending) != 2 || l.OldestAge <= 0 || l.OldestAge > 60 {
		t.Errorf("saw %+v %s", l, v.Error)
	}
	for end := time.Now().Add(10 * time.Second); lag(t, v, "all").Pending != 3; v = w.Look(t.Context()) { // known a moment after the publish only
		if time.Now().After(end) {
			t.Fatalf("saw %+v", lag(t, v, "all"))
		}
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if text, err := json.Marshal(v); err != nil || !strings.Contains(string(text), `"oldest_age_seconds"`) || strings.Contains(string(text), `"error"`) {
		t.Errorf("as JSON: %s, %v", text, err)
	}
	// Looks from several sides at once.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { w.Look(t.Context()); w.View() })
	}
	wg.Wait()
}

func TestFreshLooksWhenTheViewIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		defer func() {
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		}()
		w, _ := watch(t, q)
		first := w.Fresh(t.Context(), time.Second)
		time.Sleep(time.Second / 2)
		if v := w.Fresh(t.Context(), time.Second); !v.At.Equal(first.At) {
			t.Errorf("looked again after half a second")
		}
		time.Sleep(time.Second / 2)
		if v := w.Fresh(t.Context(), time.Second); !v.At.After(first.At) || first.At.IsZero() {
			t.Errorf("first look at %s, then %s", first.At, v.At)
		}
	})
}

// hanging is a queue that does not answer.
type hanging struct {
	queue.Queue
	calls atomic.Int64
}

func (q *hanging) StreamState(ctx context.Context, _ string) (queue.StreamState, error) {
	q.calls.Add(1)
	<-ctx.Done()
	return queue.StreamState{}, ctx.Err()
}

// However many ask while the queue does not answer, each waits for one look at
// most, and the pace of the watch itself goes on.
func TestManyWhoAskShareALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &hanging{Queue: memory.New()}
		w := queuewatch.New(q, plan(), prometheus.NewRegistry())
		var askers sync.WaitGroup
		begin := time.Now()
		for range 200 {
			askers.Go(func() {
				if v := w.Fresh(t.Context(), time.Second); v.Error == "" {
					t.Error("no error is told")
				}
			})
		}
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		askers.Go(func() {
			w.Fresh(hasty, 0)
			if took := time.Since(begin); took > time.Second {
				t.Errorf("waited %s, its request ended after 1s", took)
			}
		})
		askers.Wait()
		if took, n := time.Since(begin), q.calls.Load(); took > queuewatch.Every+time.Second || n > 2 { // the hasty one may have been first
			t.Errorf("%d looks in %s, want 1 in %s, and a short one", n, took, queuewatch.Every)
		}
	})
}

// counter is a ledger that knows what it is told.
type counter struct {
	mu    sync.Mutex
	total uint64
	none  bool
}

func (c *counter) Total(stream string) (uint64, uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total, c.total * 10, stream == "PENSTOCK_LOGS_0" && !c.none
}

func (c *counter) Between(stream string, above, upTo uint64) (items, bytes uint64, exact, ok bool) {
	n := 10 * (upTo - above) // 10 items in each message
	return n, n * 10, true, stream == "PENSTOCK_LOGS_0" && !c.none
}

// Items, rates and the time to drain follow what comes and goes.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		w, reg := watch(t, q)
		c := &counter{}
		w.Count(c)
		turn := func(in, out int) queuewatch.View {
			t.Helper()
			put(t, q, in)
			c.total += uint64(10 * in)
			for _, d := range take(t, q, "logs", out) {
				if err := d.Ack(); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(queuewatch.Every)
			return w.Look(t.Context())
		}
		v := turn(20, 0)
		s := v.Streams[2]
		if *s.Items != 200 || *s.RawBytes != 2000 || s.InMessages != 0 || s.InItems != nil || s.LastSeq != 20 {
			t.Errorf("first look: %+v", s)
		}
		if l := lag(t, v, "logs"); *l.Items != 200 || *l.RawBytes != 2000 || l.OutItems != nil || l.Drain != nil {
			t.Errorf("first look: %+v", l)
		}
		v = turn(10, 20)
		if s := v.Streams[2]; s.InMessages != 2 || *s.InItems != 20 || *s.Items != 300 {
			t.Errorf("second look: %+v", s)
		}
		if l := lag(t, v, "logs"); *l.Items != 100 || l.OutMessages != 4 || *l.OutItems != 40 || *l.Drain != 5 {
			t.Errorf("second look: %+v, drains in %g s", l, *l.Drain)
		}
		if l := lag(t, v, "all"); *l.Items != 300 || *l.OutItems != 0 || l.Drain != nil { // it becomes more
			t.Errorf("of all: %+v", l)
		}
		d := take(t, q, "logs", 10) // 10 unsettled
		if err := d[9].Ack(); err != nil {
			t.Fatal(err)
		}
		v = turn(0, 0)
		if l := lag(t, v, "logs"); l.InFlight != 9 || *l.Items != 90 {
			t.Errorf("of what is in flight: %+v with %d items", l, *l.Items)
		}
		if s := v.Streams[2]; *s.InItems != 10 { // half of the newest
			t.Errorf("smoothed: %g", *s.InItems)
		}
		for _, name := range []string{"penstock_queue_items", "penstock_queue_in_items_per_second", "penstock_queue_backlog_items", "penstock_queue_out_items_per_second", "penstock_queue_drain_seconds"} {
			if n, err := testutil.GatherAndCount(reg, name); err != nil || n == 0 {
				t.Errorf("%d of %s, %v", n, name, err)
			}
		}
		for _, d := range d[:9] {
			if err := d.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		if l := lag(t, turn(0, 0), "logs"); *l.Items != 0 || *l.Drain != 0 {
			t.Errorf("drained: %+v", l)
		}
		c.none = true // another process keeps the ledger now
		v = turn(5, 0)
		if s, l := v.Streams[2], lag(t, v, "logs"); s.Items != nil || s.InItems != nil || l.Items != nil || l.InFlight != 0 || l.Pending != 5 || s.InMessages == 0 {
			t.Errorf("without a ledger: %+v %+v", s, l)
		}
		if n, err := testutil.GatherAndCount(reg, "penstock_queue_items"); err != nil || n != 0 {
			t.Errorf("%d items are told without a ledger, %v", n, err)
		}
		c.none = false
		if s := turn(5, 0).Streams[2]; s.Items == nil || s.InItems != nil { // no rate over the gap
			t.Errorf("after the gap: %+v", s)
		}
	})
}

// A durable that is gone is told, and hides nothing else.
func TestMissingDurable(t *testing.T) {
	q := memory.New()
	w, reg := watch(t, q)
	put(t, q, 1)
	w.Look(t.Context())
	if err := q.RemoveConsumer(t.Context(), "PENSTOCK_LOGS_0", "export-logs"); err != nil {
		t.Fatal(err)
	}
	v := w.Look(t.Context())
	if s := v.Streams[2]; v.Error != "" || len(s.Missing) != 1 || s.Missing[0] != "logs" || len(v.Lags) != 3 || lag(t, v, "all").Pending != 1 {
		t.Errorf("saw %+v", v)
	}
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP penstock_queue_missing_consumers Destinations of this process that have no durable on the stream.
# TYPE penstock_queue_missing_consumers gauge
penstock_queue_missing_consumers{stream="PENSTOCK_DLQ"} 0
penstock_queue_missing_consumers{stream="PENSTOCK_LOGS_0"} 1
penstock_queue_missing_consumers{stream="PENSTOCK_METRICS_0"} 0
penstock_queue_missing_consumers{stream="PENSTOCK_TRACES_0"} 0
`), "penstock_queue_missing_consumers")
	if err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(reg, "penstock_queue_oldest_unacked_age_seconds"); err != nil || n != 3 {
		t.Errorf("%d ages, %v", n, err)
	}
}
