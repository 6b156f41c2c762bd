package otlp

import (
	"net/http"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
)

// Row is the answer to one reason.
type Row struct {
	Reason Reason
	GRPC   codes.Code
	HTTP   int
	// Retryable: a conforming client sends the request again.
	Retryable bool
	// RetryAfter is the wait asked of the client where the refusal names none;
	// 0 asks for none and leaves it to the client's own back-off.
	RetryAfter time.Duration
	// When says in a few words when the reason arises.
	When string
}

// table is THE ONE TABLE from reasons to answers. OTLP specification 1.11,
// "Failures" and "OTLP/gRPC Throttling" for the gRPC codes, "Failures" and
// "OTLP/HTTP Throttling" for the HTTP status. RESOURCE_EXHAUSTED is retried only with
// RetryInfo, so rate_limited must have a RetryAfter and too_large must not.
var table = [...]Row{
	{ReasonMalformed, codes.InvalidArgument, http.StatusBadRequest, false, 0, "the bytes are no valid request"},
	{ReasonTooLarge, codes.ResourceExhausted, http.StatusRequestEntityTooLarge, false, 0, "larger than the limit, before or after decompression"},
	{ReasonUnsupportedEncoding, codes.Unimplemented, http.StatusUnsupportedMediaType, false, 0, "unknown compression"},
	{ReasonUnsupportedMediaType, codes.InvalidArgument, http.StatusUnsupportedMediaType, false, 0, "Content-Type is neither protobuf nor JSON"},
	{ReasonMethodNotAllowed, codes.Unimplemented, http.StatusMethodNotAllowed, false, 0, "HTTP method other than POST"},
	{ReasonNotFound, codes.Unimplemented, http.StatusNotFound, false, 0, "no such path, method or signal"},
	{ReasonUnauthenticated, codes.Unauthenticated, http.StatusUnauthorized, false, 0, "no credentials, or wrong ones"},
	{ReasonPermissionDenied, codes.PermissionDenied, http.StatusForbidden, false, 0, "the identity may not do this, or not for this tenant"},
	{ReasonIdentityUnavailable, codes.Unavailable, http.StatusServiceUnavailable, true, 5 * time.Second, "who the client is cannot be found out now: the issuer of its token does not answer"},
	{ReasonRateLimited, codes.ResourceExhausted, http.StatusTooManyRequests, true, time.Second, "the tenant's rate is spent, or its share of the bytes in flight"},
	{ReasonOverloaded, codes.Unavailable, http.StatusServiceUnavailable, true, time.Second, "the admission budget of bytes in flight is spent"},
	{ReasonQueueFull, codes.Unavailable, http.StatusServiceUnavailable, true, 5 * time.Second, "the queue is at its limit"},
	{ReasonQueueUnavailable, codes.Unavailable, http.StatusServiceUnavailable, true, 2 * time.Second, "the queue did not confirm in time"},
	{ReasonDeadlineExceeded, codes.DeadlineExceeded, http.StatusServiceUnavailable, true, 0, "the client's deadline passed first"},
	{ReasonCanceled, codes.Canceled, http.StatusServiceUnavailable, true, 0, "the client gave up"},
	{ReasonShuttingDown, codes.Unavailable, http.StatusServiceUnavailable, true, time.Second, "this gateway is stopping; another one may take it"},
	{ReasonInternal, codes.Internal, http.StatusInternalServerError, false, 0, "a bug or an unexpected failure"},
}

// Table lists every reason with its answer, in a fixed order; the documentation
// is printed from it.
func Table() []Row { return slices.Clone(table[:]) }

// row of a reason; one that is not in the table is answered as internal.
func (r Reason) row() *Row {
	for i := range table {
		if table[i].Reason == r {
			return &table[i]
		}
	}
	return &table[len(table)-1]
}

// Retryable tells whether a conforming client sends the request again.
func (r Reason) Retryable() bool { return r.row().Retryable }
