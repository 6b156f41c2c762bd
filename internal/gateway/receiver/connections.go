package receiver

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// capped is a listener that has at most limit connections open, and at most each
// of one address, unless that is 0. A further one is closed at once, so that its
// client tries again, by a balancer elsewhere, instead of waiting without an
// answer.
type capped struct {
	net.Listener
	limit, each int64
	open        atomic.Int64
	refused     func(why string) // counts a connection that was closed

	mu     sync.Mutex
	byAddr map[netip.Addr]int64 // mu; open ones, nothing while each is 0
}

// Why a connection was closed.
const (
	overAll  = "max_connections"
	overEach = "max_connections_per_ip"
)

func (l *capped) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := source(c.RemoteAddr())
		why := l.enter(from)
		if why == "" {
			return &cappedConn{Conn: c, leave: func() { l.leave(from) }}, nil
		}
		l.refused(why)
		if err := c.Close(); err != nil {
			continue // it was gone already
		}
	}
}

// enter counts a connection, or says which limit is against it.
func (l *capped) enter(from netip.Addr) (why string) {
	if l.open.Add(1) > l.limit {
		l.open.Add(-1)
		return overAll
	}
	if l.each == 0 {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byAddr[from] >= l.each {
		l.open.Add(-1)
		return overEach
	}
	if l.byAddr == nil {
		l.byAddr = map[netip.Addr]int64{}
	}
	l.byAddr[from]++
	return ""
}

func (l *capped) leave(from netip.Addr) {
	l.open.Add(-1)
	if l.each == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byAddr[from]--; l.byAddr[from] == 0 {
		delete(l.byAddr, from)
	}
}

// source is whom a connection counts for: its address, of IPv6 the network of
// 64 bits, which is what one customer has.
func source(a net.Addr) netip.Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip
	}
	p, err := ip.Prefix(64)
	if err != nil { // no address at all
		return netip.Addr{}
	}
	return p.Addr()
}

type cappedConn struct {
	net.Conn
	leave func()
	once  sync.Once
}

func (c *cappedConn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}
