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
type gate struct {
	net.Listener
	inUse    func() int64
	limit    int64
	patience time.Duration
	relieve  func()
	waited   func() // counts a read that had to wait
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
}

// Read waits while the gate is shut.
func (c *gatedConn) Read(p []byte) (int, error) {
	if c.gate.shut() {
		if err := c.wait(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}

// Close ends a waiting Read too.
func (c *gatedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *gatedConn) wait() error {
	c.gate.waited()
	tick := time.NewTicker(gatePoll)
	defer tick.Stop()
	impatient := time.NewTicker(c.gate.patience)
	defer impatient.Stop()
	for {
		select {
		case <-c.closed:
			return net.ErrClosed
		case <-impatient.C:
			c.gate.relieve()
		case <-tick.C:
		}
		if !c.gate.shut() {
			return nil
		}
	}
}
