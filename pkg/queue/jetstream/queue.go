package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Queue implements queue.Queue. Safe for concurrent use.
type Queue struct {
	cfg     Config
	control *link // API calls and single reads
	js      jetstream.JetStream
	publish []*link
	turn    atomic.Uint32
	budget  *semaphore.Weighted // bytes handed to the server, not confirmed
	proof   *prover
	tune    tuning

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	closed sync.Once

	leases leases
	values values

	mu      sync.Mutex // guards what follows
	consume []*consumeLink
	readers map[*reader]struct{}
}

var _ queue.Queue = (*Queue)(nil)

// tuning are times that only tests change.
type tuning struct {
	pullExpires, heartbeat time.Duration
	backoffMin, backoffMax time.Duration
}

var defaultTuning = tuning{
	pullExpires: 30 * time.Second, heartbeat: 5 * time.Second,
	backoffMin: 25 * time.Millisecond, backoffMax: 2 * time.Second,
}

// Open connects, and verifies that the servers keep the promise of
// c.Durability. It waits for a connection until ctx ends (without a deadline:
// ConnectTimeout).
func Open(ctx context.Context, c Config) (*Queue, error) {
	return open(ctx, c, defaultTuning)
}

func open(ctx context.Context, c Config, t tuning) (*Queue, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.ConnectTimeout)
		defer cancel()
	}
	q := &Queue{cfg: c, tune: t, budget: semaphore.NewWeighted(c.MaxInFlightBytes), readers: map[*reader]struct{}{}, proof: newProver(c)}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	fail := func(err error) (*Queue, error) {
		return nil, errors.Join(err, q.Close())
	}
	var err error
	if q.control, err = dial(ctx, c, linkKind{name: "control"}); err != nil {
		return fail(err)
	}
	if q.js, err = jetstream.New(q.control.nc); err != nil {
		return fail(fmt.Errorf("queue: %w", err))
	}
	for i := range c.PublishConnections {
		l, err := dial(ctx, c, linkKind{name: fmt.Sprintf("publish-%d", i), failFast: true, kick: q.proof.kick})
		if err != nil {
			return fail(err)
		}
		q.publish = append(q.publish, l)
	}
	if err := q.proof.start(ctx, q.ctx, q.publish); err != nil {
		return fail(err)
	}
	return q, nil
}

// Durability says in a sentence what is promised and how that is verified now:
// the servers are asked again whenever a connection for publishing comes back.
func (q *Queue) Durability() string { return q.proof.sentence() }

// Ready is nil when a connection for publishing stands whose durability is
// verified and, with an embedded server, its store takes writes.
func (q *Queue) Ready(context.Context) error {
	if q.ctx.Err() != nil {
		return queue.ErrClosed
	}
	why := errors.New("no connection to the server")
	for _, l := range q.publish {
		if !l.isUp() {
			continue
		}
		if _, why = q.proof.connection(l); why == nil {
			break
		}
	}
	if why != nil {
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, why)
	}
	if h, ok := q.cfg.Conn.(interface{ Healthy() error }); ok {
		if err := h.Healthy(); err != nil {
			return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
		}
	}
	return nil
}

// Close closes every consumer and ends the connections. Publish calls under way
// return ErrClosed, with an unknown outcome.
func (q *Queue) Close() error {
	q.closed.Do(func() {
		q.cancel()
		q.mu.Lock()
		readers := make([]*reader, 0, len(q.readers))
		for r := range q.readers {
			readers = append(readers, r)
		}
		q.mu.Unlock()
		var wg sync.WaitGroup
		for _, r := range readers {
			wg.Go(func() { _ = r.Close() }) // always nil
		}
		wg.Wait()
		q.proof.wg.Wait()
		for _, l := range q.publish {
			l.close()
		}
		q.mu.Lock()
		links := q.consume
		q.mu.Unlock()
		for _, l := range links {
			// Acks wait in the connection's buffer; a lost one only means a repeat.
			if err := l.nc.FlushTimeout(time.Second); err != nil {
				l.log.Debug("queue: flush at close", "error", err)
			}
			l.close()
		}
		if q.control != nil {
			q.control.close()
		}
	})
	return nil
}

// call bounds one API call by ctx, the publish timeout and Close.
func (q *Queue) call(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if q.ctx.Err() != nil {
		return nil, nil, queue.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, 2*q.cfg.PublishTimeout)
	stop := context.AfterFunc(q.ctx, cancel)
	return ctx, func() { stop(); cancel() }, nil
}

// jitter spreads d over [d/2, d].
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
