package otlphttp

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxRetired bounds the transports that Close still looks after; an older one has
// closed its connections by itself long ago.
const maxRetired = 4

// transport makes connections with the TLS configuration of now: when it changes,
// new requests go over new connections, and those under way end on theirs.
type transport struct {
	tls  func() *tls.Config // nil: the system's certificates
	most int                // connections to one host

	mu      sync.Mutex // guards everything below
	current *http.Transport
	made    *tls.Config // what current was made with
	retired []*http.Transport
}

// now is what the next request goes over.
func (t *transport) now() *http.Transport {
	var c *tls.Config
	if t.tls != nil {
		c = t.tls()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil && t.made == c {
		return t.current
	}
	if t.current != nil {
		t.current.CloseIdleConnections()
		if t.retired = append(t.retired, t.current); len(t.retired) > maxRetired {
			t.retired = t.retired[1:]
		}
	}
	t.made = c
	t.current = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     c.Clone(),
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		// A peer that vanished is found by a ping, not by every request's
		// deadline.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second},
		MaxConnsPerHost:        t.most,
		MaxIdleConnsPerHost:    t.most,
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        64 << 10,
		DisableCompression:     true, // answers are decompressed within their limit
	}
	return t.current
}

// close ends the connections; no request is under way.
func (t *transport) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil {
		t.retired = append(t.retired, t.current)
	}
	for _, r := range t.retired {
		r.CloseIdleConnections()
	}
	t.current, t.retired = nil, nil
}
