package harness

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a TCP connection that the test can cut, refuse and slow down.
type Proxy struct {
	Addr string

	t      testing.TB
	target string
	listen net.Listener
	wg     sync.WaitGroup

	mu     sync.Mutex // guards everything below
	refuse bool
	rate   int // bytes a second of each direction of each connection; 0: no limit
	conns  map[net.Conn]struct{}
}

// NewProxy forwards to the target until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{Addr: FreeAddr(t), t: t, target: target, conns: map[net.Conn]struct{}{}}
	var err error
	if p.listen, err = net.Listen("tcp", p.Addr); err != nil {
		t.Fatal(err)
	}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		p.listen.Close()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Cut resets every connection and refuses new ones until Mend.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = true
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0) // a reset, not an orderly end; the close below tells if it is gone
		}
		c.Close()
	}
}

// Mend takes connections again.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = false
}

// Slow limits each direction of each connection; 0 is no limit.
func (p *Proxy) Slow(bytesPerSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = bytesPerSecond
}

func (p *Proxy) accept() {
	for {
		in, err := p.listen.Accept()
		if err != nil {
			return // closed at the end of the test
		}
		out, err := net.DialTimeout("tcp", p.target, 5*time.Second)
		if err != nil || !p.adopt(in, out) {
			in.Close()
			if out != nil {
				out.Close()
			}
			continue
		}
		p.wg.Go(func() { p.copy(in, out) })
		p.wg.Go(func() { p.copy(out, in) })
	}
}

func (p *Proxy) adopt(in, out net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse {
		return false
	}
	p.conns[in], p.conns[out] = struct{}{}, struct{}{}
	return true
}

// copy moves bytes until either end closes, then closes both.
func (p *Proxy) copy(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.mu.Lock()
			rate := p.rate
			p.mu.Unlock()
			if rate > 0 {
				time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
			}
			if _, werr := to.Write(buf[:n]); err == nil {
				err = werr
			}
		}
		if err != nil {
			if err != io.EOF && !errors.Is(err, net.ErrClosed) { // closed by Cut, or by the other direction
				p.t.Logf("proxy to %s: %v", p.target, err)
			}
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []net.Conn{to, from} {
		delete(p.conns, c)
		c.Close()
	}
}
