package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Times of a runner.
const (
	defaultEvery = 2 * time.Second
	defaultTTL   = 15 * time.Second
	defaultMost  = 2
	keepEvery    = time.Second
	askTimeout   = 5 * time.Second
	minBackoff   = time.Second
	maxBackoff   = time.Minute
)

// Options are what a runner works with.
type Options struct {
	Store    *Store
	Leaser   queue.Leaser
	Handlers map[string]Handler // by kind
	// Holder is unique to this process, of letters, digits, '-' and '_'.
	Holder string
	// Most is how many jobs it does at a time. 0: 2.
	Most int
	// Every is how often it looks for jobs, TTL after which time a dead runner's
	// job is another's. 0: 2 s and 15 s.
	Every, TTL time.Duration
	// Only is the one job that it runs; Run then returns when that has ended.
	Only    string
	Metrics *Metrics
	Logger  *slog.Logger
}

// Runner does jobs. Made by NewRunner, it works in Run.
type Runner struct {
	o       Options
	working sync.WaitGroup
	wake    chan struct{} // a job was left

	said map[string]string // Run's alone

	mu     sync.Mutex
	active map[string]int // mu; slot of each job that runs here
}

// NewRunner makes a runner that does nothing yet.
func NewRunner(o Options) *Runner {
	if o.Most == 0 {
		o.Most = defaultMost
	}
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	if o.TTL == 0 {
		o.TTL = defaultTTL
	}
	return &Runner{o: o, active: map[string]int{}, said: map[string]string{}, wake: make(chan struct{}, 1)}
}

