package otlp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Reason says why a request was refused. Its text is a stable metric label.
type Reason string

// The reasons for which Penstock refuses a request. Table has the answers.
const (
	ReasonMalformed            Reason = "malformed"
	ReasonTooLarge             Reason = "too_large"
	ReasonUnsupportedEncoding  Reason = "unsupported_encoding"
	ReasonUnsupportedMediaType Reason = "unsupported_media_type"
	ReasonMethodNotAllowed     Reason = "method_not_allowed"
	ReasonNotFound             Reason = "not_found"
	ReasonUnauthenticated      Reason = "unauthenticated"
	ReasonPermissionDenied     Reason = "permission_denied"
	ReasonIdentityUnavailable  Reason = "identity_unavailable"
	ReasonRateLimited          Reason = "rate_limited"
	ReasonOverloaded           Reason = "overloaded" // the admission budget is spent
	ReasonQueueFull            Reason = "queue_full"
	ReasonQueueUnavailable     Reason = "queue_unavailable"
	ReasonDeadlineExceeded     Reason = "deadline_exceeded"
	ReasonCanceled             Reason = "canceled"
	ReasonShuttingDown         Reason = "shutting_down"
	ReasonInternal             Reason = "internal"
)

// Refusal is the one error that a client gets to see.
type Refusal struct {
	Reason Reason
	// Message is sent to the client: what happened, with the numbers, and what
	// to do. It is cut to 1 KiB of valid UTF-8 when it is sent.
	Message string
	// RetryAfter is the wait asked of the client. 0 means the default of the
	// reason; it is ignored where the reason is not retryable.
	RetryAfter time.Duration
	// Err is the cause, for logs. It is never sent to the client.
	Err error
}

// Refuse makes a refusal. err may be nil; put into the message what the client
// may know of it.
func Refuse(reason Reason, err error, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Message: boundMessage(fmt.Sprintf(format, args...)), Err: err}
}

// WithRetryAfter sets the wait asked of the client and returns r.
func (r *Refusal) WithRetryAfter(d time.Duration) *Refusal {
	r.RetryAfter = d
	return r
}

func (r *Refusal) Error() string {
	if r.Err == nil {
		return fmt.Sprintf("%s: %s", r.Reason, r.Message)
	}
	return fmt.Sprintf("%s: %s: %v", r.Reason, r.Message, r.Err)
}

func (r *Refusal) Unwrap() error { return r.Err }

// AsRefusal finds the refusal in err, or makes one: a *Malformed is malformed,
// the errors of contexts are deadline_exceeded and canceled, all else is
// internal with a message that tells nothing of the inside. nil for nil.
func AsRefusal(err error) *Refusal {
	if err == nil {
		return nil
	}
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	var m *Malformed
	switch {
	case errors.As(err, &m):
		return Refuse(ReasonMalformed, err, "%s", m.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return Refuse(ReasonDeadlineExceeded, err, "the deadline passed before the data was confirmed; send it again")
	case errors.Is(err, context.Canceled):
		return Refuse(ReasonCanceled, err, "the request was canceled before the data was confirmed")
	}
	return Refuse(ReasonInternal, err, "internal error; the gateway's log says more")
}

// maxMessage bounds every text that goes to a client, in bytes.
const maxMessage = 1024

// boundMessage is s in valid UTF-8 and at most maxMessage bytes.
func boundMessage(s string) string {
	const ellipsis = "..."
	long := len(s) > maxMessage
	if long {
		cut := maxMessage - len(ellipsis)
		for cut > maxMessage-len(ellipsis)-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	s = strings.ToValidUTF8(s, "?")
	if long {
		s += ellipsis
	}
	return s
}
