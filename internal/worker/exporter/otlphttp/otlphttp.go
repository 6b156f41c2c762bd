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
// "canceled" (the caller gave up), "no_token" (the credential gave none), "too_large"
// (never sent, over MaxRequestBytes) or "undecodable" (what the queue held).
package otlphttp

import (
	"context"
	"errors"
	"fmt"
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
	transport *transport

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
	x.transport = &transport{tls: cfg.TLS, most: cfg.MaxConnections}
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
	result, disbelieved, err := x.try(ctx, r, &src)
	if disbelieved != "" && x.cfg.Credential.Refused(disbelieved) {
		result, _, err = x.try(ctx, r, &src)
	}
	return result, err
}

// try sends the request once, to the first endpoint that can be reached.
// disbelieved is the authorization that the server did not believe, "" when that
// was not the matter.
func (x *Exporter) try(ctx context.Context, r *exporter.Request, src *source) (result exporter.Result, disbelieved string, err error) {
	c := call{started: time.Now()}
	if x.cfg.Credential != nil {
		if c.authorization, err = x.cfg.Credential.Authorization(ctx); err != nil {
			return result, "", x.retry("no_token", fmt.Errorf("no token to authenticate with: %w", err))
		}
	}
	var tried []*endpoint
	for {
		to, ok := x.balancer.take(tried)
		if !ok {
			return result, "", x.unanswered(ctx, &c, err)
		}
		c.url = to.urls[r.Signal]
		var resp *http.Response
		resp, err = x.transport.now().RoundTrip(x.request(ctx, r, &c, src))
		x.balancer.done(to, c.outcome(ctx, err))
		if err == nil {
			defer resp.Body.Close()
			if resp.StatusCode == http.StatusUnauthorized {
				disbelieved = c.authorization
			}
			result, err = x.judge(&c, resp)
			return result, disbelieved, err
		}
		if ctx.Err() != nil || c.connected() {
			return result, "", x.unanswered(ctx, &c, err)
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
		h.Set(x.cfg.TenantHeader, outgoing.TenantValue(r.Tenant))
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
	x.transport.close()
	if x.cfg.Credential != nil {
		x.cfg.Credential.Close()
	}
	return nil
}

// PrepareHeaders makes ready for other headers, which exports carry from apply on;
// see outgoing.Headers. Connections stay.
func (x *Exporter) PrepareHeaders(list []outgoing.Header) (apply func(), err error) {
	return x.headers.Prepare(list)
}
