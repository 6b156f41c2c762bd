package replay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

const stream = "PENSTOCK_LOGS_0"

var logsOnly = []string{"logs"}

// rig is a queue with streams, jobs and backends, and processes that run them.
type rig struct {
	t       *testing.T
	q       queue.Queue
	plan    topology.Plan
	jobs    *job.Store
	a, b    *backend
	m       *replay.Metrics
	jm      *job.Metrics
	reg     *prometheus.Registry
	count   int
	stored  int
	changes []func(*replay.Options)
}

func newRig(t *testing.T) *rig { return rigOn(t, memory.New()) }

func rigOn(t *testing.T, q queue.Queue) *rig {
	r := &rig{t: t, q: q, jobs: job.NewStore(q), a: &backend{}, b: &backend{}, reg: prometheus.NewRegistry(),
		plan: topology.Plan{Shards: 1, MaxBytes: 200 << 20, Destinations: []topology.Destination{{Name: "a"}}}}
	r.m, r.jm = replay.NewMetrics(r.reg), job.NewMetrics(r.reg)
	r.must(topology.Apply(t.Context(), q, r.plan))
	return r
}

func realQueue(t *testing.T) queue.Queue {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 300 << 20})
	if err != nil {
		t.Fatal(err)
	}
	q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
	if err != nil {
		t.Fatal(errors.Join(err, s.Shutdown(context.Background())))
	}
	t.Cleanup(func() {
		if err := errors.Join(q.Close(), s.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return q
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// store stores a group and returns its sequence.
func (r *rig) store(g group) uint64 {
	r.t.Helper()
	raw, first, last := g.encode()
	m := record.Encode(&record.Record{ID: ulid.Make().String(), Signal: otlp.Logs, Tenant: g.tenant, Codec: "none", Items: len(g.ids),
		RawBytes: len(raw), MinTime: first, MaxTime: last, Body: raw})
	receipt, err := r.q.Publish(r.t.Context(), stream, m)
	r.must(err)
	r.stored++
	return receipt.Sequence
}

// fill stores n groups of one item each, named by their number.
func (r *rig) fill(n int) (ids []string) {
	r.t.Helper()
	for range n {
		id := fmt.Sprintf("m%05d", r.stored)
		r.store(group{ids: []string{id}})
		ids = append(ids, id)
	}
	return ids
}

// process runs jobs; off takes its queue away.
type process struct {
	*cut
	stop func()
}

// start runs a process until its stop.
func (r *rig) start() *process {
	r.count++
	p := &process{cut: &cut{Queue: r.q}}
	o := r.options()
	o.Queue = p
	x := job.NewRunner(job.Options{Store: job.NewStore(p), Leaser: p, Handlers: replay.Handlers(o), Holder: fmt.Sprintf("p%d", r.count),
		Every: 500 * time.Millisecond, Metrics: r.jm, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := x.Run(ctx); err != nil {
			r.t.Error(err)
		}
	})
	p.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	return p
}

func (r *rig) options() replay.Options {
	o := replay.Options{Queue: r.q, Destinations: map[string]replay.Destination{"a": {Exporter: r.a}, "b": {Exporter: r.b}},
		Metrics: r.m, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range r.changes {
		f(&o)
	}
	return o
}

// replay starts a job to a, of logs, as fast as it goes unless s says otherwise.
func (r *rig) replay(s replay.Spec) string {
	r.t.Helper()
	if s.Destination == "" && s.Target == nil {
		s.Destination = "a"
	}
	if len(s.Signals) == 0 && s.Stream == "" {
		s.Signals = logsOnly
	}
	if s.Rate == 0 && s.ItemsRate == 0 {
		s.Unlimited = true
	}
	j, err := replay.Start(r.t.Context(), r.jobs, r.q, r.plan, s, replay.StartOptions{})
	r.must(err)
	return j.ID
}

func (r *rig) get(id string) job.Job {
	r.t.Helper()
	j, err := r.jobs.Get(r.t.Context(), id)
	r.must(err)
	return j
}

func (r *rig) wish(id string, w job.Wish) {
	r.t.Helper()
	_, err := r.jobs.Wish(r.t.Context(), id, w, "op")
	r.must(err)
}

// until waits for a phase.
func (r *rig) until(id string, want job.Phase) job.Job {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		j := r.get(id)
		if j.Phase == want {
			return j
		}
		if time.Now().After(end) || j.Phase.Ended() {
			r.t.Fatalf("job is %s, want %s: %+v", j.Phase, want, j)
		}
	}
}

// run does a job to its end by a process of its own.
func (r *rig) run(s replay.Spec) job.Job {
	r.t.Helper()
	p := r.start()
	defer p.stop()
	return r.until(r.replay(s), job.PhaseDone)
}

// took compares what a backend has.
func (r *rig) took(b *backend, want []string) {
	r.t.Helper()
	want = slices.Clone(want)
	slices.Sort(want)
	if got := b.ids(); !slices.Equal(got, want) {
		r.t.Errorf("the backend has %d items %v, want %d: %v", len(got), clip(got), len(want), clip(want))
	}
}

func clip(l []string) []string { return l[:min(len(l), 20)] }

// cut is a queue that can be taken away from one process, in all that a job
// keeps.
type cut struct {
	queue.Queue
	off atomic.Bool
}

func (c *cut) gone() error {
	if c.off.Load() {
		return queue.ErrUnavailable
	}
	return nil
}

func (c *cut) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	if err := c.gone(); err != nil {
		return false, err
	}
	return c.Queue.Lease(ctx, name, holder, ttl)
}

func (c *cut) Release(ctx context.Context, name, holder string) error {
	if err := c.gone(); err != nil {
		return err
	}
	return c.Queue.Release(ctx, name, holder)
}

func (c *cut) Load(ctx context.Context, key string) (queue.Value, error) {
	if err := c.gone(); err != nil {
		return queue.Value{}, err
	}
	return c.Queue.Load(ctx, key)
}

func (c *cut) List(ctx context.Context, prefix string) ([]queue.Value, error) {
	if err := c.gone(); err != nil {
		return nil, err
	}
	return c.Queue.List(ctx, prefix)
}

func (c *cut) Save(ctx context.Context, key string, data []byte, rev uint64) (uint64, error) {
	if err := c.gone(); err != nil {
		return 0, err
	}
	return c.Queue.Save(ctx, key, data, rev)
}

func (c *cut) Publish(ctx context.Context, stream string, m *queue.Message) (queue.Receipt, error) {
	if err := c.gone(); err != nil {
		return queue.Receipt{}, err
	}
	return c.Queue.Publish(ctx, stream, m)
}

func (c *cut) RemoveMessage(ctx context.Context, stream string, seq uint64) error {
	if err := c.gone(); err != nil {
		return err
	}
	return c.Queue.RemoveMessage(ctx, stream, seq)
}

var consumeAll = queue.ConsumeOptions{}

// background runs f between run and stop.
func background(t *testing.T, f func(context.Context) error) (run, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	run = func() {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return run, func() { cancel(); wg.Wait() }
}
