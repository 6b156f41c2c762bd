package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// prefix of the keys.
const prefix = "job/"

// Errors that callers tell apart.
var (
	// ErrNotFound: there is no such job.
	ErrNotFound = errors.New("no such job")
	// ErrExists: a job of that name is there, running or ended.
	ErrExists = errors.New("a job of that name exists")
	// ErrEnded: the job is done, failed or cancelled.
	ErrEnded = errors.New("the job has ended")
	// ErrActive: the job has not ended.
	ErrActive = errors.New("the job has not ended")
	// ErrName: no job can have that name.
	ErrName = errors.New("no name of a job")
)

// Store keeps jobs in the queue's store. Safe for concurrent use.
type Store struct{ kv queue.Store }

// NewStore keeps jobs in kv.
func NewStore(kv queue.Store) *Store { return &Store{kv: kv} }

// New is a job to be.
type New struct {
	// ID names the job, so that it is made once; "": a ULID.
	ID   string
	Kind string
	Spec any // to JSON
	// Hold is in place before Create returns.
	Hold     map[string]uint64
	By       string
	Note     []string
	Reserved bool
}

var idPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$`)

// Bounds of a job's parts, together within queue.MaxValueBytes.
const (
	maxSpec       = 64 << 10
	maxCheckpoint = 128 << 10
)

// CheckID says what is wrong with the name of a job.
func CheckID(id string) error {
	if !idPattern.MatchString(id) {
		return fmt.Errorf("%w: %q: want 1 to 64 letters, digits, '-' or '_', the first a letter or digit", ErrName, id)
	}
	return nil
}

// Create stores a pending job. ErrExists when its name is taken.
func (s *Store) Create(ctx context.Context, n New) (Job, error) {
	if n.ID == "" {
		n.ID = ulid.Make().String()
	}
	if err := CheckID(n.ID); err != nil {
		return Job{}, err
	}
	spec, err := json.Marshal(n.Spec)
	if err != nil {
		return Job{}, fmt.Errorf("job %s: spec: %w", n.ID, err)
	}
	if len(spec) > maxSpec {
		return Job{}, fmt.Errorf("job %s: the spec has %d bytes, at most %d can be kept: name fewer conditions", n.ID, len(spec), maxSpec)
	}
	now := time.Now().UTC()
	j := Job{ID: n.ID, Kind: n.Kind, Spec: spec, Wish: WishRun, Phase: PhasePending, Hold: n.Hold, By: n.By,
		Reserved: n.Reserved, CreatedAt: now, UpdatedAt: now}
	for _, text := range n.Note {
		j.note(text)
	}
	switch _, err := s.save(ctx, &j, 0); {
	case errors.Is(err, queue.ErrConflict):
		return Job{}, fmt.Errorf("job %s: %w", n.ID, ErrExists)
	case err != nil:
		return Job{}, err
	}
	return j, nil
}

// Get reads one job.
func (s *Store) Get(ctx context.Context, id string) (Job, error) {
	j, _, err := s.load(ctx, id)
	return j, err
}

// List reads all jobs of a kind, "" for every, the youngest first. When some
// cannot be read it returns the others beside the error.
func (s *Store) List(ctx context.Context, kind string) ([]Job, error) {
	values, err := s.kv.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	var jobs []Job
	var errs []error
	for _, v := range values {
		j, err := decode(v)
		switch {
		case err != nil:
			errs = append(errs, err)
		case kind == "" || j.Kind == kind:
			jobs = append(jobs, j)
		}
	}
	slices.SortStableFunc(jobs, func(a, b Job) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return jobs, errors.Join(errs...)
}

// Wish tells a job what its operator, by, wants of it. ErrEnded when it is too
// late for that; to wish again what already holds is no error.
func (s *Store) Wish(ctx context.Context, id string, w Wish, by string) (Job, error) {
	if !slices.Contains([]Wish{WishRun, WishPause, WishCancel}, w) {
		return Job{}, fmt.Errorf("job %s: wish %q: want run, pause or cancel", id, w)
	}
	return s.update(ctx, id, func(j *Job) error {
		if j.Phase.Ended() {
			if w == WishCancel && j.Phase == PhaseCancelled {
				return errUnchanged
			}
			return fmt.Errorf("job %s is %s: %w; start a new one", id, j.Phase, ErrEnded)
		}
		if j.Wish == WishCancel && w != WishCancel {
			return fmt.Errorf("job %s is being cancelled: %w; start a new one", id, ErrEnded)
		}
		if j.Wish == w && (w == WishRun) == (j.Phase == PhaseRunning || j.Phase == PhasePending) {
			return errUnchanged
		}
		j.Wish, j.WishBy = w, by
		if j.Phase != PhaseRunning { // else its runner does it
			j.settle(PhasePending)
		}
		return nil
	})
}

// settle gives a job that is no more running the phase, as far as the wish lets
// it.
func (j *Job) settle(p Phase) {
	if !p.Ended() {
		switch j.Wish {
		case WishPause:
			p = PhasePaused
		case WishCancel:
			p = PhaseCancelled
		default:
			p = PhasePending
		}
	}
	j.Phase = p
	if p.Ended() {
		j.EndedAt, j.Hold, j.NotBefore, j.Waiting = time.Now().UTC(), nil, time.Time{}, ""
		j.Progress.ETASeconds = 0
	}
}

// Delete removes a job that has ended, or that cannot be read. ErrActive for
// another.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := CheckID(id); err != nil {
		return err
	}
	v, err := s.kv.Load(ctx, prefix+id)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return fmt.Errorf("job %s: %w", id, ErrNotFound)
	case err != nil:
		return fmt.Errorf("job %s: %w", id, err)
	}
	if j, err := decode(v); err == nil && !j.Phase.Ended() {
		return fmt.Errorf("job %s is %s: %w; cancel it first", id, j.Phase, ErrActive)
	}
	if err := s.kv.Remove(ctx, prefix+id, v.Revision); err != nil {
		return fmt.Errorf("remove job %s: %w", id, err)
	}
	return nil
}

// Holds has, for each stream, the lowest sequence that a job which has not ended
// still needs. On an error nothing may be purged: a job that cannot be read may
// hold anything.
func (s *Store) Holds(ctx context.Context) (map[string]uint64, error) {
	jobs, err := s.List(ctx, "")
	if err != nil {
		return nil, err
	}
	holds := map[string]uint64{}
	for _, j := range jobs {
		if j.Phase.Ended() || j.Wish == WishCancel { // what it still reads it need not have
			continue
		}
		for stream, seq := range j.Hold {
			if lowest, ok := holds[stream]; !ok || seq < lowest {
				holds[stream] = seq
			}
		}
	}
	return holds, nil
}

// errUnchanged ends an update that has nothing to write.
var errUnchanged = errors.New("unchanged")

// updateTries is how often an update meets another before it gives up.
const updateTries = 20

// update changes a job by compare and swap.
func (s *Store) update(ctx context.Context, id string, change func(*Job) error) (Job, error) {
	var err error
	for range updateTries {
		var j Job
		var rev uint64
		if j, rev, err = s.load(ctx, id); err != nil {
			return Job{}, err
		}
		switch err := change(&j); {
		case errors.Is(err, errUnchanged):
			return j, nil
		case err != nil:
			return j, err
		}
		j.UpdatedAt = time.Now().UTC()
		if _, err = s.save(ctx, &j, rev); err == nil {
			return j, nil
		}
		if !errors.Is(err, queue.ErrConflict) {
			return Job{}, err
		}
	}
	return Job{}, err
}

func (s *Store) load(ctx context.Context, id string) (Job, uint64, error) {
	if err := CheckID(id); err != nil {
		return Job{}, 0, err
	}
	v, err := s.kv.Load(ctx, prefix+id)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return Job{}, 0, fmt.Errorf("job %s: %w", id, ErrNotFound)
	case err != nil:
		return Job{}, 0, fmt.Errorf("job %s: %w", id, err)
	}
	j, err := decode(v)
	return j, v.Revision, err
}

func (s *Store) save(ctx context.Context, j *Job, rev uint64) (uint64, error) {
	data, err := json.Marshal(j)
	if err != nil {
		return 0, fmt.Errorf("job %s: %w", j.ID, err)
	}
	next, err := s.kv.Save(ctx, prefix+j.ID, data, rev)
	if err != nil {
		return 0, fmt.Errorf("save job %s: %w", j.ID, err)
	}
	return next, nil
}

func decode(v queue.Value) (Job, error) {
	var j Job
	id := strings.TrimPrefix(v.Key, prefix)
	if err := json.Unmarshal(v.Data, &j); err != nil {
		return Job{}, fmt.Errorf("job %s cannot be read, %d bytes: %w; it is of a newer version or damaged: delete it if nobody needs it", id, len(v.Data), err)
	}
	if j.ID != id || j.Phase == "" {
		return Job{}, fmt.Errorf("job %s cannot be read: it says of itself id %q and phase %q; delete it if nobody needs it", id, j.ID, j.Phase)
	}
	return j, nil
}
