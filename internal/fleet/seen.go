package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// State of a process as others see it.
type State string

// The states.
const (
	Alive   State = "alive"
	IsLate  State = "late" // it missed its turns; it may be gone, or cut off
	IsGone  State = "gone" // it ended without a word: killed, crashed, or cut off for long
	Stopped State = "stopped"
)

// Sighting is a process as it was last seen.
type Sighting struct {
	Process
	State State `json:"state"`
	// Age is the time since it told of itself, in seconds.
	Age float64 `json:"age_seconds"`
	// Revision of its value; it rises with each telling.
	Revision uint64 `json:"-"`
}

// Eye watches processes. It is safe for concurrent use.
type Eye struct {
	store queue.Store

	mu   sync.Mutex
	seen map[string]sight // mu
}

// sight is when a value was first seen as it is.
type sight struct {
	revision uint64
	at       time.Time
	before   time.Duration // age at that time: of the clocks at first sight, else 0
}

// NewEye has seen nothing yet.
func NewEye(store queue.Store) *Eye { return &Eye{store: store, seen: map[string]sight{}} }

// Look lists all processes, by id. A value that cannot be read is left out and is
// part of the error; the others are returned beside it.
func (e *Eye) Look(ctx context.Context) ([]Sighting, error) { return e.look(ctx, time.Now()) }

// Seen is a single look, of one who has not watched: late and gone are by the
// clocks, with the tolerance that the package comment tells.
func Seen(ctx context.Context, store queue.Store, now time.Time) ([]Sighting, error) {
	return NewEye(store).look(ctx, now)
}

func (e *Eye) look(ctx context.Context, now time.Time) ([]Sighting, error) {
	values, err := e.store.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	there := make(map[string]bool, len(values))
	var out []Sighting
	for _, v := range values {
		s := Sighting{Revision: v.Revision}
		if bad := json.Unmarshal(v.Data, &s.Process); bad != nil {
			err = fmt.Errorf("read process %s: %w; remove the value if nothing newer wrote it", v.Key, bad)
			continue
		}
		s.ID = v.Key[len(prefix):]
		there[s.ID] = true
		was, known := e.seen[s.ID]
		if !known || was.revision != v.Revision {
			was = sight{revision: v.Revision, at: now}
			if !known {
				was.before = max(0, now.Sub(s.At))
			}
			e.seen[s.ID] = was
		}
		s.Age = (was.before + max(0, now.Sub(was.at))).Seconds()
		s.State = was.state(now, s.Stopped)
		out = append(out, s)
	}
	for id := range e.seen {
		if !there[id] {
			delete(e.seen, id)
		}
	}
	return out, err
}

// state allows for skew only as far as the age is by the clocks.
func (s sight) state(now time.Time, stopped bool) State {
	age := max(0, now.Sub(s.at)) + max(0, s.before-Skew)
	switch {
	case stopped:
		return Stopped
	case age >= Gone:
		return IsGone
	case age >= Late:
		return IsLate
	}
	return Alive
}

// Forget removes the value of a process. It is for whoever has taken over what it
// counted; a process that lives after all writes it anew.
func Forget(ctx context.Context, store queue.Store, s Sighting) error {
	if err := store.Remove(ctx, prefix+s.ID, s.Revision); err != nil {
		return fmt.Errorf("forget process %s: %w", s.ID, err)
	}
	return nil
}
