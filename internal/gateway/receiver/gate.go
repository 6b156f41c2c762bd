package receiver

import (
	"net"
	"sync"
	"time"
)

// gatePoll is how often a shut gate is looked at.
const gatePoll = 10 * time.Millisecond

// gate is a listener whose connections are not read while the receive buffers
// are full. gRPC tells nobody the size of a message before it has received all
// of it; the pressure therefore goes to the peers by TCP. Should the budget be
// held by messages that never end, relieve is called when a connection has
// waited for patience, and again each patience.
//
// Before that, from crowded on, connections that hold more than heavy bytes of
// messages that have not ended take turns: one of them is read until its message
// has ended, for no longer than patience. All others do not notice.
type gate struct {
	net.Listener
	inUse    func() int64
	limit    int64
	crowd    func() int64 // bytes of all that is received, decoded or waits; more than inUse
	crowded  int64
	heavy    int64
	turn     chan struct{} // of capacity 1; full while a heavy connection has its turn
	patience time.Duration
	relieve  func()
	waited   func() // counts a read that had to wait
	abused   func() // counts a connection that was closed for calls that were given up
}

func (g *gate) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: c, gate: g, closed: make(chan struct{})}, nil
}

func (g *gate) shut() bool { return g.inUse() > g.limit }

type gatedConn struct {
	net.Conn
	gate   *gate
	once   sync.Once
	closed chan struct{}

	mu         sync.Mutex
	receiving  int       // mu; calls whose message is on the way
	unfinished int64     // mu; bytes that were read since the last time there was none
	turnUntil  time.Time // mu; zero: it does not have the turn
	givenUp    int       // mu; calls that ended before their message was there, less those that did not
}

// maxGivenUp is how many more calls of a connection may be given up by its client
// before their message was there than are not. Beyond it the connection is closed:
// each costs next to nothing to give up (CVE-2023-44487), and here the start of a
// call. A sound client connects anew.
const maxGivenUp = 1000

// gatedAddr leads from a call to its connection: gRPC has it as the peer.
type gatedAddr struct {
	net.Addr
	conn *gatedConn
}

// RemoteAddr is a gatedAddr.
func (c *gatedConn) RemoteAddr() net.Addr { return gatedAddr{c.Conn.RemoteAddr(), c} }

// begin is told that a call waits for its message; the returned function whether it
// has it, or never will.
func (a gatedAddr) begin() (ended func(arrived bool)) {
	c := a.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.receiving++; c.receiving == 1 {
		c.unfinished = 0
	}
	return func(arrived bool) {
		if c.ended(arrived) {
			c.gate.abused()
			_ = c.Close() // its peer may have been faster
		}
	}
}

// ended tells whether the peer has given up too much.
func (c *gatedConn) ended(arrived bool) (abused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.receiving--; c.receiving == 0 {
		c.unfinished = 0
		c.yield()
	}
	if arrived {
		c.givenUp = max(c.givenUp-1, 0)
		return false
	}
	c.givenUp++
	return c.givenUp == maxGivenUp+1
}

// yield gives up the turn, where c has it. mu is held.
func (c *gatedConn) yield() {
	if !c.turnUntil.IsZero() {
		c.turnUntil = time.Time{}
		<-c.gate.turn
	}
}

// Read waits while the gate is shut.
func (c *gatedConn) Read(p []byte) (int, error) {
	if c.gate.shut() || c.gate.crowd() > c.gate.crowded && c.heavy() {
		if err := c.wait(); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.unfinished += int64(n)
	c.mu.Unlock()
	return n, err
}

// heavy tells whether c has to have the turn, and does not.
func (c *gatedConn) heavy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.receiving == 0 || c.unfinished <= c.gate.heavy {
		return false
	}
	if c.turnUntil.IsZero() {
		return true
	}
	if time.Now().Before(c.turnUntil) {
		return false
	}
	c.yield()
	return true
}

// Close ends a waiting Read too.
func (c *gatedConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.yield()
	})
	return c.Conn.Close()
}

func (c *gatedConn) wait() error {
	c.gate.waited()
	tick := time.NewTicker(gatePoll)
	defer tick.Stop()
	impatient := time.NewTicker(c.gate.patience)
	defer impatient.Stop()
	for {
		turn := c.gate.turn
		if c.gate.shut() || !c.heavy() {
			turn = nil // it would not help, or is not needed
		}
		select {
		case <-c.closed:
			return net.ErrClosed
		case turn <- struct{}{}:
			if !c.take() {
				return net.ErrClosed
			}
		case <-impatient.C:
			c.gate.relieve()
		case <-tick.C:
		}
		if !c.gate.shut() && (c.gate.crowd() <= c.gate.crowded || !c.heavy()) {
			return nil
		}
	}
}

// take notes the turn that c got, unless c was closed meanwhile.
func (c *gatedConn) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turnUntil = time.Now().Add(c.gate.patience)
	select {
	case <-c.closed:
		c.yield()
		return false
	default:
		return true
	}
}
