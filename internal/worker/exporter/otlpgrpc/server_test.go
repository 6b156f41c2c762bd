package otlpgrpc

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a real gRPC server of the three services.
type server struct {
	addr string
	opts []grpc.ServerOption
	grpc *grpc.Server
	done chan struct{}
	// handler is export unless set before start.
	handler grpcwire.ExportHandler

	mu       sync.Mutex
	free     chan struct{} // closed: nothing is held
	held     int
	answer   func(context.Context) ([]byte, error)
	received []exportertest.Received
	metadata []metadata.MD
}

func serve(t testing.TB, opts ...grpc.ServerOption) *server {
	t.Helper()
	s := &server{addr: "127.0.0.1:0", opts: opts, free: make(chan struct{})}
	close(s.free)
	s.start(t)
	t.Cleanup(func() { s.Free(); s.Stop() })
	return s
}

func serveTLS(t testing.TB, cert tls.Certificate) *server {
	return serve(t, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}})))
}

func (s *server) start(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	g := grpc.NewServer(append(s.opts, grpc.ForceServerCodecV2(grpcwire.Codec{}), grpc.MaxRecvMsgSize(64<<20))...)
	if s.handler == nil {
		s.handler = s.export
	}
	for _, sig := range otlp.Signals {
		g.RegisterService(grpcwire.ServiceDesc(sig, s.handler), nil)
	}
	done := make(chan struct{})
	s.grpc, s.done = g, done
	go func() {
		defer close(done)
		_ = g.Serve(l) // ends with Stop
	}()
}

func (s *server) Start(t *testing.T) { s.start(t) }
func (s *server) Stop()              { s.grpc.Stop(); <-s.done }
func (s *server) Address() string    { return s.addr }

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

func (s *server) export(ctx context.Context, sig otlp.Signal, recv func(*grpcwire.Frame) error) ([]byte, error) {
	f := grpcwire.Frame{KeepCompressed: true}
	defer f.Free()
	if err := recv(&f); err != nil {
		return nil, err
	}
	s.mu.Lock()
	free, answer := s.free, s.answer
	s.held++
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.held--; s.mu.Unlock() }()
	select {
	case <-free:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if answer != nil {
		return answer(ctx)
	}
	r := exportertest.Received{Signal: sig, Encoding: f.Encoding}
	if r.Encoding == "" {
		r.Encoding = "none"
	}
	if err := f.Decompress(0); err != nil {
		return nil, err
	}
	b, release := f.Bytes(nil)
	defer release()
	r.Body = slices.Clone(b)
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get("x-api-key"); len(v) > 0 {
		r.Secret = v[0]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, r)
	s.metadata = append(s.metadata, md)
	return nil, nil
}

// say makes the server answer every request so from now on.
func say(answer func(context.Context) ([]byte, error)) func(exportertest.Destination) {
	return func(d exportertest.Destination) {
		s := d.(*server)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answer = answer
	}
}
