package replay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/job"
)

// grace is how long exports that run may go on when the job is to stop here.
const grace = 5 * time.Second

// crew does the steps of a job, some at a time. Its ctx ends with that of the
// job, or with the first step that fails; work, for what was sent already, ends
// a moment later, or at once when the job is another's.
type crew struct {
	ctx   context.Context
	fail  context.CancelCauseFunc
	work  context.Context
	slots chan struct{}
	steps sync.WaitGroup
	undo  func()
}

func newCrew(parent context.Context, n int) *crew {
	c := &crew{slots: make(chan struct{}, n)}
	c.ctx, c.fail = context.WithCancelCause(parent)
	work, stop := context.WithCancelCause(context.WithoutCancel(parent))
	c.work = work
	var mu sync.Mutex
	var timer *time.Timer
	detach := context.AfterFunc(c.ctx, func() {
		cause := context.Cause(c.ctx)
		if isLost(cause) {
			stop(cause)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(grace, func() { stop(cause) })
	})
	c.undo = func() {
		detach()
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
		stop(nil)
		c.fail(nil)
	}
	return c
}

// do runs a step once a slot is free.
func (c *crew) do(step func() error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	c.steps.Go(func() {
		defer func() { <-c.slots }()
		if err := step(); err != nil {
			c.fail(err)
		}
	})
	return nil
}

// wait returns when no step runs, with why they ended early.
func (c *crew) wait() error {
	c.steps.Wait()
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return nil
}

// close ends everything.
func (c *crew) close() {
	c.steps.Wait()
	c.undo()
}

func isLost(err error) bool { return errors.Is(err, job.ErrLost) }

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
