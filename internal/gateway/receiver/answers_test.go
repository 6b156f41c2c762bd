package receiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
)

func TestSuccessIsAnsweredAfterTheQueueConfirmed(t *testing.T) {
	f := func(what string, send func(d *door, c *grpc.ClientConn) error) {
		t.Helper()
		d := open(t)
		c := d.dial(t)
		release := d.pub.hold()
		defer release()
		answered := make(chan error, 1)
		go func() { answered <- send(d, c) }()
		<-d.pub.arrived
		if d.InFlightBytes() == 0 {
			t.Errorf("%s: a request that waits is not in the budget", what)
		}
		select {
		case err := <-answered:
			t.Errorf("%s: answered before the queue confirmed: %v", what, err)
		case <-time.After(50 * time.Millisecond): // an answer would be here at once
		}
		if _, items := d.stored(t, otlp.Traces); items != 0 {
			t.Errorf("%s: stored while held", what)
		}
		release()
		if err := <-answered; err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if _, items := d.stored(t, otlp.Traces); items != 7 {
			t.Errorf("%s: %d items are stored", what, items)
		}
	}
	b := request(otlp.Traces, 7)
	f("gRPC", func(_ *door, c *grpc.ClientConn) error {
		return exportBytes(testContext(t), c, otlp.Traces, b)
	})
	f("HTTP", func(d *door, _ *grpc.ClientConn) error {
		a, err := post(testContext(t), t, client(t, "h1", nil), d.url("/v1/traces"), typeProtobuf, "", bytes.NewReader(b))
		if err == nil && a.code != http.StatusOK {
			err = fmt.Errorf("%d %q", a.code, a.body)
		}
		return err
	})
}

// One item is more than the queue takes in a message: it is rejected, the others
// are stored.
func TestPartialSuccess(t *testing.T) {
	d := open(t, func(s *setup) { s.codec, s.maxMessage, s.batch.MaxBytes = "none", 64<<10, 64<<10 })
	b := bigLog(t, "one", strings.Repeat("x", 100<<10), "three")
	reply, err := export(testContext(t), t, d.dial(t), otlp.Logs, b)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, reply proto.Message) {
		t.Helper()
		rejected, why, err := otlp.ParseResponse(encoded(t, reply))
		if err != nil || rejected != 1 || !strings.Contains(why, "larger than the queue accepts") {
			t.Errorf("%s: %v", what, reply)
		}
	}
	f("gRPC", reply)
	a := d.send(t, otlp.Logs, typeProtobuf, "gzip", pack(t, "gzip", b))
	if a.code != http.StatusOK {
		t.Fatal(a)
	}
	_, reply = official(otlp.Logs)
	if err := proto.Unmarshal(a.body, reply); err != nil {
		t.Fatal(err)
	}
	f("HTTP", reply)
	a = d.send(t, otlp.Logs, typeJSON, "", jsonOf(t, otlp.Logs, b))
	if rejected, why, err := otlp.ParseResponseJSON(a.body); a.code != http.StatusOK || err != nil || rejected != 1 || why == "" {
		t.Errorf("JSON: %d %q", a.code, a.body)
	}
	if _, items := d.stored(t, otlp.Logs); items != 6 {
		t.Errorf("%d items are stored, want 6", items)
	}
	for transport, n := range map[string]float64{"grpc": 1, "http": 2} {
		for name, want := range map[string]float64{"accepted_log_records_total": 2 * n, "refused_log_records_total": n} {
			if got := d.count(t, name, "transport", transport); got != want {
				t.Errorf("%s of %s is %v, want %v", name, transport, got, want)
			}
		}
		if got := d.count(t, "requests_total", "transport", transport, "outcome", "partial"); got != n {
			t.Errorf("%v requests of %s are partial, want %v", got, transport, n)
		}
	}
}

