package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// wantTable repeats the table as the design has it, so that a change of an
// answer is a change here.
var wantTable = map[Reason]struct {
	code    codes.Code
	http    int
	verdict Verdict
	wait    bool // RetryInfo and Retry-After
}{
	"malformed":              {codes.InvalidArgument, 400, Permanent, false},
	"too_large":              {codes.ResourceExhausted, 413, TooLarge, false},
	"unsupported_encoding":   {codes.Unimplemented, 415, Permanent, false},
	"unsupported_media_type": {codes.InvalidArgument, 415, Permanent, false},
	"method_not_allowed":     {codes.Unimplemented, 405, Permanent, false},
	"not_found":              {codes.Unimplemented, 404, Permanent, false},
	"unauthenticated":        {codes.Unauthenticated, 401, Permanent, false},
	"permission_denied":      {codes.PermissionDenied, 403, Permanent, false},
	"identity_unavailable":   {codes.Unavailable, 503, Retry, true},
	"rate_limited":           {codes.ResourceExhausted, 429, Retry, true},
	"overloaded":             {codes.Unavailable, 503, Retry, true},
	"queue_full":             {codes.Unavailable, 503, Retry, true},
	"queue_unavailable":      {codes.Unavailable, 503, Retry, true},
	"deadline_exceeded":      {codes.DeadlineExceeded, 503, Retry, false},
	"canceled":               {codes.Canceled, 503, Retry, false},
	"shutting_down":          {codes.Unavailable, 503, Retry, true},
	"internal":               {codes.Internal, 500, Permanent, false},
}

// Every row is answered as the table says, over gRPC and HTTP, and a conforming
// client does with it what is meant.
func TestEveryRowIsUnderstood(t *testing.T) {
	if len(Table()) != len(wantTable) {
		t.Errorf("%d rows, want %d", len(Table()), len(wantTable))
	}
	now := time.Now()
	for _, row := range Table() {
		want, ok := wantTable[row.Reason]
		if !ok || row.When == "" {
			t.Errorf("row %+v", row)
			continue
		}
		for _, asked := range []time.Duration{0, 7500 * time.Millisecond} {
			r := Refuse(row.Reason, io.ErrUnexpectedEOF, "no %s today", "bread").WithRetryAfter(asked)
			wait := time.Duration(0)
			if row.Retryable {
				if wait = asked; wait == 0 {
					wait = row.RetryAfter
				}
				if asked == 0 && (wait > 0) != want.wait {
					t.Errorf("%s: waits %s", row.Reason, wait)
				}
			}

			st := r.GRPCStatus()
			if st.Code() != want.code || st.Message() != "no bread today" {
				t.Errorf("%s: %v", row.Reason, st)
			}
			if v, d := JudgeGRPC(st); v != want.verdict || d != wait || (v == Retry) != row.Reason.Retryable() {
				t.Errorf("%s over gRPC: a client makes of it %s after %s, want %s after %s", row.Reason, v, d, want.verdict, wait)
			}
			if got := status.Code(r); got != want.code {
				t.Errorf("%s: grpc-go finds %s", row.Reason, got)
			}

			code, seconds := r.HTTPStatus()
			rounded := (wait + time.Second - 1).Truncate(time.Second)
			h := http.Header{}
			if seconds > 0 {
				h.Set("Retry-After", strconv.Itoa(seconds))
			}
			if v, d := JudgeHTTP(code, h, now); code != want.http || v != want.verdict || d != rounded {
				t.Errorf("%s over HTTP: %d, a client makes of it %s after %s, want %d, %s after %s", row.Reason, code, v, d, want.http, want.verdict, rounded)
			}

			var fromProto, fromJSON spb.Status
			if err := proto.Unmarshal(AppendStatus([]byte{}, r), &fromProto); err != nil || !proto.Equal(&fromProto, st.Proto()) {
				t.Errorf("%s: protobuf body %v, %v", row.Reason, &fromProto, err)
			}
			if err := protojson.Unmarshal(AppendStatusJSON(nil, r), &fromJSON); err != nil || !proto.Equal(&fromJSON, st.Proto()) {
				t.Errorf("%s: JSON body %v, %v", row.Reason, &fromJSON, err)
			}
		}
	}
	if r := Reason("new"); r.Retryable() || Refuse(r, nil, "x").GRPCStatus().Code() != codes.Internal {
		t.Error("a reason that is not in the table is not internal")
	}
	Table()[0].HTTP = 200
	if Table()[0].HTTP == 200 {
		t.Error("the table can be changed from outside")
	}
}

