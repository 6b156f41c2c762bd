package receiver

import (
	"net"
	"sync"

	"github.com/penstock-otel/penstock/internal/copies"
)

// readAhead is how much is read from a socket at once.
const readAhead = 64 << 10

// keepReads is how many buffers of a socket wait for their next use: 4 MiB.
const keepReads = 64

// readBuffers is a free list, last in, first out. A sync.Pool would be emptied by
// each collection: with a thousand busy connections that was a third of all that the
// process allocated.
var readBuffers = readBufferList{}

type readBufferList struct {
	mu   sync.Mutex
	free []*[readAhead]byte // mu
}

func (l *readBufferList) get() *[readAhead]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.free) - 1
	if last < 0 {
		return new([readAhead]byte)
	}
	b := l.free[last]
	l.free[last] = nil
	l.free = l.free[:last]
	return b
}

func (l *readBufferList) put(b *[readAhead]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) < keepReads {
		l.free = append(l.free, b)
	}
}

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
	copies.Count(copies.ReadAhead, n)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		readBuffers.put(c.buffer)
		c.buffer, c.rest = nil, nil
	}
	return n, nil
}
