package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// oneAddress makes each connection one transport to one address of its name.
const oneAddress = `{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":true}}]}`

// Pool is a grpc.ClientConnInterface over several connections. It is safe for
// concurrent use.
type Pool struct {
	cfg  Config
	opts []grpc.DialOption

	stop context.CancelFunc // ends every watcher and maintain
	ctx  context.Context
	wg   sync.WaitGroup // watchers, maintain, closing connections

	// mu guards everything below, and what conn and endpoint say.
	mu        sync.Mutex
	conns     []*conn // in the order they were opened
	draining  map[*conn]struct{}
	endpoints []*endpoint
	waiters   []*waiter
	inFlight  int // of conns and draining
	turn      int // the index after that of the last one chosen
	closed    bool
	idle      chan struct{} // closed when closed and inFlight is 0
	stats     Stats
}

var _ grpc.ClientConnInterface = (*Pool)(nil)

// New starts to connect the warm minimum and returns without waiting. A peer
// that is down is no error; a configuration that can never work is.
func New(cfg Config) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	p := &Pool{cfg: cfg, draining: map[*conn]struct{}{}, idle: make(chan struct{})}
	p.opts = append([]grpc.DialOption{
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(oneAddress),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: cfg.Backoff, MinConnectTimeout: cfg.ConnectTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: cfg.KeepaliveTime, Timeout: cfg.KeepaliveTimeout}),
	}, cfg.DialOptions...)
	for _, target := range cfg.Endpoints {
		// A client connects on its first use only: this checks the options.
		cc, err := grpc.NewClient(target, p.opts...)
		if err != nil {
			return nil, fmt.Errorf("pool: endpoint %q: %w", target, err)
		}
		if err := cc.Close(); err != nil {
			return nil, fmt.Errorf("pool: endpoint %q: %w", target, err)
		}
		p.endpoints = append(p.endpoints, &endpoint{target: target})
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.mu.Lock()
	p.keepWarm()
	p.mu.Unlock()
	p.wg.Go(p.maintain)
	return p, nil
}

// Invoke makes a unary call. Beside the status errors of grpc it returns
// *NoConnectionError, *BusyError and ErrClosed; none of the three was sent.
func (p *Pool) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	c, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	var pr peer.Peer
	err = c.cc.Invoke(ctx, method, args, reply, append(slices.Clip(opts), grpc.Peer(&pr))...)
	return p.release(ctx, c, pr.Addr != nil, err)
}

// NewStream opens a stream, which holds its place on a connection until it
// ends. As grpc demands, the caller reads it to its error or cancels ctx.
func (p *Pool) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	c, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	var once sync.Once
	end := func(sent bool, err error) (out error) {
		once.Do(func() { out = p.release(ctx, c, sent, err) })
		return out
	}
	s, err := c.cc.NewStream(ctx, desc, method, append(slices.Clip(opts), grpc.OnFinish(func(err error) { _ = end(true, err) }))...)
	if err != nil {
		if wrapped := end(false, err); wrapped != nil {
			err = wrapped
		}
		return nil, err
	}
	return s, nil
}

// release takes the call off c, learns from its outcome and returns the error
// for the caller. sent means that a transport took the call.
func (p *Pool) release(ctx context.Context, c *conn, sent bool, err error) error {
	code := status.Code(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Calls++
	if err != nil {
		p.stats.Failures++
	}
	c.inFlight--
	p.inFlight--
	switch {
	case !sent && code == codes.Unavailable:
		c.lastErr = errors.New(status.Convert(err).Message())
		p.stats.LastError = c.endpoint.target + ": " + c.lastErr.Error()
		err = &NoConnectionError{Endpoint: c.endpoint.target, Err: c.lastErr, code: code}
	case !sent && code == codes.DeadlineExceeded: // it was lost between the choice and the call
		err = &NoConnectionError{Endpoint: c.endpoint.target, Err: err, code: code}
	case timedOut(ctx, code):
		c.deadlines++
		if c.endpoint.hangs > 0 {
			c.endpoint.hang()
		}
	case code != codes.Canceled && code != codes.Unavailable:
		c.deadlines, c.endpoint.hangs = 0, 0
	}
	c.endpoint.trial = false
	if c.deadlines >= p.cfg.HangAfter && !c.draining {
		if len(p.endpoints) > 1 && c.endpoint.hangs == 0 {
			c.endpoint.hang()
		}
		p.drain(c, &p.stats.Removed.Hung)
	}
	if c.draining && c.inFlight == 0 {
		p.shut(c)
	}
	if p.closed && p.inFlight == 0 {
		close(p.idle)
	}
	p.dispatch()
	return err
}

// timedOut tells a call without an answer. A server that keeps the deadline too
// may reset the stream a moment before ctx ends here, which grpc reports as
// DEADLINE_EXCEEDED or CANCELLED.
func timedOut(ctx context.Context, code codes.Code) bool {
	d, ok := ctx.Deadline()
	return ok && time.Until(d) < 50*time.Millisecond && ctx.Err() != context.Canceled &&
		(code == codes.DeadlineExceeded || code == codes.Canceled)
}

// open adds a connection to e. It needs mu. It is nil only if grpc refuses
// what it took in New.
func (p *Pool) open(e *endpoint) *conn {
	cc, err := grpc.NewClient(e.target, p.opts...)
	if err != nil {
		p.stats.LastError = e.target + ": " + err.Error()
		return nil
	}
	c := &conn{cc: cc, endpoint: e, opened: time.Now(), needed: time.Now(), kick: make(chan struct{}, 1)}
	if p.cfg.MaxAge > 0 {
		c.maxAge = time.Duration((0.9 + 0.2*rand.Float64()) * float64(p.cfg.MaxAge))
	}
	c.ctx, c.cancel = context.WithCancel(p.ctx)
	e.conns++
	p.conns = append(p.conns, c)
	p.stats.Dials++
	p.wg.Add(1)
	go p.watch(c) // ends with c.ctx; waited for by Close
	return c
}

// Close refuses new calls, waits for those in flight until ctx ends, and
// closes every connection. Its error says how many calls were cut off.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.wg.Wait()
		return nil
	}
	p.closed = true
	for _, w := range p.waiters {
		close(w.got)
	}
	p.waiters = nil
	if p.inFlight == 0 {
		close(p.idle)
	}
	p.mu.Unlock()

	var err error
	select {
	case <-p.idle:
	case <-ctx.Done():
	}
	p.mu.Lock()
	if p.inFlight > 0 {
		err = fmt.Errorf("pool: closed with %d calls in flight: %w", p.inFlight, ctx.Err())
	}
	for _, c := range p.conns {
		c.draining = true
		p.shut(c)
	}
	for c := range p.draining {
		p.shut(c)
	}
	p.conns = nil
	p.mu.Unlock()
	p.stop()
	p.wg.Wait()
	return err
}
