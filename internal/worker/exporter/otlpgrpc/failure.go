package otlpgrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/pool"
)

// failure makes the error of a call that did not succeed.
func (x *Exporter) failure(ctx context.Context, c *call, err error) *exporter.Error {
	st := status.Convert(err)
	retry := func(code string, err error) *exporter.Error {
		return &exporter.Error{Kind: exporter.Retryable, Code: code, Err: fmt.Errorf("destination %q: %w", x.cfg.Name, err)}
	}
	var down *pool.NoConnectionError
	var busy *pool.BusyError
	switch deadline, _ := ctx.Deadline(); {
	case errors.Is(ctx.Err(), context.Canceled):
		return retry("canceled", fmt.Errorf("given up by the caller after %s", c.waited()))
	case errors.As(err, &down):
		return retry("no_connection", fmt.Errorf("%w%s", err, x.remedy(err.Error())))
	case errors.Is(err, pool.ErrClosed):
		return retry("no_connection", err)
	case errors.As(err, &busy):
		return retry("busy", err)
	case (st.Code() == codes.DeadlineExceeded || st.Code() == codes.Canceled) && time.Until(deadline) < 50*time.Millisecond:
		// A server that keeps the deadline too answers, or resets the stream,
		// a moment before it runs out here.
		return retry("timeout", fmt.Errorf("no answer from %s within %s", c.from(), c.waited()))
	case c.answered():
	case st.Code() == codes.Unavailable && !fromHTTP(st):
		return retry("no_connection", fmt.Errorf("connection to %s lost before an answer: %s", c.from(), x.message(c, st)))
	case strings.Contains(st.Message(), "RST_STREAM"):
		// The code is derived from that of HTTP/2 and says nothing of the
		// request: nobody looked at it, or nobody lived to tell.
		return retry(codeName(st.Code()), fmt.Errorf("stream reset by %s before an answer: %s", c.from(), x.message(c, st)))
	}
	if c.header.Len() > 0 && c.trailer.Len() == 0 && st.Code() == codes.ResourceExhausted && strings.HasPrefix(st.Message(), "grpc: received message") {
		return x.responseTooLarge(errors.New(st.Message()))
	}
	kind, after := judge(st)
	return &exporter.Error{Kind: kind, Code: codeName(st.Code()), After: after,
		Err: fmt.Errorf("destination %q: %s answered: %s", x.cfg.Name, c.from(), x.message(c, st))}
}

// remedy is what to change where one side speaks TLS and the other does not, ""
// where the reason is another. gRPC gives the reason as text. That a server ends
// a connection at its first bytes is what TLS servers do, but not they alone.
func (x *Exporter) remedy(reason string) string {
	switch {
	case x.cfg.TLS != nil && strings.Contains(reason, "first record does not look like a TLS handshake"):
		return "; the server speaks plain text: set tls: {insecure: true}"
	case x.cfg.TLS == nil && strings.Contains(reason, "error reading server preface") &&
		(strings.HasSuffix(reason, `EOF"`) || strings.HasSuffix(reason, `connection reset by peer"`)):
		return "; if the server speaks TLS, remove insecure from tls"
	}
	return ""
}

func judge(st *status.Status) (exporter.Kind, time.Duration) {
	switch v, after := otlp.JudgeGRPC(st); v {
	case otlp.Retry:
		return exporter.Retryable, after
	case otlp.TooLarge:
		return exporter.TooLarge, 0
	default:
		return exporter.Permanent, 0
	}
}

// responseTooLarge: the server took the request and its answer is over the
// limit, which the specification calls not retryable.
func (x *Exporter) responseTooLarge(err error) *exporter.Error {
	return &exporter.Error{Kind: exporter.Permanent, Code: "bad_response",
		Err: fmt.Errorf("destination %q: answer of more than %d bytes: %w", x.cfg.Name, maxResponse, err)}
}

func (x *Exporter) message(c *call, st *status.Status) string {
	return x.headers.Message(st.Message(), c.authorization)
}

// answered: a response has at least a content-type, in its headers or, without
// a message, in its trailers.
func (c *call) answered() bool { return c.header.Len()+c.trailer.Len() > 0 }

func (c *call) waited() time.Duration { return time.Since(c.started).Round(time.Millisecond) }

func (c *call) from() string {
	if c.peer.Addr == nil {
		return "the server"
	}
	return c.peer.Addr.String()
}

// fromHTTP: something that speaks HTTP and not gRPC, such as a balancer,
// answered.
func fromHTTP(st *status.Status) bool {
	return strings.Contains(st.Message(), "HTTP status code")
}

func grpcTooLarge(err error) bool { return errors.Is(err, codec.ErrTooLarge) }

// codeName is the name of a code in the gRPC specification. A code that is not
// of it is the server's own number, any of 2^31: names are metric labels, so
// that all of these are one.
func codeName(c codes.Code) string {
	if uint64(c) < uint64(len(codeNames)) {
		return codeNames[c]
	}
	return "CODE_OTHER"
}

var codeNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}
