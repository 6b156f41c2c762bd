package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Why a handler's context ended, by context.Cause.
var (
	ErrPaused    = errors.New("the operator paused the job")
	ErrCancelled = errors.New("the operator cancelled the job")
	// ErrLost: another runner has the job, or may have it.
	ErrLost = errors.New("the job was lost to another runner")
	// ErrStopping: this process is being stopped.
	ErrStopping = errors.New("the process of the runner stops")
)

// Handler does the work of one kind of job.
type Handler interface {
	// Can tells whether this process can do the job, and if not why.
	Can(j *Job) (ok bool, why string)
	// Run works until the job is done, or ctx ends, which it does by a wish, by
	// a stop, or when the job is lost; it then returns context.Cause(ctx). An
	// error marked by Again is tried again after a back-off, any other one has
	// the job fail. Nothing of it runs any more when it returns.
	Run(ctx context.Context, r *Run) error
}

// Again marks an error after which the job is tried again.
func Again(err error) error { return &again{err} }

type again struct{ error }

func (a *again) Unwrap() error { return a.error }

// State is what a handler keeps.
type State struct {
	// Checkpoint, to JSON, is what a successor needs to go on.
	Checkpoint any
	Progress   Progress
	// Hold has the lowest sequence of each stream that is still needed.
	Hold map[string]uint64
}

// Run is one take of a job, for its handler. Safe for concurrent use.
type Run struct {
	store *Store
	epoch string

	saving sync.Mutex // one save at a time

	mu    sync.Mutex
	job   Job    // mu; as stored, and what the handler said since
	rev   uint64 // mu
	dirty bool   // mu
	moved bool   // mu; a checkpoint was made in this take
	speed speed  // mu
	kick  chan struct{}
}

// Job is a copy of the job as it is known here.
func (r *Run) Job() Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.job
}

// Checkpoint keeps the state. It is stored within a second, by a process that
// lives; Save stores it at once.
func (r *Run) Checkpoint(s State) error {
	data, err := json.Marshal(s.Checkpoint)
	if err != nil {
		return fmt.Errorf("job %s: checkpoint: %w", r.job.ID, err)
	}
	if len(data) > maxCheckpoint {
		return fmt.Errorf("job %s: the checkpoint has %d bytes, at most %d can be kept", r.job.ID, len(data), maxCheckpoint)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved = r.moved || string(data) != string(r.job.Checkpoint)
	r.job.Checkpoint, r.job.Hold = data, maps.Clone(s.Hold)
	r.speed.observe(&s.Progress, time.Now())
	r.job.Progress = s.Progress
	r.dirty = true
	return nil
}

// Note adds a line to the job.
func (r *Run) Note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job.Note = append([]string(nil), r.job.Note...) // Job gave it away
	r.job.note(fmt.Sprintf(format, args...))
	r.dirty = true
}

// Trouble shows an error that does not end the job, "" when it is over.
func (r *Run) Trouble(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text = shorten(text, maxNote); r.job.Error != text {
		r.job.Error, r.dirty = text, true
	}
}

// Save stores the state now. ErrLost when the job is another's; any other error
// leaves unknown whether it is stored.
func (r *Run) Save(ctx context.Context) error {
	return r.save(ctx, func(*Job) {})
}

// Urge asks for a save soon, without waiting for it.
func (r *Run) Urge() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// save stores the job as changed, unless another has it.
func (r *Run) save(ctx context.Context, change func(*Job)) error {
	r.saving.Lock()
	defer r.saving.Unlock()
	for range updateTries {
		r.mu.Lock()
		j, rev := r.job, r.rev
		r.dirty = false
		if r.moved {
			j.Tries = 0
		}
		r.mu.Unlock()
		change(&j)
		j.UpdatedAt = time.Now().UTC()
		next, err := r.store.save(ctx, &j, rev)
		switch {
		case err == nil:
			r.mu.Lock()
			r.rev, r.job.Phase, r.job.Tries, r.job.UpdatedAt = next, j.Phase, j.Tries, j.UpdatedAt
			r.mu.Unlock()
			return nil
		case !errors.Is(err, queue.ErrConflict):
			r.mu.Lock()
			r.dirty = true
			r.mu.Unlock()
			return err
		}
		if err := r.refresh(ctx); err != nil {
			r.mu.Lock()
			r.dirty = true
			r.mu.Unlock()
			return err
		}
	}
	return fmt.Errorf("save job %s: changed %d times while it was saved: %w", r.job.ID, updateTries, queue.ErrConflict)
}

// refresh reads the wish.
func (r *Run) refresh(ctx context.Context) error {
	j, rev, err := r.store.load(ctx, r.job.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("%w: it was removed", ErrLost)
	case err != nil:
		return err
	case j.Epoch != r.epoch:
		return fmt.Errorf("%w: %s", ErrLost, j.Runner)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rev, r.job.Wish, r.job.WishBy = rev, j.Wish, j.WishBy
	return nil
}

// wished is the error of a wish that ends the run.
func (r *Run) wished() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.job.Wish {
	case WishPause:
		return ErrPaused
	case WishCancel:
		return ErrCancelled
	}
	return nil
}

// keep stores what changed and reads the wish, in one round trip where it can.
func (r *Run) keep(ctx context.Context) error {
	r.mu.Lock()
	dirty := r.dirty
	r.mu.Unlock()
	if dirty {
		return r.Save(ctx)
	}
	return r.refresh(ctx)
}
