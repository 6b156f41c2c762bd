package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// export is a destination scripted as a function.
type export func(ctx context.Context, r *exporter.Request) (exporter.Result, error)

func (f export) Export(ctx context.Context, r *exporter.Request) (exporter.Result, error) {
	return f(ctx, r)
}
func (export) Close() error { return nil }

func retryable(after time.Duration) error {
	return &exporter.Error{Kind: exporter.Retryable, Code: "UNAVAILABLE", After: after, Err: errors.New("not now")}
}

func permanent() error {
	return &exporter.Error{Kind: exporter.Permanent, Code: "INVALID_ARGUMENT", Err: errors.New("never: ünfit\nfor anything")}
}

// rig is a worker over a queue. Its streams exist, its durables too.
type rig struct {
	t    *testing.T
	q    queue.Queue
	plan topology.Plan
	o    worker.Options
	reg  *prometheus.Registry
	log  *log
	w    *worker.Worker
	n    int // messages published
}

// to is a destination with the defaults of the configuration, changed by edits,
// that merges nothing: most tests count exports.
func to(name string, edits ...func(*worker.Destination)) worker.Destination {
	var d worker.Destination
	d.SetDefaults()
	d.Name, d.MergeMessages = name, 1
	for _, edit := range edits {
		edit(&d)
	}
	return d
}

func only(signals ...string) func(*worker.Destination) {
	return func(d *worker.Destination) { d.Signals = signals }
}

func slots(exports int, bytes config.ByteSize) func(*worker.Destination) {
	return func(d *worker.Destination) { d.MaxInFlight, d.MaxInFlightBytes = exports, bytes }
}

func noBreaker(d *worker.Destination) { d.Breaker.Failures = 0 }

func merging(d *worker.Destination) { d.MergeMessages = 64 }

// newRig makes streams, durables and a worker that is not started. Exporters
// are in the order of the destinations.
func newRig(t *testing.T, q queue.Queue, destinations []worker.Destination, exporters ...exporter.Exporter) *rig {
	t.Helper()
	r := &rig{t: t, q: q, reg: prometheus.NewRegistry(), log: new(log)}
	r.plan = topology.Plan{Shards: 1, MaxBytes: 64 << 20, AckWait: time.Minute}
	r.o = worker.Options{Config: worker.DefaultConfig(), Queue: q, Destinations: destinations,
		Exporters: map[string]exporter.Exporter{}, Metrics: worker.NewMetrics(r.reg), Logger: slog.New(slog.NewTextHandler(r.log, nil))}
	for i, d := range destinations {
		r.plan.Destinations = append(r.plan.Destinations, topology.Destination{Name: d.Name, Signals: d.Takes()})
		r.o.Exporters[d.Name] = exporters[i]
	}
	r.o.Plan = r.plan
	r.o.Config.AckWait = config.Duration(r.plan.AckWait)
	if err := topology.Apply(t.Context(), q, r.plan); err != nil {
		t.Fatal(err)
	}
	return r
}

func memoryRig(t *testing.T, d worker.Destination, x export) *rig {
	t.Helper()
	return newRig(t, memory.New(), []worker.Destination{d}, x)
}

func (r *rig) start() {
	r.t.Helper()
	w, err := worker.New(r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.w = w
	w.Start()
}

// stop stops with the patience of a default configuration.
func (r *rig) stop() {
	r.t.Helper()
	if err := r.stopWithin(20 * time.Second); err != nil {
		r.t.Errorf("Stop: %v", err)
	}
}

func (r *rig) stopWithin(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return r.w.Stop(ctx)
}

// put publishes a group of so many items and returns what was joined in it.
func (r *rig) put(s otlp.Signal, stored string, items int) (id string, raw []byte) {
	r.t.Helper()
	r.n++
	raw = sample.New(uint64(r.n), sample.Shape{}).Append(nil, s, items, time.Unix(1_700_000_000, 0))
	enc, err := codec.NewEncoder(stored, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := enc.Append(nil, raw)
	if err != nil {
		r.t.Fatal(err)
	}
	m := record.Encode(&record.Record{ID: fmt.Sprintf("01TEST%06d", r.n), Signal: s, Tenant: "acme", Codec: stored, Items: items, RawBytes: len(raw), Body: body})
	r.publish(topology.Stream(s, 0), m)
	return m.ID, raw
}

func (r *rig) publish(stream string, m *queue.Message) {
	r.t.Helper()
	if _, err := r.q.Publish(r.t.Context(), stream, m); err != nil {
		r.t.Fatal(err)
	}
}

// state of a destination's durable.
func (r *rig) state(s otlp.Signal, destination string) queue.ConsumerState {
	r.t.Helper()
	c, err := r.q.ConsumerState(r.t.Context(), topology.Stream(s, 0), topology.Durable(destination))
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// settled fails unless all n messages of a signal are settled for a destination.
func (r *rig) settled(s otlp.Signal, destination string, n int) {
	r.t.Helper()
	if c := r.state(s, destination); c.AckFloor != uint64(n) || c.Pending != 0 || c.AckPending != 0 {
		r.t.Errorf("%s on %s: %+v, want all of %d settled", destination, s, c, n)
	}
}

// dead reads the dead-letter stream.
func (r *rig) dead() []*queue.Message {
	r.t.Helper()
	st, err := r.q.StreamState(r.t.Context(), topology.DeadLetters)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []*queue.Message
	for seq := st.FirstSeq; seq <= st.LastSeq; seq++ {
		m, _, err := r.q.Get(r.t.Context(), topology.DeadLetters, seq)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// metric is the value of a sample, as it stands in the text format:
// `name{label="x"}`.
func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetName()+"="+l.GetValue())
			}
			if slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(values, l) }) {
				continue
			}
			switch {
			case m.Counter != nil:
				return m.GetCounter().GetValue()
			case m.Gauge != nil:
				return m.GetGauge().GetValue()
			default:
				return float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

func (r *rig) wantMetric(want float64, name string, labels ...string) {
	r.t.Helper()
	if got := r.metric(name, labels...); got != want {
		r.t.Errorf("%s%v is %g, want %g", name, labels, got, want)
	}
}

// log keeps lines.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

var _ io.Writer = (*log)(nil)

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range strings.Split(l.buf.String(), "\n") {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// until polls for a condition of the outside world.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came: %s", what)
		}
	}
}

// tapped is a queue whose deliveries and publishes pass hooks.
type tapped struct {
	queue.Queue
	delivery func(queue.Delivery) queue.Delivery
	publish  func(stream string, m *queue.Message) error
}

func (q *tapped) Publish(ctx context.Context, stream string, m *queue.Message) (queue.Receipt, error) {
	if q.publish != nil {
		if err := q.publish(stream, m); err != nil {
			return queue.Receipt{}, err
		}
	}
	return q.Queue.Publish(ctx, stream, m)
}

func (q *tapped) Consume(ctx context.Context, stream, consumer string, o queue.ConsumeOptions) (queue.Consumer, error) {
	c, err := q.Queue.Consume(ctx, stream, consumer, o)
	if err != nil || q.delivery == nil {
		return c, err
	}
	return &tappedConsumer{c, q}, nil
}

type tappedConsumer struct {
	queue.Consumer
	q *tapped
}

func (c *tappedConsumer) Next(ctx context.Context) (queue.Delivery, error) {
	d, err := c.Consumer.Next(ctx)
	if err != nil {
		return nil, err
	}
	return c.q.delivery(d), nil
}

func applyConsumers(r *rig) error { return topology.ApplyConsumers(r.t.Context(), r.q, r.plan) }
