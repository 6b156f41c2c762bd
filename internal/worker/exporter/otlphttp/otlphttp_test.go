package otlphttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
	"github.com/penstock-otel/penstock/pkg/codec"
)

const (
	protobuf = "application/x-protobuf"
	secret   = "hunter2-hunter2" // the suite sends it with every request
)

func newExporter(t testing.TB, cfg Config) *Exporter {
	t.Helper()
	x, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func status(message string) string {
	b, err := proto.Marshal(&spb.Status{Message: message})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func zipped(name, text string) string {
	enc, err := codec.NewEncoder(name, 0)
	if err != nil {
		panic(err)
	}
	b, err := enc.Append(nil, []byte(text))
	if err != nil {
		panic(err)
	}
	return string(b)
}

func answers() []exportertest.Answer {
	refuses := func(name string, set func(exportertest.Destination), kind exporter.Kind, code string, says ...string) exportertest.Answer {
		return exportertest.Answer{Name: name, Set: set, Want: &exportertest.Want{Kind: kind, Code: code, Says: append(says, `destination "backend"`)}}
	}
	after := refuses("503RetryAfter", say(503, protobuf, status("full"), "Retry-After", "30"), exporter.Retryable, "HTTP 503", "full")
	after.Want.After = 30 * time.Second
	partial := string(otlp.AppendResponse(nil, otlp.Metrics, 3, "3 too old, key "+secret))
	return []exportertest.Answer{
		after,
		refuses("429", say(429, protobuf, ""), exporter.Retryable, "HTTP 429"),
		refuses("502", say(502, "text/html", "<html>"), exporter.Retryable, "HTTP 502"),
		refuses("504", say(504, "text/plain", "upstream "), exporter.Retryable, "HTTP 504", ": upstream"),
		refuses("400", say(400, protobuf, status("bad "+secret+" "+strings.Repeat("x", 5000))), exporter.Permanent, "HTTP 400", ": bad *** xxx"),
		refuses("400JSON", say(400, "application/json", `{"code":3,"message":"bad span"}`), exporter.Permanent, "HTTP 400", ": bad span"),
		refuses("400OtherJSON", say(400, "application/json", `{"error":"bad span"}`), exporter.Permanent, "HTTP 400", `: {"error":"bad span"}`),
		refuses("400Undecodable", say(400, protobuf, "\xff\xff"), exporter.Permanent, "HTTP 400"),
		refuses("400BadType", say(400, ";;", "x"), exporter.Permanent, "HTTP 400"),
		refuses("400Gzip", say(400, "text/plain", zipped("gzip", "packed"), "Content-Encoding", "gzip"), exporter.Permanent, "HTTP 400", ": packed"),
		refuses("400Bomb", say(400, "text/plain", zipped("zstd", strings.Repeat("a", 1<<20)), "Content-Encoding", "zstd"), exporter.Permanent, "HTTP 400"),
		refuses("401", say(401, "text/plain", "unknown key "+secret), exporter.Permanent, "HTTP 401", "unknown key ***"),
		refuses("500", say(500, protobuf, ""), exporter.Permanent, "HTTP 500"),
		refuses("413", say(413, protobuf, ""), exporter.TooLarge, "HTTP 413"),
		refuses("307", say(307, "", "", "Location", "http://elsewhere/v1/metrics?key=1"), exporter.Permanent, "HTTP 307", "not followed", "http://elsewhere/v1/metrics"),
		refuses("HTML", say(200, "text/html; charset=utf-8", "\n<html>log in"), exporter.Retryable, "not_otlp", "HTML"),
		refuses("AnswerTooLarge", say(200, protobuf, strings.Repeat("a", 4<<20+1)), exporter.Permanent, "bad_response", "4194304"),
		refuses("AnswerBomb", say(200, protobuf, zipped("gzip", strings.Repeat("a", 5<<20)), "Content-Encoding", "gzip"), exporter.Permanent, "bad_response"),
		{Name: "Partial", Set: say(200, protobuf, partial), Result: exporter.Result{Rejected: 3, Message: "3 too old, key ***"}},
		{Name: "PartialGzip", Set: say(200, protobuf, zipped("gzip", partial), "Content-Encoding", "gzip"), Result: exporter.Result{Rejected: 3, Message: "3 too old"}},
		{Name: "PartialJSON", Set: say(200, "application/json", `{"partialSuccess":{"rejectedDataPoints":"2","errorMessage":"two"}}`), Result: exporter.Result{Rejected: 2, Message: "two"}},
		{Name: "EmptyJSON", Set: say(200, "application/json", `{}`)},
		{Name: "202", Set: say(202, "text/plain", "")},
		{Name: "204", Set: say(204, "", "")},
		{Name: "Unreadable", Set: say(200, protobuf, "\xff\xff"), Result: exporter.Result{Message: "cannot be read"}},
		{Name: "UnreadableGzip", Set: say(200, protobuf, "no gzip", "Content-Encoding", "gzip"), Result: exporter.Result{Message: "cannot be read"}},
		{Name: "CutOff", Set: say(200, protobuf, "\x0a", "Content-Length", "9"), Result: exporter.Result{Message: "cannot be read"}},
	}
}

func suite(t *testing.T, overTLS bool, compressions ...string) {
	exportertest.Run(t, exportertest.Kind{
		New: func(t *testing.T, o exportertest.Options) (exporter.Exporter, exportertest.Destination) {
			s := serve(t, overTLS)
			cfg := Config{Name: "backend", Endpoints: []string{s.url() + "/"}, TLS: s.clientTLS(), Compression: o.Compression, Timeout: o.Timeout, MaxRequestBytes: o.MaxRequestBytes}
			if o.Header != "" {
				cfg.Headers = []outgoing.Header{{Name: o.Header, Value: o.Secret}}
			}
			return newExporter(t, cfg), s
		},
		Compressions: compressions,
		Answers:      answers(),
	})
}

func TestSuiteHTTP1(t *testing.T) { suite(t, false, Compressions...) }
func TestSuiteHTTP2(t *testing.T) { suite(t, true, "none", "zstd") }

func TestHeadersAndPathsOfARequest(t *testing.T) {
	s := serve(t, true)
	x := newExporter(t, Config{Endpoints: []string{s.url() + "/base"}, TLS: s.clientTLS(), UserAgent: "penstock/1.2.3", TenantHeader: "x-scope-orgid",
		Credential: &exportertest.Credential{Values: []string{"Bearer token-1"}}})
	defer x.Close()
	var paths []string
	say(200, protobuf, "")(s)
	inner := s.answer
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		paths = append(paths, r.URL.RequestURI())
		s.headers, s.protos = append(s.headers, r.Header), append(s.protos, r.Proto)
		s.mu.Unlock()
		inner(w, r)
	}
	for _, sig := range otlp.Signals {
		r := exportertest.Request(t, sig, "none", exportertest.Body(sig, 1, 1))
		r.Header = []exporter.Header{{Name: "penstock-replay-job", Value: sig.String()}}
		if _, err := x.Export(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	for i, sig := range otlp.Signals {
		if got := s.headers[i].Values("Penstock-Replay-Job"); !slices.Equal(got, []string{sig.String()}) {
			t.Errorf("header of the request of %s alone: %q", sig, got)
		}
	}
	if want := []string{"/base/v1/traces", "/base/v1/metrics", "/base/v1/logs"}; !slices.Equal(paths, want) {
		t.Errorf("paths %q, want %q", paths, want)
	}
	if s.protos[0] != "HTTP/2.0" {
		t.Errorf("over %s", s.protos[0])
	}
	for name, want := range map[string]string{"User-Agent": "penstock/1.2.3", "X-Scope-Orgid": "acme", "Authorization": "Bearer token-1", "Content-Encoding": "", "Accept-Encoding": ""} {
		if got := s.headers[0].Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestNoCredentials(t *testing.T) {
	x := newExporter(t, Config{Name: "backend", Endpoints: []string{"http://127.0.0.1:1"},
		Credential: &exportertest.Credential{Err: errors.New("token server is down")}})
	defer x.Close()
	_, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", nil))
	exportertest.Check(t, "no token", err, exportertest.Want{Code: "no_token", Says: []string{`"backend"`, "token server is down"}})
}

// A peer that takes the TCP connection and says nothing: no TLS, no answer.
func TestConnectThatDoesNotEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // its backlog takes connections
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x := newExporter(t, Config{Endpoints: []string{"https://" + l.Addr().String()}, Timeout: 50 * time.Millisecond})
	defer x.Close()
	_, err = x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", nil))
	exportertest.Check(t, "no TLS", err, exportertest.Want{Code: "no_connection", Says: []string{l.Addr().String(), "max_connections"}})
}

func TestUnknownAuthority(t *testing.T) {
	s := serve(t, true)
	x := newExporter(t, Config{Endpoints: []string{s.url()}})
	defer x.Close()
	_, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", nil))
	exportertest.Check(t, "unknown authority", err, exportertest.Want{Code: "no_connection", Says: []string{s.addr, "certificate"}})
}

func TestConnectionsAreKept(t *testing.T) {
	s := serve(t, false)
	x := newExporter(t, Config{Endpoints: []string{s.url()}})
	defer x.Close()
	peers := map[string]bool{}
	say(200, protobuf, "")(s)
	inner := s.answer
	s.answer = func(w http.ResponseWriter, r *http.Request) { peers[r.RemoteAddr] = true; inner(w, r) }
	for range 20 {
		if _, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", exportertest.Body(otlp.Logs, 1, 10))); err != nil {
			t.Fatal(err)
		}
	}
	if len(peers) != 1 {
		t.Errorf("20 requests one after the other took %d connections", len(peers))
	}
}

func TestValidate(t *testing.T) {
	f := func(change func(*Config), want ...string) {
		t.Helper()
		c := Config{Name: "backend", Endpoints: []string{"http://127.0.0.1:4318"}}
		change(&c)
		_, err := New(c)
		for _, w := range append(want, `destination "backend"`) {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("got %v, want %q", err, w)
			}
		}
		if err != nil && strings.Contains(err.Error(), "pass1234") {
			t.Errorf("%v shows the password", err)
		}
	}
	f(func(c *Config) { c.Endpoints = nil }, "endpoints: none given")
	f(func(c *Config) { c.Endpoints[0] = "127.0.0.1:4318" }, "endpoints[0]: not of the form")
	f(func(c *Config) { c.Endpoints[0] = "ftp://x:1" }, "endpoints[0]: not of the form")
	f(func(c *Config) { c.Endpoints[0] = "http://u:pass1234@x:1" }, "endpoints[0]: has a user")
	f(func(c *Config) { c.Endpoints[0] = "http://x:1/#a" }, "endpoints[0]: has a fragment")
	f(func(c *Config) { c.Compression = "snappy" }, `compression: "snappy"`)
	f(func(c *Config) { c.Compression, c.CompressionLevel = "gzip", 12 }, "compression_level: ")
	f(func(c *Config) { c.Timeout = -1 }, "timeout: ")
	f(func(c *Config) { c.MaxConnections = 1001 }, "max_connections: 1001")
	f(func(c *Config) { c.MaxRequestBytes = -1 }, "max_request_bytes: -1")
	f(func(c *Config) { c.Headers = []outgoing.Header{{Name: "Host"}} }, "headers[0]")
	f(func(c *Config) { c.TenantHeader = "a b" }, "tenant_header")
}
