//go:build !unix

package receiver

import "net"

type waiter = struct{}

// newReadAhead waits with its buffer: nothing here tells when there is something
// to read.
func newReadAhead(c net.Conn) net.Conn { return &readAheadConn{Conn: c} }

func (c *readAheadConn) fill() (int, error) {
	b := readBuffers.Get().(*[readAhead]byte)
	n, err := c.Conn.Read(b[:])
	if n > 0 {
		c.buffer, c.rest = b, b[:n]
		return n, nil
	}
	readBuffers.Put(b)
	return 0, err
}
