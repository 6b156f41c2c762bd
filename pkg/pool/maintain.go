package pool

import (
	"slices"
	"time"
)

// maintain closes connections that are not needed and replaces old ones, until
// the pool's context ends.
func (p *Pool) maintain() {
	every := p.cfg.IdleTTL
	if p.cfg.MaxAge > 0 {
		every = min(every, p.cfg.MaxAge)
	}
	tick := time.NewTicker(min(max(every/10, time.Millisecond), 10*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		if !p.closed {
			p.markNeeded(time.Now())
			p.closeUnneeded()
			p.replaceAged()
			p.keepWarm()
		}
		p.mu.Unlock()
	}
}

// closeUnneeded takes out the youngest first; the load counts from the oldest.
func (p *Pool) closeUnneeded() {
	for i := len(p.conns) - 1; i >= p.cfg.warm(); i-- {
		if c := p.conns[i]; time.Since(c.needed) > p.cfg.IdleTTL && c.successor == nil && !p.isSuccessor(c) {
			p.drain(c, &p.stats.Removed.Idle)
		}
	}
}

// replaceAged opens the successor of one connection at a time; the old one
// works until it is ready (changed).
func (p *Pool) replaceAged() {
	for _, c := range p.conns {
		if c.successor != nil {
			return
		}
	}
	for _, c := range p.conns {
		if c.maxAge > 0 && time.Since(c.opened) > c.maxAge {
			// It goes where connections are fewest without the old one.
			c.endpoint.conns--
			e := p.nextEndpoint()
			c.endpoint.conns++
			c.successor = p.open(e)
			return
		}
	}
}

func (p *Pool) isSuccessor(c *conn) bool {
	return slices.ContainsFunc(p.conns, func(old *conn) bool { return old.successor == c })
}

// keepWarm opens what is missing of the minimum. It needs mu.
func (p *Pool) keepWarm() {
	for !p.closed && len(p.conns) < p.cfg.warm() {
		if p.open(p.nextEndpoint()) == nil {
			return
		}
	}
}

// drain takes c out: it gets no more calls, and is closed when those in flight
// have ended or DrainTimeout has passed. It needs mu.
func (p *Pool) drain(c *conn, reason *uint64) {
	i := slices.Index(p.conns, c)
	if i < 0 {
		return
	}
	p.conns = slices.Delete(p.conns, i, i+1)
	for _, old := range p.conns {
		if old.successor == c {
			old.successor = nil
		}
	}
	*reason++
	c.draining = true
	c.endpoint.conns--
	p.draining[c] = struct{}{}
	if c.inFlight == 0 {
		p.shut(c)
	} else {
		c.drainTimer = time.AfterFunc(p.cfg.DrainTimeout, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.shut(c)
		})
	}
	p.keepWarm()
}

// shut closes c, which is no longer in conns, once. It needs mu.
func (p *Pool) shut(c *conn) {
	if c.closed {
		return
	}
	c.closed = true
	if c.drainTimer != nil {
		c.drainTimer.Stop()
	}
	delete(p.draining, c)
	c.cancel()
	p.wg.Go(func() { _ = c.cc.Close() }) // outside mu: it waits for the transport
}
