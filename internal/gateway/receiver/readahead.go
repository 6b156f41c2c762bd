package receiver

import (
	"net"
	"sync"
)

// readAhead is how much is read from a socket at once.
const readAhead = 64 << 10

var readBuffers = sync.Pool{New: func() any { return new([readAhead]byte) }}

// readAheads is a listener whose connections read ahead into buffers that they
// share: one has a buffer from when there is something to read until it is
// taken. gRPC would keep one for each connection, and 5,000 that say nothing
// would hold 320 MB.
type readAheads struct{ net.Listener }

func (l readAheads) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newReadAhead(c), nil
}

// readAheadConn is read by one goroutine at a time, as gRPC does.
type readAheadConn struct {
	net.Conn
	wait   waiter
	buffer *[readAhead]byte // nil: nothing is left
	rest   []byte           // of buffer
}

// Read takes what is left of the buffer first.
func (c *readAheadConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if len(p) >= readAhead {
			return c.Conn.Read(p)
		}
		n, err := c.fill()
		if n <= 0 || err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		readBuffers.Put(c.buffer)
		c.buffer, c.rest = nil, nil
	}
	return n, nil
}
