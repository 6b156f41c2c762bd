package receiver

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// webAnswer is one of gRPC-Web.
type webAnswer struct {
	httpAnswer
	message  []byte // nil without a data frame
	trailers http.Header
}

// web posts a body as gRPC-Web and reads the frames of its answer.
func (d *door) web(t testing.TB, path, contentType string, body []byte, header ...string) webAnswer {
	t.Helper()
	r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, d.url(path), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Grpc-Web", "1")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a := webAnswer{trailers: http.Header{}}
	if a.httpAnswer, err = do(client(t, "h1", nil), r); err != nil {
		t.Fatal(err)
	}
	if a.code != http.StatusOK {
		return a
	}
	if got := a.header.Get("Content-Type"); got != contentType {
		t.Errorf("the answer is %q, the request was %q", got, contentType)
	}
	b := a.body
	if strings.Contains(contentType, "text") {
		if b, err = base64.StdEncoding.DecodeString(string(b)); err != nil {
			t.Fatalf("%q: %v", a.body, err)
		}
	}
	for len(b) > 0 {
		flags, data, rest, err := webFrame(b)
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		b = rest
		if flags == 0 && a.message == nil && len(a.trailers) == 0 {
			a.message = append([]byte{}, data...)
			continue
		}
		if flags != webTrailers || len(rest) > 0 {
			t.Fatalf("a frame with flags %#x, %d bytes behind it", flags, len(rest))
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(string(data), "\r\n"), "\r\n") {
			name, value, ok := strings.Cut(line, ":")
			if !ok || name != strings.ToLower(name) {
				t.Errorf("trailer %q", line)
			}
			a.trailers.Add(name, value)
		}
	}
	return a
}

// frame is a message in its frame, compressed as grpc-encoding says.
func frame(t testing.TB, encoding string, message []byte) []byte {
	t.Helper()
	if encoding == "" {
		return appendWebFrame(nil, 0, message)
	}
	return appendWebFrame(nil, webCompressed, pack(t, encoding, message))
}

func text(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }

func (a webAnswer) refused(t testing.TB, what string, code codes.Code) {
	t.Helper()
	if a.code != http.StatusOK || a.message != nil || a.trailers.Get("grpc-status") != strconv.Itoa(int(code)) || a.trailers.Get("grpc-message") == "" {
		t.Errorf("%s: %d, message %q, trailers %v; want status %d", what, a.code, a.message, a.trailers, code)
	}
}

func TestGRPCWebStoresEverySignalInEveryForm(t *testing.T) {
	d := open(t)
	for _, s := range otlp.Signals {
		var want []byte
		n := 0
		for _, contentType := range []string{typeWeb, typeWebProto, typeWebText, typeWebTextProto, typeWebProto + "; charset=utf-8"} {
			for _, encoding := range []string{"", "gzip", "zstd", "snappy", "x-snappy-framed"} {
				n += 7
				b := request(s, 7)
				body := frame(t, encoding, b)
				if strings.Contains(contentType, "text") {
					body = text(body)
				}
				sent := strings.ReplaceAll(encoding, "x-snappy-framed", "snappy") // the Collector's client
				use, _, _ := strings.Cut(contentType, ";")
				a := d.web(t, grpcwire.Method(s), use, body, "Grpc-Encoding", sent)
				if a.trailers.Get("grpc-status") != "0" || a.message == nil || len(a.message) != 0 || len(a.trailers) != 1 {
					t.Errorf("%s %s %q: %d %q %v", s, contentType, encoding, a.code, a.message, a.trailers)
				}
				want = append(want, b...)
			}
		}
		got, items := d.stored(t, s)
		if !bytes.Equal(got, want) || items != n {
			t.Errorf("%s: %d bytes of %d items are stored, sent were %d of %d", s, len(got), items, len(want), n)
		}
	}
	if n := d.count(t, "requests_total", "transport", "http", "outcome", "accepted"); n != 75 {
		t.Errorf("%v requests are counted", n)
	}
}

// Pieces of base64 that are padded each are one text.
func TestGRPCWebTextInPieces(t *testing.T) {
	d := open(t)
	b := frame(t, "", request(otlp.Logs, 5))
	body := append(text(b[:5]), text(b[5:9])...)
	body = append(append(body, text(b[9:20])...), text(b[20:])...)
	if a := d.web(t, grpcwire.Method(otlp.Logs), typeWebText, body); a.trailers.Get("grpc-status") != "0" {
		t.Errorf("%d %v", a.code, a.trailers)
	}
	if got, _ := d.stored(t, otlp.Logs); !bytes.Equal(got, b[5:]) {
		t.Error("other bytes are stored than were sent")
	}
}

func TestGRPCWebRefusals(t *testing.T) {
	d := open(t, small)
	path := grpcwire.Method(otlp.Traces)
	b := request(otlp.Traces, 5)
	f := func(what string, code codes.Code, contentType string, body []byte, header ...string) webAnswer {
		t.Helper()
		a := d.web(t, path, contentType, body, header...)
		a.refused(t, what, code)
		return a
	}
	f("nothing", codes.InvalidArgument, typeWeb, nil)
	f("half a head", codes.InvalidArgument, typeWeb, []byte{0, 0, 0})
	f("half a message", codes.InvalidArgument, typeWeb, frame(t, "", b)[:50])
	f("4 GiB declared", codes.InvalidArgument, typeWeb, []byte{0, 255, 255, 255, 255, 1, 2, 3})
	f("two messages", codes.InvalidArgument, typeWeb, append(frame(t, "", b), frame(t, "", b)...))
	f("trailing bytes", codes.InvalidArgument, typeWeb, append(frame(t, "", b), 0))
	f("trailers alone", codes.InvalidArgument, typeWeb, appendWebFrame(nil, webTrailers, []byte("a:b\r\n")))
	f("unknown flag", codes.InvalidArgument, typeWeb, appendWebFrame(nil, 2, b))
	f("compressed with nothing", codes.InvalidArgument, typeWeb, frame(t, "gzip", b))
	f("not compressed at all", codes.InvalidArgument, typeWeb, appendWebFrame(nil, webCompressed, b), "Grpc-Encoding", "gzip")
	f("no protobuf", codes.InvalidArgument, typeWeb, frame(t, "", []byte("text")))
	f("no base64", codes.InvalidArgument, typeWebText, frame(t, "", b))
	f("cut base64", codes.InvalidArgument, typeWebText, text(frame(t, "", b))[:41])
	f("bad timeout", codes.InvalidArgument, typeWeb, frame(t, "", b), "Grpc-Timeout", "soon")
	f("Content-Encoding", codes.Unimplemented, typeWeb, frame(t, "", b), "Content-Encoding", "gzip")
	if a := f("lzma", codes.Unimplemented, typeWeb, frame(t, "", b), "Grpc-Encoding", "lzma"); !strings.Contains(a.header.Get("Grpc-Accept-Encoding"), "zstd") {
		t.Errorf("%v", a.header)
	}
	large := bigLog(t, strings.Repeat("0", 64<<10+1))
	f("too large", codes.ResourceExhausted, typeWeb, frame(t, "", large))
	f("too large as text", codes.ResourceExhausted, typeWebText, text(frame(t, "", large)))
	f("too large as text and a line", codes.ResourceExhausted, typeWebText, append(text(frame(t, "", large)), bytes.Repeat([]byte("A"), 99<<10)...))
	for _, encoding := range []string{"gzip", "zstd", "snappy"} {
		f(encoding+" bomb", codes.ResourceExhausted, typeWeb, frame(t, encoding, make([]byte, 4<<20)), "Grpc-Encoding", encoding)
	}
	a := f("a message to escape", codes.InvalidArgument, typeWeb, appendWebFrame(nil, 2, b))
	var st spb.Status
	raw, err := base64.RawStdEncoding.DecodeString(a.trailers.Get("grpc-status-details-bin"))
	if err == nil {
		err = proto.Unmarshal(raw, &st)
	}
	if err != nil || st.GetCode() != int32(codes.InvalidArgument) || detail[*errdetails.BadRequest](&st) == nil {
		t.Errorf("details: %v %v", &st, err)
	}
	d.pub.failWith(queue.ErrFull)
	a = f("full", codes.Unavailable, typeWeb, frame(t, "", b))
	if raw, err = base64.RawStdEncoding.DecodeString(a.trailers.Get("grpc-status-details-bin")); err == nil {
		err = proto.Unmarshal(raw, &st)
	}
	if err != nil || detail[*errdetails.RetryInfo](&st) == nil {
		t.Errorf("details: %v %v", &st, err)
	}
	for path, contentType := range map[string]string{
		grpcwire.Method(otlp.Traces): "application/grpc", grpcwire.Method(otlp.Logs): typeProtobuf, grpcwire.Method(otlp.Metrics): typeWeb + "+json",
	} {
		a := d.web(t, path, contentType, frame(t, "", b))
		if a.code != http.StatusUnsupportedMediaType || !strings.Contains(a.header.Get("Accept"), typeWeb) {
			t.Errorf("%s: %d %v", contentType, a.code, a.header)
		}
	}
	d.web(t, "/v1/traces", typeWeb, frame(t, "", b)).refused(t, "the path of OTLP/HTTP", codes.InvalidArgument)
	d.web(t, "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", typeWeb, frame(t, "", b)).refused(t, "another service", codes.Unimplemented)
}

// At the limit a message fits, in whatever it is wrapped.
func TestGRPCWebAtTheLimit(t *testing.T) {
	d := open(t, small)
	fits := bigLog(t, strings.Repeat("0", 64<<10-29))
	if len(fits) < 64<<10-64 {
		t.Fatalf("the request has %d bytes", len(fits))
	}
	for _, f := range []func() webAnswer{
		func() webAnswer { return d.web(t, grpcwire.Method(otlp.Logs), typeWeb, frame(t, "", fits)) },
		func() webAnswer { return d.web(t, grpcwire.Method(otlp.Logs), typeWebText, text(frame(t, "", fits))) },
		func() webAnswer {
			return d.web(t, grpcwire.Method(otlp.Logs), typeWebText, text(frame(t, "zstd", fits)), "Grpc-Encoding", "zstd")
		},
	} {
		if a := f(); a.trailers.Get("grpc-status") != "0" {
			t.Errorf("%v", a.trailers)
		}
	}
}

// The deadline of the client ends the wait for the queue.
func TestGRPCWebDeadline(t *testing.T) {
	d := open(t)
	release := d.pub.hold()
	defer release()
	d.web(t, grpcwire.Method(otlp.Traces), typeWeb, frame(t, "", request(otlp.Traces, 1)), "Grpc-Timeout", "50m").refused(t, "50 ms", codes.DeadlineExceeded)
}

func TestGRPCWebTimeouts(t *testing.T) {
	f := func(text string, want time.Duration, ok bool) {
		t.Helper()
		r := &http.Request{Header: http.Header{"Grpc-Timeout": {text}}}
		got, refusal := webTimeout(r)
		if got != want || (refusal == nil) != ok {
			t.Errorf("%q: %v %v", text, got, refusal)
		}
	}
	f("", 0, true)
	f("1S", time.Second, true)
	f("250m", 250*time.Millisecond, true)
	f("99999999n", 99999999, true)
	f("99999999H", 24*time.Hour, true)
	f("99999999M", 24*time.Hour, true)
	f("3u", 3*time.Microsecond, true)
	for _, bad := range []string{"S", "1", "1s", "-1S", "+1S", "100000000S", "1.5S", "1 S", "\xff"} {
		f(bad, 0, false)
	}
}

func TestMessagesStayInTheirLine(t *testing.T) {
	if got := percentEncoded("a b\r\nx: 100 % ü"); got != "a b%0D%0Ax: 100 %25 %C3%BC" {
		t.Errorf("%q", got)
	}
}
