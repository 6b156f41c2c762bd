package pool

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// The least time between two attempts to open again what the peer closed, with
// calls waiting and without.
const (
	reconnectBusy = 100 * time.Millisecond
	reconnectIdle = time.Second
)

type health uint8

const (
	healthUnknown health = iota // not asked yet, or not answered yet
	healthServing
	healthNotServing
)

// conn is one connection. Pool.mu guards the fields below the line.
type conn struct {
	cc       *grpc.ClientConn
	endpoint *endpoint
	opened   time.Time
	maxAge   time.Duration // 0 = none
	kick     chan struct{} // capacity 1: connect now, a call waits
	ctx      context.Context
	cancel   context.CancelFunc

	// ---
	state      connectivity.State
	health     health
	inFlight   int
	deadlines  int       // calls without an answer in a row
	needed     time.Time // last moment the load called for this many
	lastErr    error     // why the last attempt to connect failed
	successor  *conn     // takes over once it is ready (max age)
	draining   bool
	closed     bool
	drainTimer *time.Timer
}

// endpoint is one target. Pool.mu guards it.
type endpoint struct {
	target string
	conns  int
	// failed is when connecting last failed; zero once it is up again.
	failed time.Time

	// An endpoint that hangs gets one call at a time, and none before retryHung.
	hangs     int // without an answer in between; 0: it answers
	retryHung time.Time
	trial     bool
}

// rank orders connections: a lower one is better.
type rank uint8

const (
	rankReady rank = iota
	rankComing
	rankNotServing
	rankBroken
)

// rank needs Pool.mu.
func (c *conn) rank() rank {
	switch c.state {
	case connectivity.Ready:
		switch c.health {
		case healthServing:
			if c.endpoint.leftOut() {
				return rankNotServing
			}
			return rankReady
		case healthNotServing:
			return rankNotServing
		}
		return rankComing
	case connectivity.Idle, connectivity.Connecting:
		return rankComing
	}
	return rankBroken
}

// watch follows the state of c until its context ends.
func (p *Pool) watch(c *conn) {
	defer p.wg.Done()
	var connected time.Time
	for c.ctx.Err() == nil {
		s := c.cc.GetState()
		p.setState(c, s)
		switch s {
		case connectivity.Idle:
			p.reconnectPause(c, connected)
			connected = time.Now()
			c.cc.Connect()
		case connectivity.Ready:
			if p.cfg.HealthCheck {
				p.watchHealth(c)
			}
		}
		c.cc.WaitForStateChange(c.ctx, s)
	}
}

// reconnectPause keeps a peer that accepts and closes from being dialled in a
// tight loop: grpc's back-off begins anew with every success.
func (p *Pool) reconnectPause(c *conn, last time.Time) {
	idle := time.NewTimer(time.Until(last.Add(reconnectIdle)))
	defer idle.Stop()
	select {
	case <-c.ctx.Done():
		return
	case <-idle.C:
		return
	case <-c.kick:
	}
	busy := time.NewTimer(time.Until(last.Add(reconnectBusy)))
	defer busy.Stop()
	select {
	case <-c.ctx.Done():
	case <-busy.C:
	}
}

// watchHealth asks again and again while c is connected.
func (p *Pool) watchHealth(c *conn) {
	for {
		h, again := p.checkHealth(c)
		p.setHealth(c, h)
		if !again {
			return
		}
		ctx, cancel := context.WithTimeout(c.ctx, p.cfg.HealthInterval)
		changed := c.cc.WaitForStateChange(ctx, connectivity.Ready)
		cancel()
		if changed || c.ctx.Err() != nil {
			return
		}
	}
}

// checkHealth asks once. again is false where the server does not know the
// protocol: then it counts as serving for as long as it is connected.
func (p *Pool) checkHealth(c *conn) (h health, again bool) {
	ctx, cancel := context.WithTimeout(c.ctx, min(p.cfg.HealthInterval, 5*time.Second))
	defer cancel()
	resp, err := healthpb.NewHealthClient(c.cc).Check(ctx, &healthpb.HealthCheckRequest{Service: p.cfg.HealthService})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return healthServing, false
	case err == nil && resp.GetStatus() == healthpb.HealthCheckResponse_SERVING:
		return healthServing, true
	}
	return healthNotServing, true
}

func (p *Pool) setState(c *conn, s connectivity.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s == c.state {
		return
	}
	c.state = s
	c.health = healthUnknown
	switch s {
	case connectivity.Ready:
		c.lastErr, c.deadlines, c.endpoint.failed = nil, 0, time.Time{}
		if !p.cfg.HealthCheck {
			c.health = healthServing
		}
	case connectivity.TransientFailure:
		p.stats.ConnectFailures++
		if !slices.ContainsFunc(p.conns, func(o *conn) bool { return o.endpoint == c.endpoint && o.rank() == rankReady }) {
			c.endpoint.failed = time.Now()
		}
	}
	p.changed(c)
}

func (p *Pool) setHealth(c *conn, h health) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.state == connectivity.Ready && c.health != h {
		c.health = h
		p.changed(c)
	}
}

// changed acts on a new state of c. It needs mu.
func (p *Pool) changed(c *conn) {
	if c.rank() == rankReady {
		for _, old := range p.conns {
			if old.successor == c {
				p.drain(old, &p.stats.Removed.MaxAge)
				break
			}
		}
	}
	p.dispatch()
}
