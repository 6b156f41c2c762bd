//go:build unix

package receiver

import (
	"io"
	"net"
	"os"
	"syscall"
)

// waiter waits for a socket to be readable.
type waiter = syscall.RawConn

// newReadAhead is c itself where it is no socket.
func newReadAhead(c net.Conn) net.Conn {
	s, ok := c.(syscall.Conn)
	if !ok {
		return c
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return c
	}
	return &readAheadConn{Conn: c, wait: raw}
}

// fill waits until there is something, and takes a buffer only then.
func (c *readAheadConn) fill() (n int, err error) {
	var failed error
	err = c.wait.Read(func(fd uintptr) bool {
		b := readBuffers.get()
		for {
			n, failed = syscall.Read(int(fd), b[:])
			if failed != syscall.EINTR {
				break
			}
		}
		if n > 0 {
			c.buffer, c.rest = b, b[:n]
			return true
		}
		readBuffers.put(b)
		return failed != syscall.EAGAIN
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", failed)}
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
