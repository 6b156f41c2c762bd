package job_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// cut is a queue that can be taken away from one process.
type cut struct {
	queue.Queue
	away atomic.Bool
}

func (c *cut) gone() error {
	if c.away.Load() {
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

// work is a handler of functions.
type work struct {
	can func(*job.Job) (bool, string)
	run func(ctx context.Context, r *job.Run) error
}

func (w work) Can(j *job.Job) (bool, string) {
	if w.can == nil {
		return true, ""
	}
	return w.can(j)
}

func (w work) Run(ctx context.Context, r *job.Run) error { return w.run(ctx, r) }

// process is a runner that can be stopped.
type process struct {
	*cut
	stop func()
}

// rig is a queue, its jobs, and runners.
type rig struct {
	t     *testing.T
	q     queue.Queue
	jobs  *job.Store
	reg   *prometheus.Registry
	m     *job.Metrics
	count int
}

func newRig(t *testing.T) *rig { return rigOn(t, memory.New()) }

func rigOn(t *testing.T, q queue.Queue) *rig {
	r := &rig{t: t, q: q, jobs: job.NewStore(q), reg: prometheus.NewRegistry()}
	r.m = job.NewMetrics(r.reg)
	return r
}

func (r *rig) create(n job.New) job.Job {
	r.t.Helper()
	if n.Kind == "" {
		n.Kind = "test"
	}
	j, err := r.jobs.Create(r.t.Context(), n)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

func (r *rig) get(id string) job.Job {
	r.t.Helper()
	j, err := r.jobs.Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

func (r *rig) wish(id string, w job.Wish) job.Job {
	r.t.Helper()
	j, err := r.jobs.Wish(r.t.Context(), id, w, "op")
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// start runs a runner until its stop, or the end of the test.
func (r *rig) start(h job.Handler, change ...func(*job.Options)) *process {
	r.count++
	p := &process{cut: &cut{Queue: r.q}}
	o := job.Options{Store: job.NewStore(p), Leaser: p, Handlers: map[string]job.Handler{"test": h}, Holder: "p" + string(rune('0'+r.count)),
		Metrics: r.m, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := job.NewRunner(o).Run(ctx); err != nil {
			r.t.Error(err)
		}
	})
	p.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	return p
}

// until waits for a job's phase; the clock is the test's, or it is soon.
func (r *rig) until(id string, want job.Phase) job.Job {
	r.t.Helper()
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		j := r.get(id)
		if j.Phase == want {
			return j
		}
		if time.Now().After(end) {
			r.t.Fatalf("job %s is %s, want %s: %+v", id, j.Phase, want, j)
		}
	}
}

// gauge is the one gauge of that name.
func gauge(t *testing.T, r *rig, name string) prometheus.Collector {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "copy"})
			g.Set(f.GetMetric()[0].GetGauge().GetValue())
			return g
		}
	}
	t.Fatalf("no single %s", name)
	return nil
}

// list is what goroutines saw.
type list[T any] struct {
	mu sync.Mutex
	l  []T
}

func (l *list[T]) add(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.l = append(l.l, v)
}

func (l *list[T]) all() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.l)
}

// running counts what runs at a time.
type running struct {
	mu        sync.Mutex
	now, most map[string]int
}

func (r *running) add(name string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		r.now, r.most = map[string]int{}, map[string]int{}
	}
	r.now[name] += n
	r.most[name] = max(r.most[name], r.now[name])
}
