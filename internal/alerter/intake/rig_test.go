package intake_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/alerter/intake"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is a real queue behind a network that can be cut.
type network struct {
	queue.Queue
	mu   sync.Mutex
	down bool
}

func (n *network) cut(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
}

// replace lets streams be made anew.
func (n *network) replace(q queue.Queue) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.Queue = q
}

func (n *network) now() (queue.Queue, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return n.Queue, queue.ErrUnavailable
	}
	return n.Queue, nil
}

func (n *network) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	q, err := n.now()
	if err != nil {
		return queue.StreamState{}, err
	}
	return q.StreamState(ctx, stream)
}

func (n *network) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	q, err := n.now()
	if err != nil {
		return nil, err
	}
	b, err := q.Browse(ctx, stream, o)
	return cuttable{b, n}, err
}

// cuttable fails where a browser of JetStream would have tried on.
type cuttable struct {
	queue.Browser
	n *network
}

func (c cuttable) Next(ctx context.Context) (queue.Entry, error) {
	if _, err := c.n.now(); err != nil {
		return queue.Entry{}, err
	}
	return c.Browser.Next(ctx)
}

// rig is an intake and what its sink got.
type rig struct {
	t      *testing.T
	q      *network
	plan   topology.Plan
	reg    *prometheus.Registry
	in     *intake.Intake
	n      int
	cancel context.CancelFunc
	done   chan error

	mu   sync.Mutex
	got  []string
	fail error
	gate map[string]chan struct{} // by tenant: Append waits
	lost []string
}

// newRig has the streams and starts nothing.
func newRig(t *testing.T, q queue.Queue, shards int) *rig {
	t.Helper()
	r := &rig{t: t, q: &network{Queue: q}, reg: prometheus.NewRegistry(), plan: topology.Plan{Shards: shards, MaxBytes: 1 << 30}, gate: map[string]chan struct{}{}}
	r.must(topology.Apply(t.Context(), q, r.plan))
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// Append implements intake.Sink.
func (r *rig) Append(ctx context.Context, tenant string, request []byte, storedAt time.Time) error {
	r.mu.Lock()
	gate, fail := r.gate[tenant], r.fail
	r.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fail != nil {
		return fail
	}
	req := pmetricotlp.NewExportRequest()
	if err := req.UnmarshalProto(request); err != nil {
		return err
	}
	var names []string
	for _, rm := range req.Metrics().ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				names = append(names, m.Name())
			}
		}
	}
	if storedAt.IsZero() {
		return errors.New("without a time")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, strings.TrimPrefix(tenant+":", ":")+strings.Join(names, ","))
	return nil
}

func (r *rig) failWith(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

// wantsUp keeps metrics whose name begins with "up", and nothing of the tenant
// "nobody".
func wantsUp(tenant string) func(otlp.MetricHead) bool {
	if tenant == "nobody" {
		return nil
	}
	return func(h otlp.MetricHead) bool { return strings.HasPrefix(string(h.Name), "up") }
}

func (r *rig) start(edits ...func(*intake.Options)) {
	r.t.Helper()
	o := intake.Options{Source: r.q, Streams: r.plan.Streams(otlp.Metrics), From: time.Now().Add(-time.Hour), Wants: wantsUp, Sink: r, Metrics: intake.NewMetrics(r.reg),
		Lost: func(stream string, from, to uint64) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.lost = append(r.lost, fmt.Sprintf("%s %d-%d", stream, from, to))
		}}
	for _, e := range edits {
		e(&o)
	}
	in, err := intake.New(o)
	r.must(err)
	r.in = in
	ctx, cancel := context.WithCancel(r.t.Context())
	r.cancel, r.done = cancel, make(chan error, 1)
	go func() { r.done <- in.Run(ctx) }()
}

func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	r.must(<-r.done)
}

// request has one gauge of each name.
func request(names ...string) []byte {
	d := pmetric.NewMetrics()
	s := d.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty()
	for _, name := range names {
		m := s.Metrics().AppendEmpty()
		m.SetName(name)
		p := m.SetEmptyGauge().DataPoints().AppendEmpty()
		p.SetTimestamp(1_790_000_000_000_000_000)
		p.SetIntValue(1)
	}
	b, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(d)
	if err != nil {
		panic(err)
	}
	return b
}

// record is a group as the gateway writes it.
func (r *rig) record(tenant, codecName string, names ...string) *record.Record {
	r.t.Helper()
	raw := request(names...)
	level := 1
	if codecName == codec.None {
		level = 0
	}
	p, err := codec.NewPolicy(codecName, level, 0)
	r.must(err)
	body, name, err := p.Append(nil, raw)
	r.must(err)
	r.n++
	return &record.Record{ID: fmt.Sprint("id-", r.n), Signal: otlp.Metrics, Tenant: tenant, Codec: name, Items: len(names), RawBytes: len(raw), Body: body}
}

func (r *rig) publish(shard int, m *queue.Message) {
	r.t.Helper()
	_, err := r.q.Publish(r.t.Context(), topology.Stream(otlp.Metrics, shard), m)
	r.must(err)
}

func (r *rig) put(shard int, tenant string, names ...string) {
	r.t.Helper()
	r.publish(shard, record.Encode(r.record(tenant, codec.S2, names...)))
}

func (r *rig) want(want ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.got, want) {
		r.t.Errorf("got %q, want %q", r.got, want)
	}
}

func (r *rig) wantLost(want ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.lost, want) {
		r.t.Errorf("lost %q, want %q", r.lost, want)
	}
}

// metric sums a metric over the labels that contain the text.
func (r *rig) metric(name, label string) (sum float64) {
	r.t.Helper()
	all, err := r.reg.Gather()
	r.must(err)
	for _, f := range all {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if strings.Contains(fmt.Sprint(m.GetLabel()), label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func newMemory(t *testing.T) queue.Queue {
	q := memory.New()
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}
