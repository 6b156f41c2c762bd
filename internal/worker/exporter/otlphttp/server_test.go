package otlphttp

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
	"github.com/penstock-otel/penstock/pkg/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a real HTTP server, over TLS with HTTP/2 where asked.
type server struct {
	addr string
	tls  bool
	http *httptest.Server

	mu       sync.Mutex
	free     chan struct{} // closed: nothing is held
	held     int
	answer   http.HandlerFunc
	received []exportertest.Received
	headers  []http.Header
	protos   []string
}

func serve(t testing.TB, overTLS bool) *server {
	t.Helper()
	s := &server{addr: "127.0.0.1:0", tls: overTLS, free: make(chan struct{})}
	close(s.free)
	s.start(t)
	t.Cleanup(func() { s.Free(); s.Stop() })
	return s
}

func (s *server) start(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	h := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	h.Listener.Close()
	h.Listener = l
	h.Config.ErrorLog = nil
	if s.tls {
		h.EnableHTTP2 = true
		h.StartTLS()
	} else {
		h.Start()
	}
	s.http = h
}

func (s *server) Start(t *testing.T) { s.start(t) }

func (s *server) Stop() {
	s.http.CloseClientConnections()
	s.http.Close()
}

func (s *server) Address() string { return s.addr }
func (s *server) url() string     { return s.http.URL }

func (s *server) clientTLS() func() *tls.Config {
	if !s.tls {
		return nil
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.http.Certificate())
	c := &tls.Config{RootCAs: roots}
	return func() *tls.Config { return c }
}

func (s *server) Hold() { s.mu.Lock(); defer s.mu.Unlock(); s.free = make(chan struct{}) }

func (s *server) Free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.free:
	default:
		close(s.free)
	}
}

func (s *server) Held() int { s.mu.Lock(); defer s.mu.Unlock(); return s.held }

func (s *server) Received(*testing.T) []exportertest.Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.received)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client gave up
	}
	s.mu.Lock()
	free, answer := s.free, s.answer
	s.held++
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.held--; s.mu.Unlock() }()
	select {
	case <-free:
	case <-r.Context().Done():
		return
	}
	if answer != nil {
		answer(w, r)
		return
	}
	sig, err := otlp.ParseSignal(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "no such thing", http.StatusNotFound)
		return
	}
	got := exportertest.Received{Signal: sig, Encoding: r.Header.Get("Content-Encoding"), Secret: r.Header.Get("X-Api-Key")}
	if got.Body, err = codec.Decode(nil, got.Encoding, body, 64<<20); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if got.Encoding == "" {
		got.Encoding = "none"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, got)
	s.headers = append(s.headers, r.Header)
	s.protos = append(s.protos, r.Proto)
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK)
}

// say makes the server answer every request so from now on.
func say(code int, contentType, body string, header ...string) func(exportertest.Destination) {
	return func(d exportertest.Destination) {
		s := d.(*server)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answer = func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{contentType}
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
}
