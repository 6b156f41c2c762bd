package receiver

import (
	"net"
	"sync"
	"time"
)

// handshakes is a listener that knows which of its connections have not become
// HTTP/2 yet. A graceful stop of gRPC waits for them, for as long as a handshake
// may take, so that clients which connect and say nothing would use up the time
// to stop; stop closes them. None has a call that could be lost.
type handshakes struct {
	net.Listener

	mu    sync.Mutex
	young map[*youngConn]struct{} // mu
	ended bool                    // mu; stop was called
}

func (l *handshakes) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	y := &youngConn{Conn: c, of: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return y, c.Close()
	}
	if l.young == nil {
		l.young = map[*youngConn]struct{}{}
	}
	l.young[y] = struct{}{}
	return y, nil
}

// stop closes what is in its handshake, and what comes after.
func (l *handshakes) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for y := range l.young {
		if err := y.Conn.Close(); err != nil {
			continue // its peer was faster
		}
	}
	l.young = nil
}

func (l *handshakes) grown(y *youngConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.young, y)
}

type youngConn struct {
	net.Conn
	of *handshakes
}

// SetDeadline without a time is what gRPC does when the handshake is over, be it
// with TLS or without.
func (y *youngConn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		y.of.grown(y)
	}
	return y.Conn.SetDeadline(t)
}

func (y *youngConn) Close() error {
	y.of.grown(y)
	return y.Conn.Close()
}
