package pool_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/penstock-otel/penstock/pkg/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	method       = "/test.Echo/Call"
	streamMethod = "/test.Echo/Stream"
)

// server is a real gRPC server that knows what runs on each connection.
type server struct {
	addr string
	grpc *grpc.Server
	done chan struct{}

	mu     sync.Mutex
	cond   *sync.Cond
	held   bool           // calls stay until free
	stuck  func(int) bool // which connections, by number, answer nothing
	conns  map[string]int // peer address -> number
	flying map[int]int    // connection number -> calls in flight
	served map[int]int
}

// serve starts a server on addr; extra registers services.
func serve(t testing.TB, addr string, extra func(*grpc.Server), opts ...grpc.ServerOption) *server {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: l.Addr().String(), done: make(chan struct{}), conns: map[string]int{}, flying: map[int]int{}, served: map[int]int{}}
	s.cond = sync.NewCond(&s.mu)
	s.grpc = grpc.NewServer(opts...)
	s.grpc.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Echo",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Call", Handler: s.call}},
		Streams:     []grpc.StreamDesc{{StreamName: "Stream", Handler: s.stream, ServerStreams: true}},
	}, s)
	if extra != nil {
		extra(s.grpc)
	}
	go func() {
		defer close(s.done)
		_ = s.grpc.Serve(l) // ends with stop
	}()
	t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	s.free()
	s.grpc.Stop()
	<-s.done
}

func (s *server) call(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(emptypb.Empty)
	if err := dec(in); err != nil {
		return nil, err
	}
	n := s.begin(ctx)
	defer s.end(n)
	s.mu.Lock()
	stuck := s.stuck != nil && s.stuck(n)
	s.mu.Unlock()
	s.mu.Lock()
	for (s.held || stuck) && ctx.Err() == nil {
		s.cond.Wait()
	}
	s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		// The client's own deadline comes first: this server never answers.
		time.Sleep(50 * time.Millisecond)
		return nil, err
	}
	return in, nil
}

func (s *server) stream(_ any, st grpc.ServerStream) error {
	n := s.begin(st.Context())
	defer s.end(n)
	<-st.Context().Done()
	return nil
}

func (s *server) begin(ctx context.Context) int {
	p, _ := peer.FromContext(ctx)
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cond.Broadcast()
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.conns[p.Addr.String()]
	if !ok {
		n = len(s.conns)
		s.conns[p.Addr.String()] = n
	}
	s.flying[n]++
	return n
}

func (s *server) end(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying[n]--
	s.served[n]++
}

// hold keeps every call until free.
func (s *server) hold() { s.mu.Lock(); s.held = true; s.mu.Unlock() }

func (s *server) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = false
	s.cond.Broadcast()
}

// inFlight is the number of calls in each connection's handlers.
func (s *server) inFlight() (total int, each []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range len(s.conns) {
		each = append(each, s.flying[n])
		total += s.flying[n]
	}
	return total, each
}

func (s *server) total() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.served {
		n += v
	}
	return n
}

func newPool(t testing.TB, cfg pool.Config) *pool.Pool {
	t.Helper()
	cfg.DialOptions = append(cfg.DialOptions, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if cfg.Backoff.BaseDelay == 0 {
		cfg.Backoff = pool.Defaults().Backoff
		cfg.Backoff.BaseDelay, cfg.Backoff.MaxDelay = 10*time.Millisecond, 50*time.Millisecond
	}
	p, err := pool.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

func do(p *pool.Pool, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return p.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{})
}

// start makes n calls at once; wait gives their errors.
func start(p *pool.Pool, n int) (wait func() []error) {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = do(p, 10*time.Second) })
	}
	return func() []error { wg.Wait(); return errs }
}

func wantAllNil(t *testing.T, errs []error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