// Run looks for jobs and does them until ctx ends, or Only has ended. The
// handlers have returned when it does; what they did not finish is pending for
// others.
func (x *Runner) Run(ctx context.Context) error {
	t := time.NewTicker(x.o.Every)
	defer t.Stop()
	defer x.working.Wait()
	for {
		jobs, err := x.list(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if x.o.Only != "" && errors.Is(err, ErrNotFound) {
			return err
		}
		x.say("list", err, "jobs cannot be listed, or some of them not read")
		if x.o.Only == "" {
			x.tidy(ctx, jobs, err)
			x.o.Metrics.count(jobs, x.o.Handlers)
		}
		for i := range jobs {
			j := &jobs[i]
			if x.o.Only != "" && j.Phase.Ended() && !x.busy(j.ID) {
				return nil
			}
			x.look(ctx, j)
		}
		select {
		case <-t.C:
		case <-x.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// list reads the jobs that concern this runner, the oldest first.
func (x *Runner) list(ctx context.Context) ([]Job, error) {
	if x.o.Only != "" {
		j, err := x.o.Store.Get(ctx, x.o.Only)
		if err != nil {
			return nil, err
		}
		return []Job{j}, nil
	}
	jobs, err := x.o.Store.List(ctx, "")
	for i, k := 0, len(jobs)-1; i < k; i, k = i+1, k-1 {
		jobs[i], jobs[k] = jobs[k], jobs[i]
	}
	return jobs, err
}

// look takes a job when it is free and this process can do it.
func (x *Runner) look(ctx context.Context, j *Job) {
	if j.Phase.Ended() || j.Phase == PhasePaused || x.busy(j.ID) {
		return
	}
	h := x.o.Handlers[j.Kind]
	if j.Wish != WishRun { // an orphan that nobody need run for that
		x.take(ctx, j, h)
		return
	}
	if j.Reserved && x.o.Only != j.ID || j.Phase == PhasePending && !j.due(time.Now()) {
		return
	}
	ok, why := false, fmt.Sprintf("no worker knows jobs of kind %q: upgrade the workers", j.Kind)
	if h != nil {
		ok, why = h.Can(j)
	}
	switch {
	case ok:
		x.take(ctx, j, h)
	case j.Phase == PhasePending && j.Waiting == "" && time.Since(j.CreatedAt) >= 2*x.o.Every: // others had their turn
		_, err := x.o.Store.update(ctx, j.ID, func(j *Job) error {
			if j.Phase != PhasePending || j.Waiting != "" {
				return errUnchanged
			}
			j.Waiting = shorten(why, maxNote)
			return nil
		})
		x.say("wait "+j.ID, err, "a job that cannot be run here cannot be marked so")
	}
}

// slot takes a free place for a job.
func (x *Runner) slot(id string) (int, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	used := make([]bool, x.o.Most)
	for _, n := range x.active {
		used[n] = true
	}
	for n, taken := range used {
		if !taken {
			x.active[id] = n
			return n, true
		}
	}
	return 0, false
}

func (x *Runner) free(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.active, id)
}

func (x *Runner) busy(id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.active[id]
	return ok
}

// take gets the lease of a job and begins it.
func (x *Runner) take(ctx context.Context, seen *Job, h Handler) {
	slot, ok := x.slot(seen.ID)
	if !ok {
		return
	}
	began := time.Now()
	held, err := x.lease(ctx, seen.ID)
	x.say("lease "+seen.ID, err, "the lease of a job cannot be asked for")
	if !held {
		x.free(seen.ID)
		return
	}
	r, err := x.begin(ctx, seen.ID, h != nil)
	x.say("take "+seen.ID, err, "a job cannot be taken")
	if r == nil {
		x.release(ctx, seen.ID)
		x.free(seen.ID)
		return
	}
	x.working.Go(func() {
		x.work(ctx, r, h, slot, began)
		x.release(ctx, seen.ID)
		x.free(seen.ID)
		select {
		case x.wake <- struct{}{}:
		default:
		}
	})
}

// begin makes the job this runner's. Without a Run and an error there is nothing
// to do.
func (x *Runner) begin(ctx context.Context, id string, runnable bool) (*Run, error) {
	j, rev, err := x.o.Store.load(ctx, id)
	if err != nil || j.Phase.Ended() || j.Phase == PhasePaused {
		return nil, err
	}
	orphan := j.Phase == PhaseRunning
	now := time.Now().UTC()
	j.UpdatedAt = now
	if orphan {
		j.Orphaned++
		j.Tries++
	}
	if j.Wish != WishRun || orphan && j.Tries > 2 && x.o.Only == "" {
		// Nobody runs it and nobody need; or it takes its runners down with it.
		if j.settle(PhasePending); j.Wish == WishRun {
			j.NotBefore = now.Add(backoff(j.Tries))
			j.Error = fmt.Sprintf("its runner %s died, %d times now without progress", j.Runner, j.Tries)
		}
		_, err := x.o.Store.save(ctx, &j, rev)
		return nil, ignoreConflict(err)
	}
	if !runnable {
		return nil, nil
	}
	j.Phase, j.Runner, j.Epoch, j.Waiting, j.NotBefore = PhaseRunning, x.o.Holder, ulid.Make().String(), "", time.Time{}
	if j.StartedAt.IsZero() {
		j.StartedAt = now
	}
	if rev, err = x.o.Store.save(ctx, &j, rev); err != nil {
		return nil, ignoreConflict(err)
	}
	return &Run{store: x.o.Store, epoch: j.Epoch, job: j, rev: rev, kick: make(chan struct{}, 1)}, nil
}

func ignoreConflict(err error) error {
	if errors.Is(err, queue.ErrConflict) {
		return nil
	}
	return err
}

// backoff before the try after so many.
func backoff(tries int) time.Duration {
	return min(maxBackoff, minBackoff<<min(max(tries-1, 0), 10))
}

func leaseName(id string) string { return "job-" + id }

func (x *Runner) lease(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return x.o.Leaser.Lease(ctx, leaseName(id), x.o.Holder, x.o.TTL)
}

func (x *Runner) release(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	if err := x.o.Leaser.Release(ctx, leaseName(id), x.o.Holder); err != nil {
		x.o.Logger.Info("the lease of a job was not given back; it ends by itself", "job", id, "error", err)
	}
}

// say logs trouble once, until it is over.
func (x *Runner) say(what string, err error, text string) {
	if err == nil || errors.Is(err, context.Canceled) {
		delete(x.said, what)
		return
	}
	x.o.Metrics.failures.Inc()
	if x.said[what] != err.Error() {
		x.said[what] = err.Error()
		x.o.Logger.Error(text, "error", err)
	}
}
