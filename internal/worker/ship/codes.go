package ship

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
)

// refusing codes speak of the destination or of how it is called: credentials, a
// path, a method, a content type. No item is at fault, so that nothing is found
// by taking a record apart.
var refusing = []string{"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "NOT_FOUND"}

// refusingStatus are such answers over HTTP, beside redirects, which no
// exporter follows.
var refusingStatus = []int{401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 421, 426, 431, 451, 501, 505, 511}

// Refuses tells whether a code says that the destination takes nothing as it is
// called now, whatever is sent.
func Refuses(code string) bool {
	if slices.Contains(refusing, code) {
		return true
	}
	digits, ok := strings.CutPrefix(code, "HTTP ")
	n, err := strconv.Atoi(digits)
	return ok && err == nil && (n >= 300 && n < 400 || slices.Contains(refusingStatus, n))
}

// inseparable codes tell nothing of single items: the answer to a request that
// may have been taken is over the limit, or what the queue held does not
// decompress.
func inseparable(code string) bool { return code == "bad_response" || code == "undecodable" }

// quotaBytes is what every server takes: a request no larger than this that is
// called too large is not.
const quotaBytes = 16 << 10

// quota tells whether an error that claims a request to be too large speaks of a
// quota: RESOURCE_EXHAUSTED is the word for both, and some servers give it
// without the RetryInfo that would tell them apart.
func quota(e *exporter.Error, bytes int) bool {
	return e.Kind == exporter.TooLarge && e.Code == "RESOURCE_EXHAUSTED" && bytes <= quotaBytes
}

// passing are answers that are not to be retried by the specification (OTLP 1.11,
// "Failures") and speak of neither items nor destination: the request did not
// arrive in time, or came too early.
var passing = []string{"HTTP 408", "HTTP 425"}

// Holds tells whether a failed request of so many bytes speaks of the
// destination rather than of its items, so that they are to wait, and the error
// that says so: a refusal as it is, a quota and what passes as retryable.
func Holds(e *exporter.Error, bytes int) (*exporter.Error, bool) {
	switch {
	case e.Kind == exporter.Permanent && Refuses(e.Code):
		return e, true
	case e.Kind == exporter.Permanent && slices.Contains(passing, e.Code):
		return &exporter.Error{Kind: exporter.Retryable, Code: e.Code, After: e.After, Err: e.Err}, true
	case quota(e, bytes):
		return &exporter.Error{Kind: exporter.Retryable, Code: e.Code, After: e.After,
			Err: fmt.Errorf("a quota of the destination, as a request of %d bytes is not too large: %w", bytes, e.Err)}, true
	}
	return nil, false
}
