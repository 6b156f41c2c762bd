package pool

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrClosed is returned by calls made after Close.
var ErrClosed = errors.New("pool: closed")

// NoConnectionError means that the call never left: no endpoint could be
// reached. It is a gRPC status too (status.FromError finds it).
type NoConnectionError struct {
	// Endpoint is the last one tried.
	Endpoint string
	// Err is why connecting failed the last time, or that it is still tried.
	Err error

	code codes.Code
}

func (e *NoConnectionError) Error() string {
	return fmt.Sprintf("no connection to %s: %v", e.Endpoint, e.Err)
}

func (e *NoConnectionError) Unwrap() error { return e.Err }

// GRPCStatus is UNAVAILABLE, or that of the context when it ended the wait.
func (e *NoConnectionError) GRPCStatus() *status.Status { return status.New(e.code, e.Error()) }

// BusyError means that the call never left: every connection carried as many
// calls as it may until the wait was over.
type BusyError struct {
	Waited      time.Duration
	Connections int
	MaxInFlight int
	// Err is the end of the context, or nil when WaitTimeout passed.
	Err error

	code codes.Code
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("waited %s for one of %d connections, each with %d calls in flight: raise max_connections or max_in_flight, or send less at once",
		e.Waited.Round(time.Millisecond), e.Connections, e.MaxInFlight)
}

func (e *BusyError) Unwrap() error { return e.Err }

// GRPCStatus is RESOURCE_EXHAUSTED, or that of the context when it ended the
// wait.
func (e *BusyError) GRPCStatus() *status.Status { return status.New(e.code, e.Error()) }
