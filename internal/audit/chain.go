package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Queue is what the audit stream needs of one.
type Queue interface {
	queue.Publisher
	queue.Provisioner
	queue.Archive
}

const (
	tryTimeout = 5 * time.Second        // of one try to append
	retryPause = 250 * time.Millisecond // between tries
	// reserve of the stream's bytes is for the entry that a purge needs, in per
	// cent: a full stream could not be emptied by the rules.
	reserve = 10
	// stateFor is how long the size of the stream is believed.
	stateFor = 5 * time.Second
	// roomPatience is how long a stream that does not exist may find no room in the
	// store before that is believed: a server may count twice what several make.
	roomPatience = 3 * time.Second
)

// errFull is the refusal of what would use up the reserve.
var errFull = fmt.Errorf("the stream is above %d %% of its bytes: %w", 100-reserve, queue.ErrFull)

// chain appends entries. Others may append to the same stream at any time.
type chain struct {
	q       Queue
	log     *slog.Logger
	metrics *Metrics

	turn   chan struct{} // has a token while an entry is appended; guards everything below
	made   bool          // the stream, or it was there
	narrow time.Time     // since when there is no room for it; zero: there is, or nobody has tried
	head   *Head         // nil: to be read
	sized  time.Time
	room   bool
	seen   Head   // the last entry that this process has seen
	broken string // what was said of the chain

	shownMu sync.Mutex // guards shown
	shown   Head
}

func newChain(q Queue, m *Metrics, log *slog.Logger) *chain {
	return &chain{q: q, log: log, metrics: m, turn: make(chan struct{}, 1)}
}

// append stores an event as the next entry, and gives its place. Nothing is stored
// twice: whatever has an unknown outcome is repeated as it was until ctx ends.
// reserved may use what is kept free.
func (c *chain) append(ctx context.Context, e Event, purged *Head, reserved bool) (Head, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return Head{}, fmt.Errorf("other audit entries wait to be stored: %w", ctx.Err())
	}
	for {
		h, err := c.appendHere(ctx, e, purged, reserved)
		switch {
		case err == nil, errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrTooLarge), errors.Is(err, queue.ErrClosed):
			return h, err
		case errors.Is(err, queue.ErrConflict): // another was quicker
			continue
		case errors.Is(err, queue.ErrNoRoom) && time.Since(c.narrow) > roomPatience: // each event tries once more
			return h, err
		}
		if !pause(ctx) {
			return Head{}, err
		}
	}
}

// appendHere tries at one place until it knows whether the entry is there.
func (c *chain) appendHere(ctx context.Context, e Event, purged *Head, reserved bool) (Head, error) {
	if c.head == nil {
		head, err := c.readHead(ctx)
		if err != nil {
			return Head{}, err
		}
		c.head = &head
	}
	if err := c.checkRoom(ctx); err != nil {
		return Head{}, err
	}
	if !c.room && !reserved {
		return Head{}, errFull
	}
	last := *c.head
	entry := Entry{N: last.N + 1, Prev: last.Hash, Purged: purged, Event: e}
	body, err := entry.encode()
	if err != nil {
		return Head{}, err
	}
	m := &queue.Message{ID: "audit-" + rand.Text(), Header: map[string]string{headerVersion: version}, Body: body}
	for {
		once, cancel := context.WithTimeout(ctx, tryTimeout)
		_, err = c.q.PublishNext(once, topology.Audit, m, last.N)
		cancel()
		if err == nil {
			h := Head{N: entry.N, Hash: hashOf(body)}
			c.head = &h
			c.see(h)
			return h, nil
		}
		if !errors.Is(err, queue.ErrUnavailable) || !pause(ctx) {
			c.head = nil
			return Head{}, err
		}
	}
}

// readHead finds the last entry, and makes the stream when there is none.
func (c *chain) readHead(ctx context.Context) (Head, error) {
	once, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	if !c.made {
		err := topology.EnsureAudit(once, c.q)
		if !errors.Is(err, queue.ErrNoRoom) {
			c.narrow = time.Time{}
		} else if c.narrow.IsZero() {
			c.narrow = time.Now()
		}
		if err != nil {
			return Head{}, err
		}
		c.made = true
	}
	st, err := c.q.StreamState(once, topology.Audit)
	if err != nil {
		c.made = !errors.Is(err, queue.ErrNotFound) // else somebody has deleted it
		return Head{}, err
	}
	c.size(st)
	head := Head{N: st.LastSeq, Hash: genesis}
	if st.Messages > 0 {
		m, _, err := c.q.Get(once, topology.Audit, st.LastSeq)
		switch {
		case err == nil:
			head.Hash = hashOf(m.Body)
		case !errors.Is(err, queue.ErrNotFound): // else it was taken out, which verify tells
			return Head{}, err
		}
	}
	c.compare(once, head)
	c.see(head)
	return head, nil
}

// compare says when the stream has not any more what this process has seen there.
func (c *chain) compare(ctx context.Context, head Head) {
	if c.seen.N == 0 {
		return
	}
	var what string
	if head.N < c.seen.N {
		what = fmt.Sprintf("it ends at entry %d", head.N)
	} else if m, _, err := c.q.Get(ctx, topology.Audit, c.seen.N); err == nil && hashOf(m.Body) != c.seen.Hash {
		what = fmt.Sprintf("there is another one in its place, of hash %s", hashOf(m.Body))
	}
	if what != "" && what != c.broken {
		c.metrics.breaks.Inc()
		c.log.Error("the audit chain was cut or rewritten: an entry that was stored is not there any more; see penstock audit verify --head", "entry", c.seen.String(), "now", what)
	}
	c.broken = what
}

func (c *chain) see(h Head) {
	if h.N == 0 || h.Hash == genesis {
		return
	}
	c.seen = h
	c.metrics.head.Set(float64(h.N))
	c.shownMu.Lock()
	c.shown = h
	c.shownMu.Unlock()
}

// last is the last entry that this process has seen; N is 0 when it has seen none.
func (c *chain) last() Head {
	c.shownMu.Lock()
	defer c.shownMu.Unlock()
	return c.shown
}

// checkRoom looks at the size of the stream now and then.
func (c *chain) checkRoom(ctx context.Context) error {
	if time.Since(c.sized) < stateFor {
		return nil
	}
	once, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	st, err := c.q.StreamState(once, topology.Audit)
	if err != nil {
		c.head = nil
		return err
	}
	c.size(st)
	return nil
}

func (c *chain) size(st queue.StreamState) {
	c.sized = time.Now()
	c.room = st.MaxBytes <= 0 || st.Bytes <= uint64(st.MaxBytes)/100*(100-reserve)
}

// pause waits before the next try; false when there is none.
func pause(ctx context.Context) bool {
	t := time.NewTimer(retryPause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
