package reload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/settings"
)

// Options are what a Reloader works with.
type Options struct {
	// Running is the configuration that the process started with.
	Running *config.Loaded
	// Read reads the same sources again, and checks all of it.
	Read func() (*config.Loaded, error)
	// Audit, unless nil, is told of each reload.
	Audit   audit.Recorder
	Metrics *Metrics
	Logger  *slog.Logger
}

// Reloader has the running configuration of a process. Made by New, it refuses
// until Open; parts are added before that.
type Reloader struct {
	o    Options
	turn chan struct{} // held by the reload that runs

	parts []Part // before Open, then only read

	mu      sync.RWMutex // guards everything below
	open    bool
	since   time.Time // the start, or the last reload that was not refused
	running *config.Loaded
	waiting []string
	last    *Answer // nil: none yet
}

// New makes a Reloader.
func New(o Options) *Reloader {
	r := &Reloader{o: o, turn: make(chan struct{}, 1), since: time.Now(), running: o.Running}
	o.Metrics.running(o.Running.Hash(), 0)
	return r
}

// Add makes a part live.
func (r *Reloader) Add(p Part) { r.parts = append(r.parts, p) }

// Open lets reloads in: all parts are there.
func (r *Reloader) Open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = true
}

// Close lets no more in, and waits for the one that runs.
func (r *Reloader) Close(ctx context.Context) error {
	r.mu.Lock()
	r.open = false
	r.mu.Unlock()
	select {
	case r.turn <- struct{}{}:
		<-r.turn
		return nil
	case <-ctx.Done():
		return fmt.Errorf("a reload of the configuration still runs: %w", ctx.Err())
	}
}

// Settings are those that run now; nobody changes them.
func (r *Reloader) Settings() *settings.Settings {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.running.Value().(*settings.Settings)
}

// Print writes what runs now, as config.Loaded.Print.
func (r *Reloader) Print(w io.Writer, format string) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.running.Print(w, format)
}

// ErrClosed says that a process takes no reload now.
var ErrClosed = errors.New("the process starts, or stops: nothing is reloaded")

// By says who asked for a reload.
type By struct {
	Subject, Method string // as identity.Identity; "" unless proved
	Peer            string
	Listener        string // "admin", "signal"
}

// Reload reads the configuration again and takes over what can change live. The
// error says that it was not tried: ErrClosed, or that ctx ended in the wait for
// another one. A configuration that is refused is an Answer.
func (r *Reloader) Reload(ctx context.Context, by By) (Answer, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("another reload runs: %w", ctx.Err())
	}
	r.mu.RLock()
	open := r.open
	r.mu.RUnlock()
	if !open {
		return Answer{}, ErrClosed
	}
	a := r.reload()
	r.tell(a, by)
	return a, nil
}

// reload does it, by the one that has the turn.
func (r *Reloader) reload() Answer {
	next, err := r.o.Read()
	if err != nil {
		return r.refuse(problems(err))
	}
	running := r.running // none but the holder of the turn writes it
	merged, err := running.Merge(next, r.live)
	if err != nil {
		return r.refuse(append([]Problem{{Message: mixture}}, problems(err)...))
	}
	applied := config.Changed(running.Value(), merged.Value())
	apply, files, failed := r.prepare(applied, merged.Value().(*settings.Settings))
	if len(failed) > 0 {
		return r.refuse(failed)
	}
	for _, f := range apply {
		f()
	}
	a := Answer{At: time.Now().UTC(), Hash: merged.Hash(), Applied: append(keysOf(applied), files...), Waiting: keysOf(config.Changed(merged.Value(), next.Value()))}
	switch {
	case len(a.Applied) > 0:
		a.Outcome = Applied
	case len(a.Waiting) > 0:
		a.Outcome = Restart
	default:
		a.Outcome = Unchanged
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running, r.waiting, r.last, r.since = merged, a.Waiting, &a, a.At
	return a
}

// live tells whether some part can change a path.
func (r *Reloader) live(path string) bool {
	return slices.ContainsFunc(r.parts, func(p Part) bool { return p.covers(path) })
}

// prepare asks every part with a key that changed, or with files, and collects all
// that they say. files names the parts of which these alone have changed.
func (r *Reloader) prepare(changes []config.Change, s *settings.Settings) (apply []func(), files []string, failed []Problem) {
	for _, p := range r.parts {
		changed := slices.ContainsFunc(changes, func(c config.Change) bool { return p.covers(c.Path) })
		if !changed && !p.Files {
			continue
		}
		f, err := p.Prepare(s)
		if err != nil {
			for _, x := range problems(err) {
				x.Message = p.Name + ": " + x.Message
				failed = append(failed, x)
			}
			continue
		}
		if f == nil {
			continue
		}
		if apply = append(apply, f); !changed {
			files = append(files, "files of "+p.Name)
		}
	}
	return apply, files, failed
}

// mixture goes before the problems of what would run.
const mixture = "the file is valid, but what can change while the process runs does not go with what only a restart changes; restart, or change them one after the other"

func (r *Reloader) refuse(why []Problem) Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := Answer{Outcome: Refused, At: time.Now().UTC(), Hash: r.running.Hash(), Applied: []string{}, Waiting: r.waiting, Problems: why}
	if a.Waiting == nil {
		a.Waiting = []string{}
	}
	r.last = &a
	return a
}

func keysOf(changes []config.Change) []string {
	out := make([]string, len(changes))
	for i, c := range changes {
		out[i] = c.Key
	}
	return out
}
