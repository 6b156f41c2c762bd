package tap_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/tap"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// both is a queue that can be read at will.
type both interface {
	queue.Queue
	queue.Archive
}

// rig is a queue with streams.
type rig struct {
	t    testing.TB
	q    both
	plan topology.Plan
	n    int
}

func newRig(t testing.TB, shards int) *rig {
	return rigOn(t, memory.New(), shards)
}

func rigOn(t testing.TB, q both, shards int) *rig {
	t.Helper()
	r := &rig{t: t, q: q, plan: topology.Plan{Shards: shards, MaxBytes: 1 << 30, Destinations: []topology.Destination{{Name: "backend"}}}}
	r.must(topology.Apply(t.Context(), q, r.plan))
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// message is a group as the gateway writes it.
func (r *rig) message(sig otlp.Signal, tenant string, raw []byte) *queue.Message {
	r.t.Helper()
	info, err := otlp.Check(sig, raw, otlp.CheckOptions{})
	r.must(err)
	p, err := codec.NewPolicy(codec.S2, 1, 0)
	r.must(err)
	body, name, err := p.Append(nil, raw)
	r.must(err)
	r.n++
	return record.Encode(&record.Record{ID: fmt.Sprint("id-", r.n), Signal: sig, Tenant: tenant, Codec: name, Items: info.Items, RawBytes: len(raw),
		MinTime: info.MinTime, MaxTime: info.MaxTime, Body: body})
}

func (r *rig) publish(stream string, m *queue.Message) {
	r.t.Helper()
	_, err := r.q.Publish(r.t.Context(), stream, m)
	r.must(err)
}

// put stores a request on the first shard.
func (r *rig) put(sig otlp.Signal, tenant string, raw []byte) {
	r.t.Helper()
	r.publish(topology.Stream(sig, 0), r.message(sig, tenant, raw))
}

func (r *rig) options(edits ...func(*tap.Options)) tap.Options {
	o := tap.Options{Archive: r.q, Plan: r.plan}
	for _, edit := range edits {
		edit(&o)
	}
	return o
}

// stored is all that is stored now and passes the options.
func (r *rig) stored(edits ...func(*tap.Options)) (items []tap.Item) {
	r.t.Helper()
	o := r.options(edits...)
	o.Oldest, o.Once = o.Since.IsZero(), true
	r.must(tap.Run(r.t.Context(), o, func(i tap.Item) error {
		items = append(items, i)
		return nil
	}))
	return items
}

// names are what a test compares.
func names(items []tap.Item) (list []string) {
	for _, i := range items {
		list = append(list, i.Name)
	}
	return list
}

func conditions(t testing.TB, texts ...string) otlp.Conditions {
	t.Helper()
	cs, err := otlp.ParseConditions(texts)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// live is a tap that runs in a goroutine of its own.
type live struct {
	cancel context.CancelFunc
	err    error // of the end
	done   chan struct{}

	mu    sync.Mutex
	items []tap.Item
}

// follow starts one; between is what emit does first.
func follow(ctx context.Context, o tap.Options, between func()) *live {
	ctx, cancel := context.WithCancel(ctx)
	l := &live{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.err = tap.Run(ctx, o, func(i tap.Item) error {
			between()
			l.mu.Lock()
			defer l.mu.Unlock()
			l.items = append(l.items, i)
			return nil
		})
	}()
	return l
}

func (l *live) seen() []tap.Item {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.items)
}

func (l *live) stop() error {
	l.cancel()
	<-l.done
	return l.err
}

// spans, points and logs are requests of one resource, an item for each name.
func spans(service string, names ...string) []byte {
	d := ptrace.NewTraces()
	r := d.ResourceSpans().AppendEmpty()
	resource(r.Resource(), service)
	s := r.ScopeSpans().AppendEmpty()
	s.Scope().SetName("lib")
	for n, name := range names {
		span := s.Spans().AppendEmpty()
		span.SetName(name)
		span.SetKind(ptrace.SpanKindServer)
		span.SetTraceID([16]byte{1, 2, 3})
		span.SetSpanID([8]byte{4, byte(n)})
		span.SetStartTimestamp(1_790_000_000_000_000_000)
		span.SetEndTimestamp(1_790_000_000_012_300_000)
		span.Status().SetCode(ptrace.StatusCodeError)
		span.Status().SetMessage("no stock")
		span.Attributes().PutStr("name", name)
		span.Attributes().PutInt("n", int64(n))
	}
	return encoded((&ptrace.ProtoMarshaler{}).MarshalTraces(d))
}

func points(service string, names ...string) []byte {
	d := pmetric.NewMetrics()
	r := d.ResourceMetrics().AppendEmpty()
	resource(r.Resource(), service)
	s := r.ScopeMetrics().AppendEmpty()
	for n, name := range names {
		m := s.Metrics().AppendEmpty()
		m.SetName(name)
		m.SetUnit("By")
		p := m.SetEmptyGauge().DataPoints().AppendEmpty()
		p.SetTimestamp(1_790_000_000_000_000_000)
		p.SetIntValue(42)
		p.Attributes().PutStr("name", name)
		p.Attributes().PutInt("n", int64(n))
	}
	return encoded((&pmetric.ProtoMarshaler{}).MarshalMetrics(d))
}

func logs(service string, names ...string) []byte {
	d := plog.NewLogs()
	r := d.ResourceLogs().AppendEmpty()
	resource(r.Resource(), service)
	s := r.ScopeLogs().AppendEmpty()
	for n, name := range names {
		l := s.LogRecords().AppendEmpty()
		l.SetEventName(name)
		l.SetObservedTimestamp(1_790_000_000_000_000_000)
		l.SetSeverityText("WARN")
		l.Body().SetStr("body of " + name)
		l.Attributes().PutStr("name", name)
		l.Attributes().PutInt("n", int64(n))
	}
	return encoded((&plog.ProtoMarshaler{}).MarshalLogs(d))
}

func resource(r pcommon.Resource, service string) {
	if service != "" {
		r.Attributes().PutStr("service.name", service)
		r.Attributes().PutStr("env", "of "+service)
	}
}

func encoded(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// requests makes one of each signal.
var requests = [otlp.NumSignals]func(service string, names ...string) []byte{otlp.Traces: spans, otlp.Metrics: points, otlp.Logs: logs}

var errStop = errors.New("stop")