func TestMalformedTellsTheField(t *testing.T) {
	_, err := Check(Traces, []byte("\x0a\x05"), CheckOptions{})
	st := AsRefusal(fmt.Errorf("receive: %w", err)).GRPCStatus()
	if st.Message() != "resource_spans: length 5 exceeds the 0 bytes left at byte 0" {
		t.Error(st.Message())
	}
	v := st.Details()[0].(*errdetails.BadRequest).FieldViolations
	if len(v) != 1 || v[0].Field != "resource_spans" || v[0].Description != "length 5 exceeds the 0 bytes left" {
		t.Error(v)
	}
	v = Refuse(ReasonMalformed, nil, "gzip: cut short").GRPCStatus().Details()[0].(*errdetails.BadRequest).FieldViolations
	if len(v) != 1 || v[0].Description != "gzip: cut short" {
		t.Error(v)
	}
}

func TestAsRefusal(t *testing.T) {
	full := Refuse(ReasonQueueFull, io.EOF, "full")
	for _, c := range []struct {
		err  error
		want Reason
	}{
		{full, ReasonQueueFull},
		{fmt.Errorf("commit: %w", full), ReasonQueueFull},
		{Refuse(ReasonOverloaded, context.Canceled, "x"), ReasonOverloaded},
		{&Malformed{Problem: "x"}, ReasonMalformed},
		{fmt.Errorf("a: %w", context.DeadlineExceeded), ReasonDeadlineExceeded},
		{context.Canceled, ReasonCanceled},
		{errors.New("password=hunter2"), ReasonInternal},
	} {
		r := AsRefusal(c.err)
		if r.Reason != c.want || !errors.Is(r, c.err) && !errors.Is(c.err, r) {
			t.Errorf("%v: %v", c.err, r)
		}
		if body := string(AppendStatusJSON(nil, r)); strings.Contains(body, "hunter2") {
			t.Errorf("the inside gets out: %s", body)
		}
	}
	if AsRefusal(nil) != nil {
		t.Error("nil is refused")
	}
	if got := full.Error(); got != "queue_full: full: EOF" {
		t.Error(got)
	}
	if got := Refuse(ReasonQueueFull, nil, "full").Error(); got != "queue_full: full" {
		t.Error(got)
	}
	if !errors.Is(full, io.EOF) {
		t.Error("the cause is lost")
	}
}

func TestMessagesAreBounded(t *testing.T) {
	for _, in := range []string{"short", strings.Repeat("x", 1024), strings.Repeat("x", 1025), strings.Repeat("世", 5000),
		"a" + strings.Repeat("世", 5000), "bad \xff", strings.Repeat("\xff", 5000), strings.Repeat("\x80", 5000), strings.Repeat("é\xff", 2000)} {
		out := boundMessage(in)
		if len(out) > maxMessage || !utf8.ValidString(out) || len(in) > maxMessage != strings.HasSuffix(out, "...") {
			t.Errorf("%.20q: %d bytes, %q", in, len(out), out)
		}
		if len(in) <= maxMessage && utf8.ValidString(in) && out != in {
			t.Errorf("%q became %q", in, out)
		}
		// Also when the fields are set by hand.
		r := &Refusal{Reason: ReasonMalformed, Message: in, Err: &Malformed{Offset: 1, Path: in, Problem: in}}
		var s spb.Status
		if err := proto.Unmarshal(AppendStatus(nil, r), &s); err != nil || s.Message != out {
			t.Errorf("%.20q: %v, %q", in, err, s.Message)
		}
		if !json.Valid(AppendStatusJSON(nil, r)) {
			t.Errorf("%.20q: bad JSON", in)
		}
	}
	if got := AppendStatus([]byte("before"), Refuse(ReasonInternal, nil, "x")); !bytes.HasPrefix(got, []byte("before")) {
		t.Error("AppendStatus does not append")
	}
}

func TestMalformedText(t *testing.T) {
	for _, c := range []struct {
		m    Malformed
		want string
	}{
		{Malformed{4711, "a[1].b", "length 300 exceeds the 12 bytes left"}, "a[1].b: length 300 exceeds the 12 bytes left at byte 4711"},
		{Malformed{0, "", "tag is cut short"}, "request: tag is cut short at byte 0"},
		{Malformed{-1, "", "no JSON"}, "request: no JSON"},
	} {
		if got := c.m.Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
