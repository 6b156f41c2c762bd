package worker

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship"
	"github.com/penstock-otel/penstock/pkg/pool"
)

// word is what the answer to one request says of the destination, for its
// breaker.
type word uint8

const (
	alive   word = iota // it works, whatever it thinks of the request
	failing             // it does not work, or refuses whatever is sent
	unclear             // it answered, and that cannot be told
	unheard             // the request was not sent
)

// unsent codes are said here.
var unsent = []string{"busy", "canceled", "undecodable", "too_large"}

// hear tells what an error says; nil is a success. whole: the request was a
// message as it is, of which nothing was taken yet. holds: a refusal is waited
// out and not a death.
func hear(e *exporter.Error, bytes int, whole bool, onRefusal string) word {
	switch {
	case e == nil:
		return alive
	case slices.Contains(unsent, e.Code):
		return unheard
	case e.Kind == exporter.Retryable && e.After > 0: // it says when to come again
		return alive
	case e.Kind == exporter.Retryable:
		return failing
	case heldBack(e, bytes, onRefusal):
		return failing
	case e.Kind == exporter.Permanent && faulty(e.Code):
		if whole {
			return failing
		}
		return unclear
	}
	return alive
}

// faulty codes are not to be retried (OTLP 1.11, "Failures") and yet may come
// from a fault of the server rather than from the data. A message is dead by
// them; but when one message after the other is, without one that is taken in
// between, the breaker opens, so that a fault of minutes does not bury the whole
// queue.
func faulty(code string) bool {
	if code == "INTERNAL" || code == "UNKNOWN" {
		return true
	}
	digits, ok := strings.CutPrefix(code, "HTTP ")
	n, err := strconv.Atoi(digits)
	return ok && err == nil && n >= 500
}

// asError makes an error of an exporter what it is to be.
func asError(err error) *exporter.Error {
	if err == nil {
		return nil
	}
	var e *exporter.Error
	if !errors.As(err, &e) {
		e = &exporter.Error{Kind: exporter.Retryable, Code: "internal", Err: err}
	}
	return e
}

// inDoubt tells whether a request that failed may have been taken all the same:
// it was sent, and no answer came, or one that says that the server itself does
// not know.
func inDoubt(e *exporter.Error) bool {
	switch e.Code {
	case "timeout", "canceled", "CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "DATA_LOSS", "HTTP 504", "HTTP 502", "write":
		return true
	case "no_connection":
		var none *pool.NoConnectionError
		var op *net.OpError
		return !errors.As(e, &none) && !(errors.As(e, &op) && op.Op == "dial")
	}
	return false
}

// heldBack tells whether an error speaks of the destination and not of items, so
// that these wait, by the policy of the destination.
func heldBack(e *exporter.Error, bytes int, onRefusal string) bool {
	held, ok := ship.Holds(e, bytes)
	return ok && onRefusal != Strict && (onRefusal == Hold || held.Kind == exporter.Retryable)
}
