package receiver

import (
	"errors"
	"net"
	"time"
)

// errPressure ends a connection that had to wait for memory too long.
var errPressure = errors.New("connection closed: the buffers of half-received requests are at gateway.limits.max_in_flight_bytes and did not drain")

// gate is a listener whose connections are not read while the receive buffers
// are full. gRPC tells nobody the size of a message before it has received all
// of it; the pressure therefore goes to the peers by TCP. Should the budget be
// held by messages that never end, connections that wait longer than patience
// are closed, which frees theirs.
type gate struct {
	net.Listener
	inUse    func() int64
	limit    int64
	patience time.Duration
	closed   func() // counts a connection closed for pressure
}

func (g *gate) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: c, gate: g}, nil
}

type gatedConn struct {
	net.Conn
	gate *gate
}

// Read waits while the gate is shut.
func (c *gatedConn) Read(p []byte) (int, error) {
	if g := c.gate; g.inUse() > g.limit {
		for end := time.Now().Add(g.patience); g.inUse() > g.limit; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				g.closed()
				return 0, errPressure
			}
		}
	}
	return c.Conn.Read(p)
}
