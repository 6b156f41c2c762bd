package jetstream

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Error codes of the JetStream API that the client library does not name
// (nats-server 2.15.2, server/errors.json).
const (
	codeAccountLimit    = 10002 // resource limits exceeded for account
	codeNoPeers         = 10005 // no suitable peers for placement: insufficient storage, or a peer offline
	codeInsufficient    = 10023 // insufficient resources: the server's store is full
	codeStorage         = 10047 // insufficient storage resources available
	codeTooLarge        = jetstream.JSErrCodeStreamMessageExceedsMaximum
	codeStreamNotFound  = jetstream.JSErrCodeStreamNotFound
	codeDeleteFailed    = 10057
	codeStreamMismatch  = 10060 // expected stream does not match
	codeWrongLast       = jetstream.JSErrCodeStreamWrongLastSequence
	codeStoreFailed     = 10077 // a limit of the stream, or the store is closing
	codeHeaderTooLarge  = 10097
	codeStreamMaxBytes  = 10122 // above the account's limit for one stream
	codeMessageNotFound = jetstream.JSErrCodeMessageNotFound
)

// wrongStreamError is a confirmation by a stream that was not asked for. What
// became of the message on the one that was is not known.
type wrongStreamError struct {
	subject, want, got string
	seq                uint64
}

func (e wrongStreamError) Error() string {
	return fmt.Sprintf("subject %s is stored by stream %s (at sequence %d), not by %s: the subject mapping is wrong: look at the subjects, mappings and imports of the account, and of other streams",
		e.subject, e.got, e.seq, e.want)
}

// classify gives the contract's error for an answer that no repetition changes,
// and nil for everything that is worth another try.
func classify(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return queue.ErrTooLarge
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return queue.ErrNotFound
	}
	if _, ok := errors.AsType[wrongStreamError](err); ok {
		return queue.ErrUnavailable // the outcome is unknown, but a repetition goes there too
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return nil
	}
	switch api.ErrorCode {
	case codeStoreFailed:
		switch {
		case strings.Contains(api.Description, "maximum"): // maximum bytes, or messages, exceeded
			return queue.ErrFull
		case strings.Contains(api.Description, "too large"):
			return queue.ErrTooLarge
		}
		return nil // the store is closing: a restart or a move of the leader
	case codeAccountLimit, codeInsufficient, codeStorage:
		return queue.ErrFull
	case codeTooLarge, codeHeaderTooLarge:
		return queue.ErrTooLarge
	case codeStreamMismatch, codeStreamNotFound:
		return queue.ErrNotFound
	}
	return nil
}

func apiCode(err error) jetstream.ErrorCode {
	var api jetstream.JetStreamError
	if errors.As(err, &api) && api.APIError() != nil {
		return api.APIError().ErrorCode
	}
	return 0
}

// isUnavailable is the answer of a server that cannot tell now, without a leader.
func isUnavailable(err error) bool {
	var api jetstream.JetStreamError
	return errors.As(err, &api) && api.APIError() != nil && api.APIError().Code == 503
}
