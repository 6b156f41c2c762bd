package otlp

import (
	"net/http"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestJudgeGRPCEveryCode(t *testing.T) {
	retry := map[codes.Code]bool{codes.Canceled: true, codes.DeadlineExceeded: true, codes.Aborted: true,
		codes.OutOfRange: true, codes.Unavailable: true, codes.DataLoss: true}
	for c := codes.OK; c <= codes.Unauthenticated+1; c++ {
		plain := status.New(c, "x")
		want, wantInfo := Permanent, Permanent
		switch {
		case c == codes.OK:
			want = Delivered
		case c == codes.ResourceExhausted:
			want, wantInfo = TooLarge, Retry
		case retry[c]:
			want, wantInfo = Retry, Retry
		}
		if v, d := JudgeGRPC(plain); v != want || d != 0 {
			t.Errorf("%s: %s after %s, want %s", c, v, d, want)
		}
		if c == codes.OK {
			continue
		}
		for asked, wait := range map[time.Duration]time.Duration{
			0: 0, time.Millisecond: time.Millisecond, -time.Second: 0, 48 * time.Hour: time.Hour,
		} {
			st, err := plain.WithDetails(&errdetails.ErrorInfo{}, &errdetails.RetryInfo{RetryDelay: durationpb.New(asked)})
			if err != nil {
				t.Fatal(err)
			}
			if wantInfo != Retry {
				wait = 0
			}
			if v, d := JudgeGRPC(st); v != wantInfo || d != wait {
				t.Errorf("%s with RetryInfo %s: %s after %s, want %s after %s", c, asked, v, d, wantInfo, wait)
			}
		}
	}
	if v, _ := JudgeGRPC(nil); v != Delivered {
		t.Errorf("no status: %s", v)
	}
	st, _ := status.New(codes.Unavailable, "x").WithDetails(&errdetails.RetryInfo{})
	if v, d := JudgeGRPC(st); v != Retry || d != 0 {
		t.Errorf("RetryInfo without delay: %s after %s", v, d)
	}
}

func TestJudgeHTTPEveryStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for code := 100; code < 600; code++ {
		want, wait := Permanent, time.Duration(0)
		switch code {
		case 429, 502, 503, 504:
			want, wait = Retry, 7*time.Second
		case 413:
			want = TooLarge
		}
		if code/100 == 2 {
			want = Delivered
		}
		if v, d := JudgeHTTP(code, http.Header{"Retry-After": {"7"}}, now); v != want || d != wait {
			t.Errorf("%d: %s after %s, want %s after %s", code, v, d, want, wait)
		}
	}
	for v, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, " 5 ": 5 * time.Second, "3600": time.Hour, "3601": time.Hour,
		"99999999999999999999999": time.Hour, "-5": 0, "1.5": 0, "soon": 0, "٣": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT":    30 * time.Second,
		"Friday, 02-Jan-26 03:05:05 GMT":   time.Minute,
		"Fri Jan  2 03:04:15 2026":         10 * time.Second,
		"Fri, 02 Jan 2026 03:00:00 GMT":    0,         // past
		"Fri, 02 Jan 2099 03:00:00 GMT":    time.Hour, // absurd
		"Fri, 02 Jan 2026 03:04:35 GMT XX": 0,
	} {
		if verdict, d := JudgeHTTP(503, http.Header{"Retry-After": {v}}, now); verdict != Retry || d != want {
			t.Errorf("Retry-After %q: %s after %s, want %s", v, verdict, d, want)
		}
	}
	if v, d := JudgeHTTP(503, nil, now); v != Retry || d != 0 {
		t.Errorf("no header: %s after %s", v, d)
	}
	for v, want := range map[Verdict]string{Delivered: "delivered", Retry: "retry", TooLarge: "too_large", Permanent: "permanent"} {
		if v.String() != want {
			t.Errorf("%s, want %s", v, want)
		}
	}
}
