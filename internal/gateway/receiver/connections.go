package receiver

import (
	"net"
	"sync"
	"sync/atomic"
)

// capped is a listener that has at most limit connections open. A further one is
// closed at once, so that its client tries again, by a balancer elsewhere,
// instead of waiting without an answer.
type capped struct {
	net.Listener
	limit   int64
	open    atomic.Int64
	refused func() // counts a connection that was closed
}

func (l *capped) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.limit {
			return &cappedConn{Conn: c, open: &l.open}, nil
		}
		l.open.Add(-1)
		l.refused()
		if err := c.Close(); err != nil {
			continue // it was gone already
		}
	}
}

type cappedConn struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *cappedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}
