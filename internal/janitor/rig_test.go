package janitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logs is the stream that most tests look at.
const logs = "PENSTOCK_LOGS_0"

// odd is a queue that tells what it is told to tell.
type odd struct {
	*memory.Queue
	fail  map[string]error // by verb
	shift time.Duration    // how far the server's clock is ahead
	stale bool             // consumers know of nothing pending
	mu    sync.Mutex       // guards calls, for janitors that run
	calls map[string]int
	purge func(stream string, seq uint64) // before each purge
	hook  func()                          // before each call
}

func (q *odd) begin(verb string) error {
	if q.hook != nil {
		q.hook()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls[verb]++
	return q.fail[verb]
}

func (q *odd) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	if err := q.begin("lease"); err != nil {
		return false, err
	}
	return q.Queue.Lease(ctx, name, holder, ttl)
}

func (q *odd) Release(ctx context.Context, name, holder string) error {
	if err := q.begin("release"); err != nil {
		return err
	}
	return q.Queue.Release(ctx, name, holder)
}

func (q *odd) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	if err := q.begin("stream"); err != nil {
		return queue.StreamState{}, err
	}
	st, err := q.Queue.StreamState(ctx, stream)
	if st.Messages > 0 {
		st.FirstTime = st.FirstTime.Round(0).Add(q.shift)
		st.LastTime = st.LastTime.Round(0).Add(q.shift)
	}
	return st, err
}

func (q *odd) ConsumerState(ctx context.Context, stream, name string) (queue.ConsumerState, error) {
	if err := q.begin("consumer"); err != nil {
		return queue.ConsumerState{}, err
	}
	st, err := q.Queue.ConsumerState(ctx, stream, name)
	if q.stale {
		st.Pending = 0
	}
	return st, err
}

func (q *odd) Get(ctx context.Context, stream string, seq uint64) (*queue.Message, time.Time, error) {
	if err := q.begin("get"); err != nil {
		return nil, time.Time{}, err
	}
	m, at, err := q.Queue.Get(ctx, stream, seq)
	return m, at.Round(0).Add(q.shift), err
}

func (q *odd) Purge(ctx context.Context, stream string, seq uint64) error {
	if err := q.begin("purge"); err != nil {
		return err
	}
	if q.purge != nil {
		q.purge(stream, seq)
	}
	return q.Queue.Purge(ctx, stream, seq)
}

// rig is one janitor over an odd queue, and short words.
type rig struct {
	*testing.T
	q   *odd
	j   *Janitor
	reg *prometheus.Registry
	log *bytes.Buffer
	n   int
}

func everyHour(c *Config) { c.ReplayWindow = config.Duration(time.Hour) }

// newRig has streams of 100,000 bytes, and destinations all and logs.
func newRig(t *testing.T, edit func(*Config)) *rig {
	t.Helper()
	r := &rig{T: t, q: newOdd(), reg: prometheus.NewRegistry(), log: new(bytes.Buffer)}
	c := DefaultConfig()
	edit(&c)
	plan := topology.Plan{Shards: 1, Destinations: []topology.Destination{{Name: "all"}, {Name: "logs", Signals: []otlp.Signal{otlp.Logs}}}}
	for _, name := range plan.AllStreams() {
		r.ok(r.q.EnsureStream(t.Context(), queue.StreamConfig{Name: name, MaxBytes: 100_000}))
	}
	r.ok(topology.ApplyConsumers(t.Context(), r.q, plan))
	r.j = r.another("first", c, plan, r.reg)
	return r
}

func newOdd() *odd {
	return &odd{Queue: memory.New(), fail: map[string]error{}, calls: map[string]int{}}
}

func (r *rig) another(holder string, c Config, plan topology.Plan, reg prometheus.Registerer) *Janitor {
	return New(Options{Config: c, Queue: r.q, Plan: plan, Holder: holder, Metrics: NewMetrics(reg), Logger: slog.New(slog.NewTextHandler(r.log, nil))})
}

func (r *rig) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// put stores n messages of 1,000 bytes each in the logs.
func (r *rig) put(n int) {
	r.Helper()
	for range n {
		r.n++
		id := fmt.Sprintf("%04d", r.n)
		_, err := r.q.Publish(r.Context(), logs, &queue.Message{ID: id, Body: make([]byte, 996)})
		r.ok(err)
	}
}

// take delivers and acknowledges n of a destination.
func (r *rig) take(destination string, n int) {
	r.Helper()
	c, err := r.q.Consume(r.Context(), logs, topology.Durable(destination), queue.ConsumeOptions{})
	r.ok(err)
	for range n {
		d, err := c.Next(r.Context())
		r.ok(err)
		r.ok(d.Ack())
	}
	r.ok(c.Close())
}

// round goes round, and wants the logs to hold this.
func (r *rig) round(first, last uint64) {
	r.Helper()
	r.j.round(r.Context())
	r.holds(first, last)
}

func (r *rig) holds(first, last uint64) {
	r.Helper()
	st, err := r.q.Queue.StreamState(r.Context(), logs)
	r.ok(err)
	if st.FirstSeq != first || st.LastSeq != last {
		r.Fatalf("the stream holds %d to %d, want %d to %d\n%s", st.FirstSeq, st.LastSeq, first, last, r.log)
	}
}

// logged wants a text so many times in the log, and forgets the log.
func (r *rig) logged(text string, times int) {
	r.Helper()
	if n := strings.Count(r.log.String(), text); n != times {
		r.Errorf("%d times %q in the log, want %d:\n%s", n, text, times, r.log)
	}
	r.log.Reset()
}

// metric wants the value of a metric without its prefix.
func (r *rig) metric(line string) {
	r.Helper()
	families, err := r.reg.Gather()
	r.ok(err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			value := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			if strings.TrimPrefix(f.GetName(), "penstock_janitor_")+" "+strings.Join(append(labels, fmt.Sprint(value)), " ") == line {
				return
			}
		}
	}
	text, err := testutil.GatherAndCount(r.reg)
	r.Errorf("no %q among %d metrics, %v", line, text, err)
}

var errLuck = errors.New("no luck")
