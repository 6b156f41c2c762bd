package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/topology"
)

// Errors of RunOnce: the outcome of a job that is not done.
var (
	ErrFailed    = errors.New("the replay failed")
	ErrCancelled = errors.New("the replay was cancelled")
	ErrStopped   = errors.New("the replay was stopped and goes on when it is started again under its name")
)

// Once is a replay that one process is started for.
type Once struct {
	// Name of the job: started again under it, the process goes on where it was.
	// "": a name is made, and nothing can go on.
	Name string
	Spec Spec
	By   string
	Plan topology.Plan
	// Options have everything that the handler works with.
	Options Options
	// JobMetrics and Logger as of job.Options.
	JobMetrics *job.Metrics
	Logger     *slog.Logger
	// Tell is called about every second with the job; nil: nobody is told.
	Tell func(job.Job)
}

// RunOnce creates the job and runs it in this process to its end. A job of that
// name that has not ended goes on, with the Spec that it was created with: a
// window that was written as "the last hour" is still that hour. One that has
// ended is not run again. No worker takes such a job; while no process runs it,
// it holds its streams until it is cancelled.
//
// The error is nil when the job is done, else ErrFailed, ErrCancelled or, when
// ctx ended, ErrStopped, with why; see Complete for what a job that is done left
// out. A process that was killed is waited for: 15 s.
func RunOnce(ctx context.Context, o Once) (job.Job, error) {
	jobs := job.NewStore(o.Options.Queue)
	j, err := Start(ctx, jobs, o.Options.Queue, o.Plan, o.Spec, StartOptions{ID: o.Name, By: o.By, Reserved: true})
	if errors.Is(err, job.ErrExists) {
		j, err = jobs.Get(ctx, o.Name)
		if err == nil && (j.Kind != KindReplay || !j.Reserved) {
			err = fmt.Errorf("job %s: %w, and it is one of the workers: choose another name", o.Name, job.ErrExists)
		}
	}
	if err != nil {
		return j, err
	}
	if ok, why := NewHandler(o.Options).Can(&j); !ok {
		return j, fmt.Errorf("job %s: %s", j.ID, why)
	}
	o.Logger.Info("replay", "job", j.ID, "phase", j.Phase, "created", j.CreatedAt)
	runner := job.NewRunner(job.Options{Store: jobs, Leaser: o.Options.Queue, Handlers: map[string]job.Handler{KindReplay: NewHandler(o.Options)},
		Holder: "once-" + ulid.Make().String(), Only: j.ID, Metrics: o.JobMetrics, Logger: o.Logger})
	telling, stop := context.WithCancel(ctx)
	var told sync.WaitGroup
	told.Go(func() { tell(telling, jobs, j.ID, o.Tell) })
	err = runner.Run(ctx)
	stop()
	told.Wait()
	if err != nil {
		return j, err
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if j, err = jobs.Get(last, j.ID); err != nil {
		return j, err
	}
	if o.Tell != nil {
		o.Tell(j)
	}
	switch j.Phase {
	case job.PhaseDone:
		return j, nil
	case job.PhaseFailed:
		return j, fmt.Errorf("job %s: %w: %s", j.ID, ErrFailed, j.Error)
	case job.PhaseCancelled:
		return j, fmt.Errorf("job %s: %w by %s", j.ID, ErrCancelled, j.WishBy)
	}
	return j, fmt.Errorf("job %s is %s: %w", j.ID, j.Phase, ErrStopped)
}

// tell calls f with the job until ctx ends.
func tell(ctx context.Context, jobs *job.Store, id string, f func(job.Job)) {
	if f == nil {
		return
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if j, err := jobs.Get(ctx, id); err == nil { // else the next time
			f(j)
		}
	}
}

// Complete tells whether a job that is done delivered everything it was to:
// nothing was dead-lettered, damaged, rejected or purged.
func Complete(j *job.Job) bool {
	p := &j.Progress
	return j.Phase == job.PhaseDone && p.Dead.Messages == 0 && p.Dead.Items == 0 && p.Damaged.Messages == 0 && p.Missing.Messages == 0 && p.Rejected == 0
}
