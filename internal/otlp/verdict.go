package otlp

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Verdict says what a client does after an answer.
type Verdict uint8

// TooLarge is permanent for the request as it is and curable by splitting it.
const (
	Delivered Verdict = iota
	Retry
	TooLarge
	Permanent
)

func (v Verdict) String() string {
	return [...]string{"delivered", "retry", "too_large", "permanent"}[v]
}

// maxRetryAfter bounds the wait that a server can ask for.
const maxRetryAfter = time.Hour

// JudgeGRPC judges the answer of an OTLP/gRPC server by the table of the
// specification (1.11, OTLP/gRPC "Failures"). The duration is the wait the
// server asked for, 0 when it asked for none, at most 1 h.
func JudgeGRPC(st *status.Status) (Verdict, time.Duration) {
	switch st.Code() {
	case codes.OK:
		return Delivered, 0
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		d, _ := retryInfo(st)
		return Retry, d
	case codes.ResourceExhausted:
		if d, ok := retryInfo(st); ok {
			return Retry, d
		}
		return TooLarge, 0
	}
	return Permanent, 0
}

func retryInfo(st *status.Status) (time.Duration, bool) {
	for _, d := range st.Details() {
		if ri, ok := d.(*errdetails.RetryInfo); ok {
			return clampWait(ri.GetRetryDelay().AsDuration()), true
		}
	}
	return 0, false
}

// JudgeHTTP judges the answer of an OTLP/HTTP server (1.11, OTLP/HTTP "Retryable
// Response Codes"). The duration is Retry-After, in seconds or as an HTTP date
// relative to now, 0 when absent or unreadable, at most 1 h.
func JudgeHTTP(code int, h http.Header, now time.Time) (Verdict, time.Duration) {
	switch {
	case code >= 200 && code < 300:
		return Delivered, 0
	case code == http.StatusTooManyRequests, code == http.StatusBadGateway,
		code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		return Retry, retryAfter(h.Get("Retry-After"), now)
	case code == http.StatusRequestEntityTooLarge:
		return TooLarge, 0
	}
	return Permanent, 0
}

func retryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if isDigits(v) {
		s, err := strconv.ParseUint(v, 10, 64)
		if err != nil || s > uint64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(s) * time.Second
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return clampWait(t.Sub(now))
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func clampWait(d time.Duration) time.Duration {
	return max(0, min(d, maxRetryAfter))
}
