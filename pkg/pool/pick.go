package pool

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

// retryEndpoint is after how long an endpoint that failed is tried in place of
// another one that fails.
const retryEndpoint = 5 * time.Second

// waiter is a call without a connection.
type waiter struct {
	got chan *conn // capacity 1; closed by Close
}

// acquire gives a connection with one call more in flight, which release takes
// off again.
func (p *Pool) acquire(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	if len(p.waiters) == 0 {
		if c := p.pick(); c != nil {
			p.take(c)
			p.mu.Unlock()
			return c, nil
		}
	}
	w := &waiter{got: make(chan *conn, 1)}
	p.waiters = append(p.waiters, w)
	p.stats.Waits++
	p.mu.Unlock()
	return p.wait(ctx, w)
}

func (p *Pool) wait(ctx context.Context, w *waiter) (*conn, error) {
	began := time.Now()
	var timeout <-chan time.Time
	if p.cfg.WaitTimeout > 0 {
		t := time.NewTimer(p.cfg.WaitTimeout)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case c, ok := <-w.got:
		if !ok {
			return nil, ErrClosed
		}
		return c, nil
	case <-ctx.Done():
	case <-timeout:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiters, w)
	if i < 0 { // served, or closed, while giving up
		if c, ok := <-w.got; ok {
			return c, nil
		}
		return nil, ErrClosed
	}
	p.waiters = slices.Delete(p.waiters, i, i+1)
	p.stats.WaitTimeouts++
	return nil, p.waitError(ctx, time.Since(began))
}

// waitError says why nothing came. It needs mu.
func (p *Pool) waitError(ctx context.Context, waited time.Duration) error {
	cause := ctx.Err()
	for _, c := range p.conns {
		if c.rank() == rankReady {
			e := &BusyError{Waited: waited, Connections: len(p.conns), MaxInFlight: p.cfg.MaxInFlight, Err: cause, code: codes.ResourceExhausted}
			if cause != nil {
				e.code = status.FromContextError(cause).Code()
			}
			return e
		}
	}
	e := &NoConnectionError{Endpoint: p.endpoints[0].target, Err: errors.New("connecting did not end in time"), code: codes.Unavailable}
	if cause != nil {
		e.code = status.FromContextError(cause).Code()
	}
	for _, c := range p.conns {
		e.Endpoint = c.endpoint.target
		if c.lastErr != nil {
			e.Err = c.lastErr
			break
		}
	}
	return e
}

// dispatch serves who waits, first come first served. It needs mu.
func (p *Pool) dispatch() {
	for len(p.waiters) > 0 {
		c := p.pick()
		if c == nil {
			return
		}
		p.take(c)
		p.waiters[0].got <- c
		p.waiters = slices.Delete(p.waiters, 0, 1)
	}
}

// take counts a call on c. It needs mu.
func (p *Pool) take(c *conn) {
	c.inFlight++
	p.inFlight++
	c.endpoint.trial = c.endpoint.hangs > 0
	p.markNeeded(time.Now())
}

// markNeeded notes that the load of now needs the first n connections; which
// ones does not matter, as the calls are spread evenly. It needs mu.
func (p *Pool) markNeeded(now time.Time) {
	for i := 0; i < len(p.conns) && i*p.cfg.GrowAt < p.inFlight; i++ {
		p.conns[i].needed = now
	}
}

// pick finds the connection for the next call, nil when there is none for now,
// and opens one where the load or a failure asks for it. It needs mu.
func (p *Pool) pick() *conn {
	best, coming := p.best(rankReady), p.coming()
	if best != nil {
		if best.inFlight >= p.cfg.GrowAt && coming == nil {
			p.grow()
		}
		return best
	}
	if coming != nil {
		p.kick()
		return nil
	}
	if p.any(rankReady) { // all at their cap
		p.grow()
		return nil
	}
	if p.nextEndpoint().conns == 0 && p.grow() {
		return nil
	}
	// What the server says of itself may be wrong; if it can be asked at all
	// it answers better than nobody does.
	if c := p.best(rankNotServing); c != nil {
		return c
	}
	if p.any(rankNotServing) || p.failover() {
		return nil
	}
	// A call over a broken connection fails at once and brings the reason.
	return p.best(rankBroken)
}

// best is the one with the least calls in flight of those with room; equals
// take turns, so that endpoints share a light load. It needs mu.
func (p *Pool) best(r rank) *conn {
	var best *conn
	turn := p.turn
	for i := range p.conns {
		i = (i + turn) % len(p.conns)
		c := p.conns[i]
		if c.rank() == r && c.inFlight < p.cfg.MaxInFlight && (best == nil || c.inFlight < best.inFlight) {
			best, p.turn = c, i+1
		}
	}
	return best
}

func (p *Pool) any(r rank) bool {
	return slices.ContainsFunc(p.conns, func(c *conn) bool { return c.rank() == r })
}

func (p *Pool) coming() *conn {
	if i := slices.IndexFunc(p.conns, func(c *conn) bool { return c.rank() == rankComing }); i >= 0 {
		return p.conns[i]
	}
	return nil
}

// kick makes connections that the peer closed connect now. It needs mu.
func (p *Pool) kick() {
	for _, c := range p.conns {
		if c.state == connectivity.Idle {
			select {
			case c.kick <- struct{}{}:
			default:
			}
		}
	}
}

// grow opens another connection if the bound allows it and there is an
// endpoint that is not known to be down, or no connection at all. It needs mu.
func (p *Pool) grow() bool {
	if p.closed || len(p.conns) >= p.cfg.MaxConnections {
		return false
	}
	e := p.nextEndpoint()
	if len(p.conns) > 0 && !e.usable() {
		return false
	}
	return p.open(e) != nil
}

// failover gives up a broken connection for an endpoint without one. It is
// called when every connection is broken and none may be added. It needs mu.
func (p *Pool) failover() bool {
	e := p.nextEndpoint()
	if p.closed || e.conns > 0 || !e.usable() || len(p.conns) == 0 {
		return false
	}
	if p.open(e) == nil {
		return false
	}
	p.drain(p.conns[0], &p.stats.Removed.Failover)
	return true
}

// nextEndpoint needs mu. It is the one with the fewest connections of those that are not
// down, or of all when all are.
func (p *Pool) nextEndpoint() *endpoint {
	return slices.MinFunc(p.endpoints, func(a, b *endpoint) int {
		if a.usable() != b.usable() {
			if a.usable() {
				return -1
			}
			return 1
		}
		return a.conns - b.conns
	})
}

// usable needs Pool.mu.
func (e *endpoint) usable() bool {
	return e.failed.IsZero() && e.hangs == 0 || e.conns == 0 && time.Since(e.failed) > retryEndpoint
}
