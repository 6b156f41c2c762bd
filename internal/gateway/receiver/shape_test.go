package receiver

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
)

func TestAcceptEncoding(t *testing.T) {
	f := func(want bool, fields ...string) {
		t.Helper()
		if got := acceptsGzip(fields); got != want {
			t.Errorf("%q: %v, want %v", fields, got, want)
		}
	}
	f(true, "gzip")
	f(true, "GZIP")
	f(true, "x-gzip")
	f(true, "br, gzip;q=0.5")
	f(true, "br", "gzip")
	f(true, "gzip ; Q=0.001")
	f(true, "*")
	f(true, "identity;q=0, *;q=0.1")
	f(true, "*;q=0, gzip")
	f(false)
	f(false, "")
	f(false, "identity, br, deflate")
	f(false, "gzip;q=0")
	f(false, "gzip;q=0.000")
	f(false, "*, gzip;q=0")
	f(false, "*;q=0")
	for _, bad := range []string{"gzip;q", "gzip;q=", "gzip;q=x", "gzip;q=-1", "gzip;q=2", "gzip;q=NaN", "gzip;q=1e-9", "gzip;v=1", "gzipped", "g zip", ";gzip"} {
		f(false, bad)
	}
}

func TestAnswersInGzip(t *testing.T) {
	d := open(t)
	long := strings.Repeat("x", 600)
	ask := func(accept string) httpAnswer {
		t.Helper()
		r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, d.url("/v1/traces"), strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", typeJSON)
		r.Header.Set("Content-Encoding", long) // is in the message
		if accept != "" {
			r.Header.Set("Accept-Encoding", accept)
		}
		a, err := do(client(t, "h1", nil), r)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	plain := ask("gzip;q=0")
	refusedHTTP(t, "as it is", plain, typeJSON, http.StatusUnsupportedMediaType, false)
	packed := ask("gzip")
	z, err := gzip.NewReader(bytes.NewReader(packed.body))
	if err != nil || packed.header.Get("Content-Encoding") != "gzip" || packed.header.Get("Content-Length") != fmt.Sprint(len(packed.body)) {
		t.Fatalf("%v %v", packed.header, err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plain.body) {
		t.Errorf("%q %v, want %q", got, err, plain.body)
	}
	for _, a := range []httpAnswer{plain, packed} {
		if a.header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%v", a.header)
		}
	}
	// A success is too small to be worth it.
	r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, d.url("/v1/traces"), strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", typeJSON)
	r.Header.Set("Accept-Encoding", "gzip")
	if a, err := do(client(t, "h1", nil), r); err != nil || string(a.body) != "{}" || a.header.Get("Content-Encoding") != "" {
		t.Errorf("%v %q %v", err, a.body, a.header)
	}
}

func TestPathPrefix(t *testing.T) {
	d := open(t, func(s *setup) { s.http.PathPrefix = "/otlp/in" })
	b := request(otlp.Traces, 1)
	f := func(path string, want int) {
		t.Helper()
		a, err := post(testContext(t), t, client(t, "h1", nil), d.url(path), typeProtobuf, "", bytes.NewReader(b))
		if err != nil || a.code != want {
			t.Errorf("%s: %d %v, want %d", path, a.code, err, want)
		}
	}
	f("/otlp/in/v1/traces", 200)
	f("/v1/traces", 200)
	f("/otlp/in/v1/traces/", 404)
	f("/otlp/in", 404)
	f("/otlp/inv1/traces", 404)
	f("/otlp/in/otlp/in/v1/traces", 404)
	f("/otlp/v1/traces", 404)
	f("/other/v1/traces", 404)
	f("//otlp/in/v1/traces", 404)
	if a := d.web(t, "/otlp/in"+grpcwire.Method(otlp.Traces), typeWeb, frame(t, "", b)); a.trailers.Get("grpc-status") != "0" {
		t.Errorf("gRPC-Web: %d %v", a.code, a.trailers)
	}
	d.web(t, "/other"+grpcwire.Method(otlp.Traces), typeWeb, frame(t, "", b)).refused(t, "below another path", codes.Unimplemented)
	if n := d.count(t, "accepted_spans_total"); n != 3 {
		t.Errorf("%v spans are accepted", n)
	}
}

// reused sends requests one after the other and tells which of them went over
// a connection that was there before.
func reused(t testing.TB, d *door, protocol string, n int, between func()) (out []bool) {
	t.Helper()
	c := client(t, protocol, nil)
	for range n {
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(testContext(t), &httptrace.ClientTrace{
			GotConn: func(i httptrace.GotConnInfo) { out = append(out, i.Reused) },
		}), http.MethodPost, d.url("/v1/traces"), bytes.NewReader(request(otlp.Traces, 1)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", typeProtobuf)
		if a, err := do(c, r); err != nil || a.code != http.StatusOK {
			t.Fatalf("%s: %d %v", protocol, a.code, err)
		}
		between()
	}
	return out
}

// The answer that finds its connection too old is the last on it, and nothing is
// cut.
func TestConnectionsOfHTTPEndByAge(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		d := open(t, func(s *setup) { s.http.MaxConnectionAge = short(time.Nanosecond) })
		eventually(t, protocol+": old connections are not used again", func() bool {
			// GOAWAY travels apart from the answer.
			return fmt.Sprint(reused(t, d, protocol, 3, func() { time.Sleep(20 * time.Millisecond) })) == "[false false false]"
		})
		d = open(t, func(s *setup) { s.http.MaxConnectionAge = 0 })
		if got := fmt.Sprint(reused(t, d, protocol, 3, func() {})); got != "[false true true]" {
			t.Errorf("%s: connections that never age: %v", protocol, got)
		}
	}
}

func TestKeepAliveOff(t *testing.T) {
	d := open(t, func(s *setup) { s.http.KeepAlive = false })
	if got := fmt.Sprint(reused(t, d, "h1", 2, func() {})); got != "[false false]" {
		t.Errorf("%v", got)
	}
}