func TestUndecodableRequestsAreFinal(t *testing.T) {
	d := open(t)
	c := d.dial(t)
	b := request(otlp.Traces, 3)
	cut := b[:len(b)-1]
	st := refusedRPC(t, "cut protobuf", exportBytes(testContext(t), c, otlp.Traces, cut), codes.InvalidArgument, false)
	if v := detail[*errdetails.BadRequest](st.Proto()).GetFieldViolations(); len(v) != 1 || !strings.HasPrefix(v[0].GetField(), "resource_spans") {
		t.Errorf("violations are %v", v)
	}
	f := func(contentType string, body []byte) {
		t.Helper()
		st := refusedHTTP(t, contentType, d.send(t, otlp.Traces, contentType, "", body), contentType, http.StatusBadRequest, false)
		if v := detail[*errdetails.BadRequest](st).GetFieldViolations(); len(v) != 1 {
			t.Errorf("%s: violations are %v", contentType, v)
		}
	}
	f(typeProtobuf, cut)
	f(typeProtobuf, []byte("this is text"))
	f(typeJSON, []byte(`{"resourceSpans":[`))
	f(typeJSON, nil)
	f(typeJSON, []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"no hex"}]}]}]}`))
	f(typeJSON, []byte(strings.Repeat(`{"x":`, 5000)+"1"+strings.Repeat("}", 5000)))
	if n := d.count(t, "requests_total", "outcome", "malformed"); n != 7 {
		t.Errorf("%v requests are counted as malformed, want 7", n)
	}
}

func TestCorruptCompressionIsFinal(t *testing.T) {
	d := open(t)
	b := request(otlp.Traces, 30)
	for _, encoding := range []string{"gzip", "zstd", "br", "deflate", "snappy", "x-snappy-framed"} {
		packed := pack(t, encoding, b)
		for what, bad := range map[string][]byte{"cut": packed[:len(packed)-3], "text": []byte("this is not compressed at all"), "nothing": nil} {
			if bad == nil && strings.Contains(encoding, "snappy") {
				continue // no chunk is a whole stream
			}
			refusedHTTP(t, encoding+" "+what, d.send(t, otlp.Traces, typeProtobuf, encoding, bad), typeProtobuf, http.StatusBadRequest, false)
			refusedHTTP(t, encoding+" "+what, d.send(t, otlp.Traces, typeJSON, encoding, bad), typeJSON, http.StatusBadRequest, false)
		}
	}
	for _, encoding := range []string{"gzip", "zstd", "snappy"} {
		c := d.dial(t, grpcwire.ShipCompressor(encoding))
		st := refusedRPC(t, encoding, exportBytes(testContext(t), c, otlp.Traces, []byte("this is not compressed at all")), codes.InvalidArgument, false)
		if detail[*errdetails.BadRequest](st.Proto()) == nil {
			t.Errorf("%s: no BadRequest in %v", encoding, st)
		}
	}
}

func TestHTTPRefusesWhatIsNoRequest(t *testing.T) {
	d := open(t)
	f := func(method, path, contentType, encoding string, code int, header, value string) {
		t.Helper()
		r, err := http.NewRequestWithContext(testContext(t), method, d.url(path), strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		if encoding != "" {
			r.Header["Content-Encoding"] = strings.Split(encoding, "+")
		}
		a, err := do(client(t, "h1", nil), r)
		if err != nil {
			t.Fatal(err)
		}
		answerType := typeJSON
		if strings.HasPrefix(contentType, typeProtobuf) {
			answerType = typeProtobuf
		}
		refusedHTTP(t, method+" "+path, a, answerType, code, false)
		if got := a.header.Get(header); got != value {
			t.Errorf("%s %s: %s is %q, want %q", method, path, header, got, value)
		}
	}
	for _, contentType := range []string{typeProtobuf, typeJSON, typeProtobuf + ";x=y"} {
		f("POST", "/", contentType, "", 404, "Allow", "")
		f("POST", "/v1/profiles", contentType, "", 404, "Allow", "")
		f("POST", "/v1/traces/", contentType, "", 404, "Location", "")
		f("POST", "//v1/traces", contentType, "", 404, "Location", "")
		f("POST", "/v1//traces", contentType, "", 404, "Location", "")
		f("GET", "/v1/traces", contentType, "", 405, "Allow", "POST")
		f("PUT", "/v1/logs", contentType, "", 405, "Allow", "POST")
		f("POST", "/v1/traces", contentType, "lzma", 415, "Accept-Encoding", offered)
		f("POST", "/v1/traces", contentType, "gzip, zstd", 415, "Accept-Encoding", offered)
		f("POST", "/v1/traces", contentType, "gzip+gzip", 415, "Accept-Encoding", offered)
	}
	f("POST", "/v1/metrics", "text/plain", "", 415, "Accept", "application/x-protobuf, application/json")
	f("POST", "/v1/metrics", "", "", 415, "Accept-Encoding", "")
	f("POST", "/v1/metrics", ";;;", "", 415, "Accept-Encoding", "")
	for outcome, want := range map[string]float64{"not_found": 15, "method_not_allowed": 6, "unsupported_encoding": 9, "unsupported_media_type": 3} {
		if n := d.count(t, "requests_total", "outcome", outcome); n != want {
			t.Errorf("%v requests are counted as %s, want %v", n, outcome, want)
		}
	}
}

func TestGRPCRefusesWhatItDoesNotKnow(t *testing.T) {
	d := open(t)
	c := d.dial(t)
	err := c.Invoke(testContext(t), "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
		&coltrace.ExportTraceServiceRequest{}, &coltrace.ExportTraceServiceResponse{})
	refusedRPC(t, "profiles", err, codes.Unimplemented, false)
	if n := d.count(t, "requests_total", "signal", "none", "outcome", "not_found"); n != 1 {
		t.Errorf("%v calls are counted as not found", n)
	}
	refusedRPC(t, "lzma", exportBytes(testContext(t), d.dial(t, grpcwire.ShipCompressor("lzma")), otlp.Traces, []byte("x")), codes.Unimplemented, false)
}

func TestErrorsOfTheQueueAreRetryable(t *testing.T) {
	f := func(err error, reason otlp.Reason) {
		t.Helper()
		d := open(t)
		d.pub.failWith(err)
		b := request(otlp.Metrics, 9)
		refusedRPC(t, "gRPC", exportBytes(testContext(t), d.dial(t), otlp.Metrics, b), codes.Unavailable, true)
		refusedHTTP(t, "HTTP", d.send(t, otlp.Metrics, typeProtobuf, "", b), typeProtobuf, http.StatusServiceUnavailable, true)
		refusedHTTP(t, "JSON", d.send(t, otlp.Metrics, typeJSON, "", jsonOf(t, otlp.Metrics, b)), typeJSON, http.StatusServiceUnavailable, true)
		for transport, want := range map[string]float64{"grpc": 9, "http": 18} {
			if n := d.count(t, "refused_metric_points_total", "transport", transport, "reason", string(reason)); n != want {
				t.Errorf("%v: %v points are refused as %s over %s, want %v", err, n, reason, transport, want)
			}
		}
		if n := d.count(t, "accepted_metric_points_total"); n != 0 {
			t.Errorf("%v: %v points are counted as accepted", err, n)
		}
	}
	f(fmt.Errorf("stream M: %w: 10 of 10 bytes", queue.ErrFull), otlp.ReasonQueueFull)
	f(fmt.Errorf("stream M: %w", queue.ErrUnavailable), otlp.ReasonQueueUnavailable)
	f(fmt.Errorf("stream M: %w: %w", queue.ErrUnavailable, context.DeadlineExceeded), otlp.ReasonQueueUnavailable)
	f(queue.ErrNotFound, otlp.ReasonQueueUnavailable)
	f(queue.ErrClosed, otlp.ReasonQueueUnavailable)
	f(errors.New("the disk is on fire"), otlp.ReasonQueueUnavailable)
	f(context.Canceled, otlp.ReasonQueueUnavailable)
}

func TestFullQueueAndClosedQueue(t *testing.T) {
	d := open(t, func(s *setup) { s.codec, s.streamBytes = "none", 100<<10 })
	var computed atomic.Int64 // 0: not known
	d.Full = func(otlp.Signal) time.Duration { return time.Duration(computed.Load()) }
	c := d.dial(t)
	b := bigLog(t, strings.Repeat("x", 40<<10))
	for range 2 {
		if err := exportBytes(testContext(t), c, otlp.Logs, b); err != nil {
			t.Fatal(err)
		}
	}
	for _, wait := range []time.Duration{0, 42 * time.Second} {
		computed.Store(int64(wait))
		st := refusedRPC(t, "full", exportBytes(testContext(t), c, otlp.Logs, b), codes.Unavailable, true)
		asked := st.Details()[0].(*errdetails.RetryInfo).RetryDelay.AsDuration()
		if wait > 0 && asked != wait || wait == 0 && (asked < retryFull/2 || asked > 2*retryFull) {
			t.Errorf("asked to wait for %s, computed was %s", asked, wait)
		}
	}
	if err := exportBytes(testContext(t), c, otlp.Traces, request(otlp.Traces, 5)); err != nil {
		t.Errorf("another signal: %v", err)
	}
	if err := d.q.Close(); err != nil {
		t.Fatal(err)
	}
	refusedHTTP(t, "closed", d.send(t, otlp.Traces, typeProtobuf, "", request(otlp.Traces, 5)), typeProtobuf, http.StatusServiceUnavailable, true)
}

func TestCommitTimeout(t *testing.T) {
	d := open(t, func(s *setup) { s.limits.CommitTimeout = short(50 * time.Millisecond) })
	defer d.pub.hold()()
	b := request(otlp.Logs, 4)
	st := refusedRPC(t, "gRPC", exportBytes(testContext(t), d.dial(t), otlp.Logs, b), codes.Unavailable, true)
	if !strings.Contains(st.Message(), "gateway.limits.commit_timeout") {
		t.Error(st)
	}
	refusedHTTP(t, "HTTP", d.send(t, otlp.Logs, typeProtobuf, "", b), typeProtobuf, http.StatusServiceUnavailable, true)
	if n := d.count(t, "refused_log_records_total", "reason", "queue_unavailable"); n != 8 {
		t.Errorf("%v records are refused, want 8", n)
	}
}

func TestClientsThatLeave(t *testing.T) {
	d := open(t)
	c := d.dial(t)
	defer d.pub.hold()()
	b := request(otlp.Traces, 6)
	leave := func(send func(context.Context) error) {
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		for len(d.pub.arrived) > 0 {
			<-d.pub.arrived
		}
		go func() { left <- send(ctx) }()
		eventually(t, "the request waits for its commit", func() bool { return d.InFlightBytes() > 0 })
		cancel()
		if err := <-left; err == nil {
			t.Error("a client that left got an answer")
		}
		eventually(t, "the budget is given back", func() bool { return d.InFlightBytes() == 0 })
	}
	leave(func(ctx context.Context) error { return exportBytes(ctx, c, otlp.Traces, b) })
	// On the connection that there is now: a request that does not get to the gateway
	// in its time is none.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	refusedRPC(t, "deadline", exportBytes(ctx, c, otlp.Traces, b), codes.DeadlineExceeded, false)
	eventually(t, "the budget is given back", func() bool { return d.InFlightBytes() == 0 })
	for _, protocol := range []string{"h1", "h2c"} {
		leave(func(ctx context.Context) error {
			_, err := post(ctx, t, client(t, protocol, nil), d.url("/v1/traces"), typeProtobuf, "", bytes.NewReader(b))
			return err
		})
	}
	eventually(t, "all are counted", func() bool {
		return d.count(t, "refused_spans_total", "transport", "grpc") == 12 &&
			d.count(t, "refused_spans_total", "transport", "http", "reason", "canceled") == 12
	})
}

// A signal that the queue has no room for is refused before it is read, with the
// wait that was computed; the others are taken.
func TestPressure(t *testing.T) {
	d := open(t)
	c := d.dial(t)
	var pressed atomic.Bool
	pressed.Store(true)
	d.Pressure = func(s otlp.Signal) *otlp.Refusal {
		if s != otlp.Logs || !pressed.Load() {
			return nil
		}
		return otlp.Refuse(otlp.ReasonQueueFull, nil, "nearly full").WithRetryAfter(42 * time.Second)
	}
	err := exportBytes(testContext(t), c, otlp.Logs, request(otlp.Logs, 1))
	if s := status.Convert(err); s.Code() != codes.Unavailable || !strings.Contains(s.Message(), "nearly full") ||
		len(s.Details()) != 1 || s.Details()[0].(*errdetails.RetryInfo).RetryDelay.AsDuration() != 42*time.Second {
		t.Errorf("gRPC: %v %v", err, s.Details())
	}
	a, err := post(testContext(t), t, client(t, "h1", nil), d.url("/v1/logs"), typeProtobuf, "", bytes.NewReader(request(otlp.Logs, 1)))
	if err != nil || a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "42" {
		t.Errorf("HTTP: %+v %v", a, err)
	}
	if err := exportBytes(testContext(t), c, otlp.Traces, request(otlp.Traces, 1)); err != nil {
		t.Errorf("traces: %v", err)
	}
	pressed.Store(false)
	if err := exportBytes(testContext(t), c, otlp.Logs, request(otlp.Logs, 1)); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestDraining(t *testing.T) {
	d := open(t)
	d.Drain()
	b := request(otlp.Traces, 6)
	refusedRPC(t, "gRPC", exportBytes(testContext(t), d.dial(t), otlp.Traces, b), codes.Unavailable, true)
	refusedHTTP(t, "HTTP", d.send(t, otlp.Traces, typeProtobuf, "", b), typeProtobuf, http.StatusServiceUnavailable, true)
	if n := d.count(t, "requests_total", "outcome", "shutting_down"); n != 2 {
		t.Errorf("%v requests are counted as shutting_down, want 2", n)
	}
}

func TestAnswersToErrorsOfCommits(t *testing.T) {
	f := func(ctx context.Context, err error, reason otlp.Reason) {
		t.Helper()
		if r := answer(ctx, err); r.Reason != reason || status.Code(r) == codes.OK {
			t.Errorf("answer to %v is %v, want %s", err, r, reason)
		}
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errPressure)
	f(ended, context.Canceled, otlp.ReasonOverloaded)
	f(ended, queue.ErrFull, otlp.ReasonQueueFull)
	slow, cancel := context.WithCancelCause(t.Context())
	cancel(errSlow)
	f(slow, context.Canceled, otlp.ReasonDeadlineExceeded)
	f(t.Context(), otlp.Refuse(otlp.ReasonTooLarge, nil, "cannot be cut"), otlp.ReasonTooLarge)
}
