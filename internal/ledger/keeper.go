package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Every is the pace of looks.
const Every = 5 * time.Second

// leaseName is the lease of the one that keeps the ledger.
const leaseName = "ledger"

const (
	leaseTTL       = 3 * Every
	releaseTimeout = 2 * time.Second
	// patience of a look, so that the lease is renewed in time.
	patience = 2 * Every
)

// Queue is what the ledger needs of one.
type Queue interface {
	queue.Provisioner
	queue.Leaser
	queue.Archive
	queue.Store
}

// Options are what a keeper works with.
type Options struct {
	Queue Queue
	// Plan has the streams, and the destinations that this process knows: their
	// durables are required, and so are those of every destination that was ever
	// seen and not dropped.
	Plan topology.Plan
	// Holder is unique to this process.
	Holder  string
	Metrics *Metrics
	Logger  *slog.Logger
}

// Keeper keeps the ledger, one of possibly many. Run does the work; View and
// Between are safe for concurrent use.
type Keeper struct {
	o      Options
	eye    *fleet.Eye
	leader bool
	said   map[string]string
	s      *state // nil: to be loaded
	counts chan chan struct{}

	mu    sync.Mutex
	view  Ledger           // mu
	index map[string]*book // mu; copies, replaced as a whole
}

// New makes a keeper.
func New(o Options) *Keeper {
	return &Keeper{o: o, eye: fleet.NewEye(o.Queue), said: map[string]string{}, counts: make(chan chan struct{})}
}

// Run looks until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	t := time.NewTicker(Every)
	k.round(ctx)
	for {
		select {
		case <-t.C:
			k.round(ctx)
		case done := <-k.counts:
			k.count(ctx)
			close(done)
		case <-ctx.Done():
			t.Stop()
			k.drop()
			if !k.leader {
				return nil
			}
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
			defer cancel()
			if err := k.o.Queue.Release(release, leaseName, k.o.Holder); err != nil {
				k.o.Logger.Info("the lease of the ledger was not given back; it ends by itself", "error", err)
			}
			k.o.Metrics.follow()
			return nil
		}
	}
}

// round is one look, as the one that keeps the ledger, or as a reader.
func (k *Keeper) round(ctx context.Context) {
	held, err := k.o.Queue.Lease(ctx, leaseName, k.o.Holder, leaseTTL)
	if ctx.Err() != nil {
		return
	}
	if held != k.leader {
		k.leader = held
		k.o.Logger.Info("ledger", "keeps", held)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("the lease of the ledger: %w", err)
		k.drop()
		k.o.Metrics.follow()
	case !held:
		k.drop()
		k.o.Metrics.follow()
		err = k.follow(ctx)
	default:
		err = k.look(ctx)
	}
	k.tell(ctx, err)
}

// tell says trouble once, and when it is over.
func (k *Keeper) tell(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	what := ""
	if err != nil {
		k.drop()
		k.o.Metrics.failures.Inc()
		what = "failed"
	}
	k.say("look", what, func() {
		if err != nil {
			k.o.Logger.Warn("the ledger is as old as its last look; it is tried again every 5 s", "error", err)
		} else {
			k.o.Logger.Info("the ledger is kept again")
		}
	})
}

func (k *Keeper) say(key, what string, f func()) {
	if k.said[key] == what {
		return
	}
	k.said[key] = what
	f()
}

// drop forgets what was loaded: it is read again, for another may write now.
func (k *Keeper) drop() {
	if k.s != nil {
		k.s.close()
		k.s = nil
	}
}

// look counts, judges and saves.
func (k *Keeper) look(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if k.s == nil {
		s, err := loadState(within, k.o.Queue, k.o.Plan)
		if err != nil {
			return err
		}
		k.s = s
	}
	v, err := k.s.look(within, k.eye)
	if err != nil {
		return err
	}
	v.Keeper = k.o.Holder
	if err := k.s.save(within, v); err != nil {
		return err
	}
	for _, p := range v.Problems {
		k.say("problem "+p, "said", func() { k.o.Logger.Error("the ledger does not add up", "problem", p) })
	}
	if v.OK {
		for key := range k.said {
			if key != "look" {
				delete(k.said, key)
			}
		}
	}
	k.o.Metrics.show(v)
	k.publish(v)
	return nil
}

// publish makes the look visible.
func (k *Keeper) publish(v Ledger) {
	index := map[string]*book{}
	for stream, b := range k.s.books {
		index[stream] = b.v.copy()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.view, k.index = v, index
}

// follow reads what another keeps.
func (k *Keeper) follow(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := Read(within, k.o.Queue)
	if err != nil && !errors.Is(err, ErrNone) {
		return err
	}
	values, err := k.o.Queue.List(within, keyStream)
	if err != nil {
		return err
	}
	index := map[string]*book{}
	for _, value := range values {
		b, err := load(within, k.o.Queue, value.Key, book{})
		if err != nil {
			return err
		}
		index[b.v.Stream] = &b.v
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.view, k.index = v, index
	return nil
}

// View is the ledger as of the last look of this process, or of the one that
// keeps it.
func (k *Keeper) View() Ledger {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.view
}

// Total is what was accepted on a stream since the ledger began, as of the last
// look. It only rises. ok is false when nothing is known of the stream.
func (k *Keeper) Total(stream string) (items, bytes uint64, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := k.index[stream]
	if b == nil {
		return 0, 0, false
	}
	t := b.Total.plus(b.Lost)
	return t.Items, t.Bytes, true
}

// Between is what a stream has above one sequence and up to another, as of the
// last look; exact is false when it is estimated between two points of the index.
// ok is false when nothing is known of the stream. What was not counted yet is not
// in it. Bytes are of payload before compression.
func (k *Keeper) Between(stream string, above, upTo uint64) (items, bytes uint64, exact, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := k.index[stream]
	if b == nil {
		return 0, 0, false, false
	}
	hi, _, exactHi := b.upTo(upTo)
	lo, _, exactLo := b.upTo(above)
	s := hi.minus(lo)
	return s.Items, s.Bytes, exactHi && exactLo, true
}
