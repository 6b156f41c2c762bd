package jetstream

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// op is one operation of the NATS protocol, with its payload if it has one.
type op struct {
	line    string // without CRLF
	payload []byte // with CRLF
}

func (o op) verb() string { v, _, _ := strings.Cut(o.line, " "); return strings.ToUpper(v) }

// proxy stands between a queue and its server and looks at every operation.
type proxy struct {
	URL string

	mu    sync.Mutex
	see   func(p *proxy, c *conn, toServer bool, o op) bool // false: swallow it
	conns map[*conn]struct{}
}

type conn struct {
	client, server net.Conn
	wmu            sync.Mutex // guards writes to client
}

func newProxy(t *testing.T, target string, see func(p *proxy, c *conn, toServer bool, o op) bool) *proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{URL: "nats://" + l.Addr().String(), see: see, conns: map[*conn]struct{}{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", u.Host)
			if err != nil {
				_ = client.Close()
				continue
			}
			c := &conn{client: client, server: server}
			p.mu.Lock()
			p.conns[c] = struct{}{}
			p.mu.Unlock()
			wg.Go(func() { p.pump(c, true) })
			wg.Go(func() { p.pump(c, false) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		wg.Wait()
	})
	return p
}

// cut ends every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.close()
		delete(p.conns, c)
	}
}

func (c *conn) close() { _ = c.client.Close(); _ = c.server.Close() }

// toClient sends an operation that the server did not say.
func (c *conn) toClient(s string) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_, _ = io.WriteString(c.client, s)
}

func (p *proxy) pump(c *conn, toServer bool) {
	defer c.close()
	from, to := c.server, c.client
	if toServer {
		from, to = c.client, c.server
	}
	r := bufio.NewReaderSize(from, 64<<10)
	for {
		o, err := readOp(r)
		if err != nil {
			return
		}
		p.mu.Lock()
		pass := p.see(p, c, toServer, o)
		p.mu.Unlock()
		if !pass {
			continue
		}
		out := append([]byte(o.line+"\r\n"), o.payload...)
		if !toServer {
			c.wmu.Lock()
		}
		_, err = to.Write(out)
		if !toServer {
			c.wmu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func readOp(r *bufio.Reader) (op, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return op{}, err
	}
	o := op{line: strings.TrimRight(line, "\r\n")}
	switch o.verb() {
	case "PUB", "HPUB", "MSG", "HMSG":
		f := strings.Fields(o.line)
		n, err := strconv.Atoi(f[len(f)-1])
		if err != nil {
			return op{}, fmt.Errorf("line %q: %w", o.line, err)
		}
		o.payload = make([]byte, n+2)
		if _, err := io.ReadFull(r, o.payload); err != nil {
			return op{}, err
		}
	}
	return o, nil
}
