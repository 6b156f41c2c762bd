package otlphttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
)

const (
	// maxResponse is the limit that the specification recommends to clients,
	// before and after decompression (OTLP 1.11, "Size limits").
	maxResponse = 4 << 20
	// maxErrorBody is how much of a refusal is read for its message.
	maxErrorBody = 64 << 10
)

// call is what is known of one call beside its outcome.
type call struct {
	started       time.Time
	url           *url.URL
	authorization string
	peer          atomic.Pointer[net.Addr] // nil: no connection was had
}

// gotConn is called by the transport, possibly late.
func (c *call) gotConn(i httptrace.GotConnInfo) {
	addr := i.Conn.RemoteAddr()
	c.peer.Store(&addr)
}

// to is the URL without its query, which may hold a key.
func (c *call) to() string { return c.url.Scheme + "://" + c.url.Host + c.url.Path }

func (c *call) connected() bool { return c.peer.Load() != nil }

// outcome of a round trip with that error, for the balancer.
func (c *call) outcome(ctx context.Context, err error) outcome {
	switch {
	case err == nil:
		return answered
	case errors.Is(ctx.Err(), context.Canceled):
		return untold
	case ctx.Err() != nil:
		return silent
	}
	return unreachable
}

func (c *call) waited() time.Duration { return time.Since(c.started).Round(time.Millisecond) }

func (x *Exporter) retry(code string, err error) *exporter.Error {
	return &exporter.Error{Kind: exporter.Retryable, Code: code, Err: fmt.Errorf("destination %q: %w", x.cfg.Name, err)}
}

// unanswered makes the error of a call without a response (OTLP 1.11, "OTLP/HTTP
// Connection": connect and send again, with back-off).
func (x *Exporter) unanswered(ctx context.Context, c *call, err error) *exporter.Error {
	connected := c.connected()
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return x.retry("canceled", fmt.Errorf("given up by the caller after %s", c.waited()))
	case ctx.Err() != nil && connected:
		return x.retry("timeout", fmt.Errorf("no answer from %s within %s", c.to(), c.waited()))
	case ctx.Err() != nil:
		return x.retry("no_connection", fmt.Errorf("no connection to %s within %s: it does not answer, or all %d are busy (max_connections)", c.to(), c.waited(), x.cfg.MaxConnections))
	case connected:
		return x.retry("no_connection", fmt.Errorf("connection to %s lost before an answer: %w", c.to(), err))
	}
	others := ""
	if n := len(x.cfg.Endpoints); n > 1 {
		others = fmt.Sprintf(", the last of %d endpoints of which none can be reached", n)
	}
	return x.retry("no_connection", fmt.Errorf("no connection to %s%s: %w", c.to(), others, err))
}

// judge reads the response.
func (x *Exporter) judge(c *call, resp *http.Response) (exporter.Result, error) {
	switch verdict, after := otlp.JudgeHTTP(resp.StatusCode, resp.Header, time.Now()); verdict {
	case otlp.Delivered:
		return x.delivered(c, resp)
	case otlp.Retry:
		return exporter.Result{}, x.refused(c, resp, exporter.Retryable, after)
	case otlp.TooLarge:
		return exporter.Result{}, x.refused(c, resp, exporter.TooLarge, 0)
	default:
		return exporter.Result{}, x.refused(c, resp, exporter.Permanent, 0)
	}
}

func (x *Exporter) delivered(c *call, resp *http.Response) (exporter.Result, error) {
	warn := func(err error) (exporter.Result, error) {
		return exporter.Result{Message: x.headers.Message(fmt.Sprintf("delivered, but the answer cannot be read: %v", err), c.authorization)}, nil
	}
	b, err := readBody(resp, maxResponse)
	switch {
	case errors.Is(err, codec.ErrTooLarge):
		return exporter.Result{}, &exporter.Error{Kind: exporter.Permanent, Code: "bad_response",
			Err: fmt.Errorf("destination %q: %s answered %s with more than %d bytes", x.cfg.Name, c.to(), resp.Status, maxResponse)}
	case err != nil:
		return warn(err)
	}
	kind := mediaType(resp)
	if kind == "text/html" && bytes.HasPrefix(bytes.TrimSpace(b), []byte("<")) {
		return exporter.Result{}, x.retry("not_otlp", fmt.Errorf("%s answered %s with a page of HTML: no OTLP server, check the address", c.to(), resp.Status))
	}
	parse := otlp.ParseResponse
	if kind == "application/json" {
		parse = otlp.ParseResponseJSON
	}
	rejected, message, err := parse(b)
	if err != nil {
		return warn(err)
	}
	return exporter.Result{Rejected: rejected, Message: x.headers.Message(message, c.authorization)}, nil
}

// refused makes the error of a response that is no success.
func (x *Exporter) refused(c *call, resp *http.Response, kind exporter.Kind, after time.Duration) *exporter.Error {
	says := x.headers.Message(statusMessage(resp), c.authorization)
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode/100 == 3 {
		says = "redirects are not followed, this one goes to " + x.headers.Message(withoutQuery(to), c.authorization)
	}
	if says != "" {
		says = ": " + says
	}
	return &exporter.Error{Kind: kind, Code: fmt.Sprintf("HTTP %d", resp.StatusCode), After: after,
		Err: fmt.Errorf("destination %q: %s answered %s%s", x.cfg.Name, c.to(), x.headers.Message(resp.Status, c.authorization), says)}
}

func withoutQuery(u string) string {
	u, _, _ = strings.Cut(u, "?")
	return u
}

// statusMessage is the message of the google.rpc.Status in the body, or the
// text that some servers send in its place; "" when there is neither.
func statusMessage(resp *http.Response) string {
	b, err := readBody(resp, maxErrorBody)
	if err != nil && len(b) == 0 {
		return ""
	}
	switch mediaType(resp) {
	case "application/x-protobuf":
		var s spb.Status
		if proto.Unmarshal(b, &s) == nil {
			return s.GetMessage()
		}
	case "application/json":
		var s struct{ Message string }
		if json.Unmarshal(b, &s) == nil && s.Message != "" {
			return s.Message
		}
		return strings.TrimSpace(string(b))
	case "text/plain":
		return strings.TrimSpace(string(b))
	}
	return ""
}

// readBody reads at most limit bytes, also after decompression. With an error
// it returns what it has.
func readBody(resp *http.Response, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err == nil && len(b) > limit {
		return b[:limit], fmt.Errorf("%w: limit %d bytes", codec.ErrTooLarge, limit)
	}
	if err != nil {
		return b, err
	}
	encoding := resp.Header.Get("Content-Encoding")
	if encoding == "" || len(b) == 0 {
		return b, nil
	}
	return codec.Decode(nil, encoding, b, limit)
}

func mediaType(resp *http.Response) string {
	m, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return m
}
