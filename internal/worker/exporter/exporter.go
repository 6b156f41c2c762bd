// Package exporter is the contract between the worker and one destination. A
// destination kind is a package below this one; exportertest is the suite that
// each passes.
package exporter

import (
	"context"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Request is one export. All of it belongs to the caller; an exporter keeps no
// byte of it after Export returned.
type Request struct {
	Signal otlp.Signal
	Tenant string
	// ID is the queue's id of the group, the same on each attempt.
	ID       string
	Items    int
	RawBytes int
	// Codec names the compression of Body: "none", "s2", "gzip", "zstd", "br".
	Codec string
	// Body is an encoded Export*ServiceRequest, compressed with Codec. Its
	// checksum was verified.
	Body []byte
	// Header goes with this request alone, beside and before what the
	// destination is configured with: names and values of printable ASCII. A
	// destination that has no headers leaves it out.
	Header []Header
}

// Header is one header, over gRPC one entry of the metadata.
type Header struct{ Name, Value string }

// Result is what a destination said of a request that it took.
type Result struct {
	// Rejected and Message are the partial success; never retried.
	Rejected int64
	Message  string
}

// Exporter delivers to one destination. Safe for concurrent use.
type Exporter interface {
	// Export delivers the request and returns when the destination confirmed
	// it. A failure is an *Error.
	Export(ctx context.Context, r *Request) (Result, error)
	// Close ends connections once no Export is running.
	Close() error
}

// Kind says what may be done after a failed export.
type Kind uint8

// A failure is retryable, or permanent for this request; TooLarge is permanent
// for the request as it is and curable by splitting.
const (
	Retryable Kind = iota
	Permanent
	TooLarge
)

func (k Kind) String() string { return [...]string{"retryable", "permanent", "too_large"}[k] }

// Error is a failed export.
type Error struct {
	Kind Kind
	// Code is the destination's word: "UNAVAILABLE", "HTTP 503", or
	// "no_connection", "timeout", "undecodable" where it said nothing.
	Code string
	// After is the wait the destination asked for; 0 when it asked for none.
	After time.Duration
	Err   error
}

func (e *Error) Error() string {
	if e.After > 0 {
		return fmt.Sprintf("%s (%s, retry after %s): %v", e.Code, e.Kind, e.After, e.Err)
	}
	return fmt.Sprintf("%s (%s): %v", e.Code, e.Kind, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }
