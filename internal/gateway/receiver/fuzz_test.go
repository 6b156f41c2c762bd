package receiver

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// FuzzGRPCWeb: a body is refused, or it is the frame of its message and nothing
// else. Base64 is decoded in place as it is piece by piece elsewhere.
func FuzzGRPCWeb(f *testing.F) {
	message := request(otlp.Logs, 1)
	whole := appendWebFrame(nil, 0, message)
	f.Add(whole)
	f.Add(appendWebFrame(appendWebFrame(nil, webCompressed, message), webTrailers, []byte("a:b\r\n")))
	f.Add([]byte{0, 255, 255, 255, 255})
	f.Add(text(whole))
	f.Add(append(text(whole[:7]), text(whole[7:])...))
	f.Add([]byte("AA==AAA=AAAA"))
	f.Add([]byte("A=\r\n=="))
	f.Fuzz(func(t *testing.T, b []byte) {
		if message, compressed, err := webMessage(b); err == nil {
			flags := byte(0)
			if compressed {
				flags = webCompressed
			}
			head := appendWebFrame(nil, flags, message)
			if !bytes.HasPrefix(b, head) {
				t.Errorf("%q has the message %q", b, message)
			}
			if rest := b[len(head):]; len(rest) > 0 && rest[0]&webTrailers == 0 {
				t.Errorf("%q is taken with %q behind it", b, rest)
			}
		}
		in := bytes.Clone(b)
		n, err := decodeWebText(in)
		var want []byte
		wrong := false
		for rest := b; len(rest) > 0 && !wrong; {
			end := len(rest)
			if i := bytes.IndexByte(rest, '='); i >= 0 {
				end = min((i|3)+1, end)
			}
			piece, err := base64.StdEncoding.DecodeString(string(rest[:end]))
			want, rest, wrong = append(want, piece...), rest[end:], err != nil
		}
		if wrong != (err != nil) || !wrong && !bytes.Equal(in[:n], want) {
			t.Errorf("%q decodes to %q (%v), want %q", b, in[:n], err, want)
		}
	})
}

// FuzzHeaders: content type, codings, deadline and Accept-Encoding of a request.
// What is taken is one of the forms and codings that there are.
func FuzzHeaders(f *testing.F) {
	f.Add("application/x-protobuf", "gzip", "", "", "gzip, br;q=0.5", false)
	f.Add("Application/JSON; charset=utf-8", "X-GZIP", "", "", "*;q=0", false)
	f.Add("application/grpc-web-text+proto", "", "zstd", "10S", "identity;q=0, *", true)
	f.Add("application/grpc-web", "identity", "snappy", "99999999H", "gzip;q=1.000", true)
	f.Add("text/plain;;=\"", "gzip, gzip", "\x00", "-1n", "gzip;q=0.0001", true)
	f.Fuzz(func(t *testing.T, contentType, contentEncodings, grpcEncoding, timeout, accept string, web bool) {
		r := &http.Request{Method: http.MethodPost, Header: http.Header{
			"Content-Type": {contentType}, "Content-Encoding": strings.Split(contentEncodings, "\n"), "Grpc-Encoding": {grpcEncoding},
			"Grpc-Timeout": {timeout}, "Accept-Encoding": strings.Split(accept, "\n"),
		}}
		form, refusal := readable(r, web)
		if refusal == nil {
			if want := []formed{{formProtobuf, typeProtobuf}, {formJSON, typeJSON}, {formWeb, typeWeb}, {formWeb, typeWebProto}, {formWebText, typeWebText}, {formWebText, typeWebTextProto}}; !slices.Contains(want, formed{form, mediaType(r)}) {
				t.Errorf("%q is taken as %d", contentType, form)
			}
			if web != (form >= formWeb) {
				t.Errorf("%q is taken at a path of another protocol", contentType)
			}
			if e := contentEncoding(r); !codec.Known(e) {
				t.Errorf("the coding %q is taken", e)
			}
		}
		if d, refusal := webTimeout(r); d < 0 || d > 24*time.Hour || refusal != nil && d != 0 {
			t.Errorf("%q is %s, %v", timeout, d, refusal)
		}
		if acceptsGzip(r.Header["Accept-Encoding"]) && !strings.Contains(strings.ToLower(accept), "gzip") && !strings.Contains(accept, "*") {
			t.Errorf("%q accepts gzip", accept)
		}
		if s := percentEncoded(accept); strings.ContainsAny(s, "\r\n\x00\x7f") {
			t.Errorf("%q is %q", accept, s)
		}
	})
}

// formed is a form and what it was read from.
type formed struct {
	form form
	from string
}

// FuzzBodies: a body of any content in any encoding and form costs no more than
// its limits, and gives everything back.
func FuzzBodies(f *testing.F) {
	b := request(otlp.Traces, 2)
	encodings := append(codec.ContentEncodings(), "")
	for i, e := range encodings {
		if codec.Known(e) && e != "identity" {
			f.Add(uint8(i), uint8(formProtobuf), true, pack(f, e, b))
			f.Add(uint8(i), uint8(formProtobuf), false, pack(f, e, make([]byte, 200<<10)))
			f.Add(uint8(i), uint8(formJSON), true, pack(f, e, jsonOf(f, otlp.Traces, b)))
		}
	}
	for i, e := range webEncodings {
		f.Add(uint8(i), uint8(formWeb), true, appendWebFrame(nil, webCompressed, pack(f, e, b)))
		f.Add(uint8(i), uint8(formWebText), false, text(appendWebFrame(nil, webCompressed, pack(f, e, make([]byte, 200<<10)))))
	}
	limits := DefaultLimits()
	limits.MaxRequestBytes, limits.MaxInFlightBytes = 64<<10, 1<<20
	in := NewIntake(limits, nil, NewMetrics(prometheus.NewRegistry()), nil)
	f.Cleanup(in.Close)
	h := &HTTP{intake: in, pool: in.buffers()}
	f.Fuzz(func(t *testing.T, encoding, as uint8, declared bool, b []byte) {
		r, err := http.NewRequest(http.MethodPost, "/v1/traces", io.NopCloser(bytes.NewReader(b)))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = -1
		if declared {
			r.ContentLength = int64(len(b))
		}
		kind := form(as) % (formWebText + 1)
		if kind >= formWeb {
			r.Header.Set("Grpc-Encoding", webEncodings[int(encoding)%len(webEncodings)])
		} else {
			r.Header.Set("Content-Encoding", encodings[int(encoding)%len(encodings)])
		}
		v := &visit{in: in, signal: otlp.Traces, held: claim{a: &in.admission}}
		raw := body{pool: h.pool}
		payload, refusal := h.payload(r, &raw, v, kind)
		if used := in.admission.used.Load(); used > int64(limits.MaxInFlightBytes) || used < int64(len(payload)) {
			t.Errorf("%d bytes are claimed for %d", used, len(payload))
		}
		if refusal == nil && kind != formJSON && len(payload) > int(limits.MaxRequestBytes) {
			t.Errorf("%d bytes are taken", len(payload))
		}
		if refusal != nil && refusal.Reason != otlp.ReasonMalformed && refusal.Reason != otlp.ReasonTooLarge {
			t.Errorf("refused with %v", refusal)
		}
		raw.free()
		v.leave()
		if n := in.admission.used.Load(); n != 0 {
			t.Errorf("%d bytes of the budget are not given back", n)
		}
	})
}

// FuzzOrigins: no pattern lets in an origin that does not end in its host.
func FuzzOrigins(f *testing.F) {
	f.Add("https://*.example.com", "https://shop.example.com")
	f.Add("https://*.example.com", "https://evil.org/.example.com")
	f.Add("http://localhost:*", "http://localhost:5173")
	f.Add("http://[::1]:*", "http://[::1]:80")
	f.Add("https://example.com:8443", "https://example.com:8443")
	f.Add("*://*:*", "null")
	f.Fuzz(func(t *testing.T, pattern, from string) {
		o, err := parseOrigin(pattern)
		if err != nil || !o.match(from) {
			return
		}
		rest, ok := strings.CutPrefix(from, o.scheme)
		host := rest
		if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
			host = rest[:i]
		}
		if !ok || !strings.HasSuffix(host, o.host) || strings.ContainsAny(rest, "/?#@\\ *\x00") || !o.below && host != o.host {
			t.Errorf("%q lets %q in", pattern, from)
		}
	})
}
