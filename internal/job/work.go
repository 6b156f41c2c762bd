package job

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// work runs a job's handler and stores what it came to.
func (x *Runner) work(ctx context.Context, r *Run, h Handler, slot int, leased time.Time) {
	j := r.Job()
	log := x.o.Logger.With("job", j.ID, "kind", j.Kind)
	log.Info("job taken", "orphaned", j.Orphaned)
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // a stop has its own cause
	stop := context.AfterFunc(ctx, func() { cancel(ErrStopping) })
	defer stop()
	kept := make(chan struct{})
	var keeping sync.WaitGroup
	keeping.Go(func() { x.keep(inner, r, cancel, slot, leased, kept) })
	err := handle(inner, r, h)
	close(kept)
	keeping.Wait()
	cause := context.Cause(inner)
	cancel(nil)
	phase := x.finish(ctx, r, err, cause)
	x.o.Metrics.ended(j.Kind, slot, phase)
	if phase == PhaseFailed {
		log.Error("job failed", "error", err)
		return
	}
	if err != nil { // stopped or cancelled: why
		log = log.With("error", err)
	}
	log.Info("job left", "phase", phase)
}

// handle runs the handler; a panic is its error.
func handle(ctx context.Context, r *Run, h Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("BUG: the handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return h.Run(ctx, r)
}

// keep stores progress, renews the lease and watches the wish until the handler
// has returned; it ends the handler's context when the job is not to go on here.
// In a stop it keeps the lease for what the handler has yet to finish.
func (x *Runner) keep(ctx context.Context, r *Run, end context.CancelCauseFunc, slot int, leased time.Time, done <-chan struct{}) {
	ctx = context.WithoutCancel(ctx)
	asked := leased
	t := time.NewTicker(keepEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-r.kick:
		case <-done:
			return
		}
		if time.Since(asked) >= x.o.TTL/3 {
			asked = time.Now()
			held, err := x.lease(ctx, r.job.ID)
			switch {
			case held:
				leased = asked
			case err == nil:
				end(fmt.Errorf("%w: it has the lease", ErrLost))
			default:
				x.o.Metrics.failures.Inc()
				asked = leased // ask again the next time
			}
		}
		try, cancel := context.WithTimeout(ctx, askTimeout)
		err := r.keep(try)
		cancel()
		switch {
		case errors.Is(err, ErrLost):
			end(err)
		case err != nil:
			x.o.Metrics.failures.Inc()
			if time.Since(leased) >= x.o.TTL {
				end(fmt.Errorf("%w: the lease could not be renewed for %s: %w", ErrLost, x.o.TTL, err))
			}
		default:
			if err := r.wished(); err != nil {
				end(err)
			}
		}
		x.o.Metrics.progress(r.Job(), slot)
	}
}

// finishTries is how often the end of a job is stored before it is left to who
// finds it orphaned.
const finishTries = 3

// finish stores the end of a run.
func (x *Runner) finish(ctx context.Context, r *Run, err, cause error) Phase {
	if errors.Is(cause, ErrLost) || errors.Is(err, ErrLost) {
		return "lost"
	}
	var a *again
	change := func(j *Job) {
		switch {
		case err == nil:
			j.Error = ""
			j.settle(PhaseDone)
		case cause != nil && (errors.Is(err, cause) || errors.Is(err, context.Canceled)): // wished or stopped
			j.settle(PhasePending)
		case errors.As(err, &a):
			j.Tries++
			j.Error = shorten(err.Error(), maxNote)
			j.NotBefore = time.Now().UTC().Add(backoff(j.Tries))
			j.settle(PhasePending)
		default:
			j.Error = shorten(err.Error(), 8*maxNote)
			j.settle(PhaseFailed)
		}
	}
	for try := 1; ; try++ {
		save, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
		saved := r.save(save, change)
		cancel()
		switch {
		case saved == nil:
			return r.Job().Phase
		case errors.Is(saved, ErrLost):
			return "lost"
		case try == finishTries:
			x.o.Logger.Error("the end of a job's run could not be stored; whoever finds it orphaned goes on from its last checkpoint", "job", r.job.ID, "error", saved)
			return "lost"
		}
		time.Sleep(200 * time.Millisecond)
	}
}
