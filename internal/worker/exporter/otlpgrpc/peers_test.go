package otlpgrpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
)

// official is the service as its generated code has it.
type official struct {
	tracepb.UnimplementedTraceServiceServer
	got chan *tracepb.ExportTraceServiceRequest
}

func (o *official) Export(_ context.Context, r *tracepb.ExportTraceServiceRequest) (*tracepb.ExportTraceServiceResponse, error) {
	o.got <- r
	return &tracepb.ExportTraceServiceResponse{PartialSuccess: &tracepb.ExportTracePartialSuccess{RejectedSpans: 2, ErrorMessage: "two"}}, nil
}

func TestOfficialServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &official{got: make(chan *tracepb.ExportTraceServiceRequest, 1)}
	g := grpc.NewServer()
	tracepb.RegisterTraceServiceServer(g, o)
	served := make(chan error)
	go func() { served <- g.Serve(l) }()
	defer func() { g.Stop(); <-served }()
	raw := exportertest.Body(otlp.Traces, 1, 40)
	var want tracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	for _, wire := range Compressions {
		x := newExporter(t, Config{Endpoints: []string{l.Addr().String()}, Compression: wire})
		res, err := x.Export(context.Background(), exportertest.Request(t, otlp.Traces, "zstd", raw))
		if err != nil || res != (exporter.Result{Rejected: 2, Message: "two"}) {
			t.Fatalf("%s: %+v, %v", wire, res, err)
		}
		if got := <-o.got; !proto.Equal(got, &want) {
			t.Errorf("%s: another request arrived", wire)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}

// fixed is a configuration that does not change, nil for plain text.
func fixed(c *tls.Config) func() *tls.Config {
	if c == nil {
		return nil
	}
	return func() *tls.Config { return c }
}

func TestTLS(t *testing.T) {
	made := httptest.NewUnstartedServer(nil)
	made.StartTLS() // for its certificate
	defer made.Close()
	s := serveTLS(t, made.TLS.Certificates[0])
	roots := x509.NewCertPool()
	roots.AddCert(made.Certificate())
	r := exportertest.Request(t, otlp.Logs, "none", exportertest.Body(otlp.Logs, 1, 5))

	x := newExporter(t, Config{Endpoints: []string{s.addr}, TLS: fixed(&tls.Config{RootCAs: roots, ServerName: "example.com"})})
	defer x.Close()
	if _, err := x.Export(context.Background(), r); err != nil {
		t.Error(err)
	}
	stranger := newExporter(t, Config{Endpoints: []string{s.addr}, TLS: fixed(&tls.Config{ServerName: "example.com"})})
	defer stranger.Close()
	_, err := stranger.Export(context.Background(), r)
	exportertest.Check(t, "unknown authority", err, exportertest.Want{Code: "no_connection", Says: []string{s.addr, "certificate"}})
}

// Where one side speaks TLS and the other does not, the error says what to set.
func TestOneSideSpeaksTLS(t *testing.T) {
	made := httptest.NewUnstartedServer(nil)
	made.StartTLS() // for its certificate
	defer made.Close()
	r := exportertest.Request(t, otlp.Logs, "none", exportertest.Body(otlp.Logs, 1, 5))
	f := func(addr string, c *tls.Config, says string, hides ...string) {
		t.Helper()
		x := newExporter(t, Config{Endpoints: []string{addr}, TLS: fixed(c)})
		defer x.Close()
		_, err := x.Export(context.Background(), r)
		exportertest.Check(t, says, err, exportertest.Want{Code: "no_connection", Says: []string{addr, says}, Hides: hides})
	}
	f(serve(t).addr, &tls.Config{}, "tls: first record does not look like a TLS handshake\"; the server speaks plain text: set tls: {insecure: true}")
	f(serveTLS(t, made.TLS.Certificates[0]).addr, nil, "; if the server speaks TLS, remove insecure from tls")
	web := httptest.NewServer(nil)
	defer web.Close()
	f(web.Listener.Addr().String(), nil, "HTTP/1.1", "TLS")
	f("127.0.0.1:1", nil, "refused", "TLS")
}

// Something that speaks HTTP/2 and not gRPC, such as a balancer, is judged by
// the mapping of gRPC.
func TestHTTPAnswers(t *testing.T) {
	f := func(code int, want exportertest.Want) {
		t.Helper()
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(code)
		}))
		s.EnableHTTP2 = true
		s.StartTLS()
		defer s.Close()
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		x := newExporter(t, Config{Endpoints: []string{s.Listener.Addr().String()}, TLS: fixed(&tls.Config{RootCAs: roots})})
		defer x.Close()
		_, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", nil))
		exportertest.Check(t, http.StatusText(code), err, want)
	}
	f(503, exportertest.Want{Kind: exporter.Retryable, Code: "UNAVAILABLE", Says: []string{"503"}})
	f(404, exportertest.Want{Kind: exporter.Permanent, Code: "UNIMPLEMENTED", Says: []string{"404"}})
	f(401, exportertest.Want{Kind: exporter.Permanent, Code: "UNAUTHENTICATED"})
}

// A stream that is reset says nothing of the request, whatever its code.
func TestStreamReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			resetAll(t, c)
			c.Close()
		}
	}()
	defer func() { <-done }()
	x := newExporter(t, Config{Endpoints: []string{l.Addr().String()}})
	defer x.Close()
	defer l.Close()
	_, err = x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", exportertest.Body(otlp.Logs, 1, 5)))
	exportertest.Check(t, "reset", err, exportertest.Want{Kind: exporter.Retryable, Code: "INTERNAL", Says: []string{"reset", l.Addr().String()}})
}

// resetAll answers each request on c by RST_STREAM, until c ends.
func resetAll(t *testing.T, c net.Conn) {
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := fr.WriteSettings(); err != nil {
		t.Error(err)
	}
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !bytes.Contains([]byte(err.Error()), []byte("reset")) {
				t.Errorf("read: %v", err)
			}
			return
		}
		if f.Header().Type == http2.FrameData && f.Header().Flags.Has(http2.FlagDataEndStream) {
			if err := fr.WriteRSTStream(f.Header().StreamID, http2.ErrCodeInternal); err != nil {
				t.Error(err)
			}
		}
	}
}
