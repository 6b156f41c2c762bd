// Package otlphttp delivers to an OTLP/HTTP server, in protobuf.
//
//   - A request is delivered once the server answered 2xx. Everything else is
//     an *exporter.Error, judged by the table of the specification.
//   - A 2xx whose body cannot be read is a delivery with a warning in its
//     Result: the server took the request, and sending it again would double
//     it. The exception is a page of HTML, which no OTLP server sends: a login
//     page or the wrong address, and so a failure to retry ("not_otlp").
//   - A request that the queue holds in the compression of the wire is sent as
//     it is: compressed once, by the gateway. Any other is compressed anew.
//   - Several endpoints share the load. A request that found no connection to one
//     goes to the next at once; it fails when none can be reached.
//   - No byte of a request is read after Export returned.
//   - Values of headers are in no error, not even where the server repeats them.
//   - Redirects are not followed: a POST that moves is a mistake to be mended.
//
// Where the server said nothing the Code is "no_connection", "timeout",
// "canceled" (the caller gave up), "no_credentials" (no token), "too_large"
// (never sent, over MaxRequestBytes) or "undecodable" (what the queue held).
package otlphttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Exporter delivers to one destination.
type Exporter struct {
	cfg       Config
	balancer  *balancer
	headers   outgoing.Headers
	bodies    *outgoing.Bodies
	transport *http.Transport

	// mu is held for reading by every Export, so that Close waits for them.
	mu     sync.RWMutex
	closed bool
}

var _ exporter.Exporter = (*Exporter)(nil)

// New connects nowhere yet.
func New(cfg Config) (*Exporter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	x := &Exporter{cfg: cfg}
	var err error
	if x.balancer, err = newBalancer(cfg.Endpoints); err != nil {
		return nil, fmt.Errorf("destination %q: %w", cfg.Name, err)
	}
	if x.headers, err = outgoing.NewHeaders(cfg.Headers); err != nil {
		return nil, err
	}
	if x.bodies, err = outgoing.NewBodies(cfg.Compression, cfg.CompressionLevel, cfg.MaxRequestBytes); err != nil {
		return nil, err
	}
	x.transport = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     cfg.TLS.Clone(),
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		// A peer that vanished is found by a ping, not by every request's
		// deadline.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second},
		MaxConnsPerHost:        cfg.MaxConnections,
		MaxIdleConnsPerHost:    cfg.MaxConnections,
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        64 << 10,
		DisableCompression:     true, // answers are decompressed within their limit
	}
	return x, nil
}

// Export delivers one request; see exporter.Exporter.
func (x *Exporter) Export(ctx context.Context, r *exporter.Request) (exporter.Result, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return exporter.Result{}, x.retry("no_connection", errors.New("the exporter is closed"))
	}
	body, err := x.bodies.Of(r)
	if err != nil {
		return exporter.Result{}, err
	}
	defer body.Release()
	src := source{data: body.Data}
	defer src.detach() // before the release: the transport may read on

	ctx, cancel := context.WithTimeout(ctx, x.cfg.Timeout)
	defer cancel()
	c := call{started: time.Now()}
	if x.cfg.Authorization != nil {
		if c.authorization, err = x.cfg.Authorization(ctx); err != nil {
			return exporter.Result{}, x.retry("no_credentials", fmt.Errorf("authorization: %w", err))
		}
	}
	var tried []*endpoint
	for {
		to, ok := x.balancer.take(tried)
		if !ok {
			return exporter.Result{}, x.unanswered(ctx, &c, err)
		}
		c.url = to.urls[r.Signal]
		var resp *http.Response
		resp, err = x.transport.RoundTrip(x.request(ctx, r, &c, &src))
		x.balancer.done(to, c.outcome(ctx, err))
		if err == nil {
			defer resp.Body.Close()
			return x.judge(&c, resp)
		}
		if ctx.Err() != nil || c.connected() {
			return exporter.Result{}, x.unanswered(ctx, &c, err)
		}
		tried = append(tried, to.endpoint)
	}
}

func (x *Exporter) request(ctx context.Context, r *exporter.Request, c *call, src *source) *http.Request {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: c.gotConn})
	req := (&http.Request{
		Method: http.MethodPost, URL: c.url, Host: c.url.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        make(http.Header, 8),
		Body:          src.reader(),
		GetBody:       src.again,
		ContentLength: int64(len(src.data)),
	}).WithContext(ctx)
	if len(src.data) == 0 {
		req.Body, req.GetBody = http.NoBody, nil
	}
	h := req.Header
	x.headers.All(h.Add)
	h.Set("Content-Type", "application/x-protobuf")
	h.Set("User-Agent", x.cfg.UserAgent)
	if x.cfg.Compression != codec.None && len(src.data) > 0 {
		h.Set("Content-Encoding", x.cfg.Compression)
	}
	for _, o := range r.Header {
		h.Set(o.Name, o.Value)
	}
	if x.cfg.TenantHeader != "" && r.Tenant != "" {
		h.Set(x.cfg.TenantHeader, r.Tenant)
	}
	if c.authorization != "" {
		h.Set("Authorization", c.authorization)
	}
	return req
}

// Close waits for the exports that run, which their timeout bounds, and closes
// the connections.
func (x *Exporter) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	x.transport.CloseIdleConnections()
	return nil
}
