package fleet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// prefix of the keys of processes.
const prefix = "process/"

// stopTimeout bounds the last telling of Keep.
const stopTimeout = 5 * time.Second

// NewID makes an id: role and host, to be known by, and chance, so that it is
// unique to this run.
func NewID(role, host string) string {
	clean := func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}
	id := strings.Map(clean, role+"-"+host)
	return id[:min(len(id), 100)] + "-" + strings.ToLower(rand.Text()[:10])
}

// Keeper tells of one process until it is stopped.
type Keeper struct {
	store  queue.Store
	source func() Process
	log    *slog.Logger

	end  context.CancelFunc
	done chan struct{}
	once sync.Once

	// Below: of whoever tells, run or after it Stop.
	err      error   // of the last telling
	said     string  // the trouble that was said
	id       string  // when it had to be changed
	revision uint64  // of the value that is there
	told     Process // what the source said then
	base     Process // what a forgotten id had told, which is no more ours to tell
}

// Start tells what source says, now and every Every, until Stop. When Start
// returns, the first telling was tried: whatever the process does after is told
// of by a value that was there before. source is called from one goroutine at a
// time; At and Stopped are set here. Trouble with the store is logged once and
// tried again at the next turn.
func Start(ctx context.Context, store queue.Store, source func() Process, log *slog.Logger) *Keeper {
	k := &Keeper{store: store, source: source, log: log, done: make(chan struct{})}
	within, cancel := context.WithTimeout(ctx, Every)
	defer cancel()
	k.tell(within, false)
	run, end := context.WithCancel(context.WithoutCancel(ctx))
	k.end = end
	go k.run(run)
	return k
}

func (k *Keeper) run(ctx context.Context) {
	defer close(k.done)
	for t := time.NewTicker(Every); ; {
		select {
		case <-t.C:
			within, cancel := context.WithTimeout(ctx, Every)
			k.tell(within, false)
			cancel()
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// Stop tells one last time, as Stopped. It is to be called when the process has
// done everything that it counts. It is idempotent.
func (k *Keeper) Stop(ctx context.Context) error {
	k.once.Do(func() {
		k.end()
		<-k.done
		k.tell(ctx, true)
	})
	return k.err
}

// Keep is Start, and Stop when ctx ends.
func Keep(ctx context.Context, store queue.Store, source func() Process, log *slog.Logger) error {
	k := Start(ctx, store, source, log)
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return k.Stop(last)
}

func (k *Keeper) tell(ctx context.Context, stopped bool) {
	p := k.source()
	p.At, p.Stopped = time.Now().UTC(), stopped
	if stopped {
		p.Ready = false
	}
	k.err = k.save(ctx, p)
	switch {
	case k.err == nil && k.said != "":
		k.said = ""
		k.log.Info("this process is seen by the others again")
	case k.err != nil && k.said == "":
		k.said = k.err.Error()
		k.log.Warn("this process cannot tell the others what it does; it is tried every 5 s", "error", k.err)
	}
}

// save stores p in a form that fits. When the value is gone, its tallies were taken
// over by whoever took it for dead: what follows is told under another id.
func (k *Keeper) save(ctx context.Context, p Process) error {
	raw := p
	for try := 0; ; try++ {
		if k.id != "" {
			p.ID = k.id
		}
		key := prefix + p.ID
		data, err := fit(without(p, k.base))
		if err != nil {
			return err
		}
		revision, err := k.store.Save(ctx, key, data, k.revision)
		if err == nil {
			k.revision, k.told = revision, raw
			return nil
		}
		if !errors.Is(err, queue.ErrConflict) || try == 2 {
			return fmt.Errorf("tell of process %s: %w", p.ID, err)
		}
		switch v, err := k.store.Load(ctx, key); {
		case err == nil: // ours, of a time when the answer was lost
			k.revision = v.Revision
		case errors.Is(err, queue.ErrNotFound):
			k.log.Warn("this process was taken for dead by the others; it goes on under another name", "was", p.ID)
			k.id, k.revision, k.base = NewID(p.Role, p.Host), 0, k.told
		default:
			return fmt.Errorf("tell of process %s: %w", p.ID, err)
		}
	}
}

// maxBytes of a value. A hundred processes are to leave room for others.
const maxBytes = 64 << 10

// fit encodes p in at most maxBytes: first without the parts of pools, then with
// the tenants of a destination as one.
func fit(p Process) ([]byte, error) {
	for step := 0; ; step++ {
		data, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("tell of process %s: %w", p.ID, err)
		}
		switch {
		case len(data) <= maxBytes:
			return data, nil
		case step == 0:
			p.Destinations = slim(p.Destinations)
		case step == 1:
			p.Tallies = sumTenants(p.Tallies)
		case len(data) <= queue.MaxValueBytes:
			return data, nil
		default:
			return nil, fmt.Errorf("tell of process %s: %d bytes of %d destinations and %d tallies, the store takes %d: use fewer destinations in one process",
				p.ID, len(data), len(p.Destinations), len(p.Tallies), queue.MaxValueBytes)
		}
	}
}

func slim(all []Destination) []Destination {
	out := make([]Destination, len(all))
	for i, d := range all {
		if d.Pool != nil {
			pool := *d.Pool
			pool.Endpoints = nil
			d.Pool = &pool
		}
		out[i] = d
	}
	return out
}

// sumTenants leaves one tally a destination and signal.
func sumTenants(all []Tally) []Tally {
	type key struct{ destination, signal string }
	at := map[key]int{}
	var out []Tally
	for _, t := range all {
		k := key{t.Destination, t.Signal}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, Tally{Destination: t.Destination, Signal: t.Signal, Tenant: OtherTenants})
		}
		out[i] = out[i].Plus(t)
	}
	return out
}
