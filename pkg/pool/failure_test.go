package pool_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/pkg/pool"
)

// deadAddr is an address where nobody listens.
func deadAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestServerRestart(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}})
	if err := do(p, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	s.stop()
	var down *pool.NoConnectionError
	eventually(t, "calls fail at once and say why", func() bool { return errors.As(do(p, 5*time.Second), &down) })
	if down.Endpoint != s.addr || !strings.Contains(down.Error(), "connection refused") || status.Code(down) != codes.Unavailable {
		t.Errorf("got %v", down)
	}
	eventually(t, "the statistics say so", func() bool {
		st := p.Stats()
		return !st.Endpoints[0].Down.IsZero() && strings.HasPrefix(st.LastError, s.addr) && st.ConnectFailures > 0
	})
	serve(t, s.addr, nil)
	eventually(t, "calls succeed again", func() bool { return do(p, 5*time.Second) == nil })
	if st := p.Stats(); !st.Endpoints[0].Down.IsZero() || st.Ready != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestTwoEndpointsOneDown(t *testing.T) {
	s, dead := serve(t, "127.0.0.1:0", nil), deadAddr(t)
	p := newPool(t, pool.Config{Endpoints: []string{dead, s.addr}})
	for range 50 {
		if err := do(p, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "one ready, one down", func() bool {
		st := p.Stats()
		return st.Ready == 1 && st.Broken == 1 && !st.Endpoints[0].Down.IsZero()
	})
	s2 := serve(t, dead, nil)
	eventually(t, "both share the calls", func() bool {
		return do(p, 5*time.Second) == nil && s2.total() > 0
	})
}

func TestEndpointsShareALightLoad(t *testing.T) {
	a, b := serve(t, "127.0.0.1:0", nil), serve(t, "127.0.0.1:0", nil)
	p := newPool(t, pool.Config{Endpoints: []string{a.addr, b.addr}})
	eventually(t, "one connection each", func() bool { return p.Stats().Ready == 2 })
	for range 20 {
		if err := do(p, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if a.total() != 10 || b.total() != 10 {
		t.Errorf("one call after the other went %d and %d, want 10 and 10", a.total(), b.total())
	}
}

func TestABrokenOneBesideDoesNotSkewTheTurns(t *testing.T) {
	a, b := serve(t, "127.0.0.1:0", nil), serve(t, "127.0.0.1:0", nil)
	p := newPool(t, pool.Config{Endpoints: []string{deadAddr(t), a.addr, b.addr}})
	eventually(t, "two ready, one down", func() bool { st := p.Stats(); return st.Ready == 2 && st.Broken == 1 })
	for range 20 {
		if err := do(p, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if a.total() != 10 || b.total() != 10 {
		t.Errorf("one call after the other went %d and %d, want 10 and 10", a.total(), b.total())
	}
}

func TestFailoverWithOneConnection(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	p := newPool(t, pool.Config{Endpoints: []string{deadAddr(t), s.addr}, MaxConnections: 1})
	eventually(t, "a call succeeds", func() bool { return do(p, 5*time.Second) == nil })
	if st := p.Stats(); st.Removed.Failover != 1 || st.Endpoints[1].Ready != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestHungPeerIsReplaced(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	s.stuck = func(n int) bool { return n == 0 }
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, MaxConnections: 1, HangAfter: 3, DrainTimeout: 50 * time.Millisecond})
	eventually(t, "connected", func() bool { return p.Stats().Ready == 1 })
	for range 3 {
		if err := do(p, 20*time.Millisecond); status.Code(err) != codes.DeadlineExceeded {
			t.Fatalf("got %v", err)
		}
	}
	if err := do(p, 5*time.Second); err != nil {
		t.Fatalf("the replacement: %v, %+v", err, p.Stats())
	}
	if st := p.Stats(); st.Removed.Hung != 1 || st.Dials != 2 {
		t.Errorf("stats %+v", st)
	}
}

// A peer that hangs is left out while another answers, and comes back.
func TestHungEndpointIsLeftOut(t *testing.T) {
	a, b := serve(t, "127.0.0.1:0", nil), serve(t, "127.0.0.1:0", nil)
	p := newPool(t, pool.Config{Endpoints: []string{a.addr, b.addr}, HangAfter: 2, DrainTimeout: 50 * time.Millisecond})
	eventually(t, "both ready", func() bool { return p.Stats().Ready == 2 })
	b.hold()
	failed := 0
	for range 40 {
		if err := do(p, 30*time.Millisecond); err != nil {
			failed++
		}
	}
	// Two until it counts as hung, and perhaps a trial or two where the machine
	// is slow. It is every other call for a pool that goes by connections.
	if failed < 2 || failed > 5 {
		t.Errorf("%d of 40 calls went to a peer that answers none", failed)
	}
	if st := p.Stats(); st.Removed.Hung < 1 || st.NotServing != 1 || st.Ready != 1 {
		t.Errorf("stats %+v", st)
	}
	b.free()
	n := b.total()
	eventually(t, "both share the calls again", func() bool { return do(p, 5*time.Second) == nil && b.total() > n+5 })
}

func TestASlowCallAmongOthersIsNoHang(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, HangAfter: 2})
	eventually(t, "connected", func() bool { return p.Stats().Ready == 1 })
	for range 4 {
		s.hold()
		if err := do(p, 20*time.Millisecond); status.Code(err) != codes.DeadlineExceeded {
			t.Fatalf("got %v", err)
		}
		s.free()
		if err := do(p, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if st := p.Stats(); st.Removed.Hung != 0 || st.Dials != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestMaxAgeReplacesWithoutAFailedCall(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, MinConnections: 2, MaxConnections: 2, MaxAge: 20 * time.Millisecond})
	eventually(t, "6 replaced, no call failed", func() bool {
		if err := do(p, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		return p.Stats().Removed.MaxAge >= 6
	})
	eventually(t, "never more than one above the maximum", func() bool {
		st := p.Stats()
		if st.Endpoints[0].Connections > 3 {
			t.Fatalf("%d connections", st.Endpoints[0].Connections)
		}
		return true
	})
}

func TestDrainTimeoutEndsACallThatHoldsAnOldConnection(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	s.hold()
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, MaxAge: 50 * time.Millisecond, DrainTimeout: 30 * time.Millisecond})
	err := start(p, 1)()[0]
	if c := status.Code(err); c != codes.Canceled && c != codes.Unavailable {
		t.Errorf("got %v", err)
	}
}

func TestServerThatClosesOldConnections(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 20 * time.Millisecond, MaxConnectionAgeGrace: 5 * time.Second}))
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}})
	eventually(t, "calls over 4 connections, none failed", func() bool {
		if err := do(p, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) >= 4
	})
	if st := p.Stats(); st.Dials != 1 || st.Failures != 0 {
		t.Errorf("stats %+v, want the one connection to come back", st)
	}
}

// A peer that takes the TCP connection and says nothing: connecting.
func TestConnectThatDoesNotEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepted []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted = append(accepted, c)
		}
	}()
	defer func() {
		l.Close()
		<-done
		for _, c := range accepted {
			c.Close()
		}
	}()
	f := func(waitTimeout, deadline time.Duration, want codes.Code) {
		t.Helper()
		p := newPool(t, pool.Config{Endpoints: []string{l.Addr().String()}, WaitTimeout: waitTimeout})
		err := do(p, deadline)
		var down *pool.NoConnectionError
		if !errors.As(err, &down) || down.Endpoint != l.Addr().String() || status.Code(err) != want {
			t.Errorf("got %v", err)
		}
	}
	f(0, 30*time.Millisecond, codes.DeadlineExceeded)
	f(30*time.Millisecond, time.Minute, codes.Unavailable)
}

func TestHealth(t *testing.T) {
	ha, hb := health.NewServer(), health.NewServer()
	register := func(h *health.Server) func(*grpc.Server) {
		return func(g *grpc.Server) { healthpb.RegisterHealthServer(g, h) }
	}
	a, b := serve(t, "127.0.0.1:0", register(ha)), serve(t, "127.0.0.1:0", register(hb))
	hb.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	p := newPool(t, pool.Config{Endpoints: []string{a.addr, b.addr}, HealthCheck: true, HealthInterval: 250 * time.Millisecond})
	stats := func(ready, not int) {
		t.Helper()
		eventually(t, "the states", func() bool { st := p.Stats(); return st.Ready == ready && st.NotServing == not })
	}
	calls := func() (int, int) {
		t.Helper()
		a0, b0 := a.total(), b.total()
		for range 10 {
			if err := do(p, 5*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		return a.total() - a0, b.total() - b0
	}
	stats(1, 1)
	if x, y := calls(); x != 10 || y != 0 {
		t.Errorf("one not serving: %d and %d calls", x, y)
	}
	hb.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	stats(2, 0)
	if x, y := calls(); x != 5 || y != 5 {
		t.Errorf("both serving: %d and %d calls", x, y)
	}
	ha.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	hb.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	stats(0, 2)
	if x, y := calls(); x+y != 10 {
		t.Errorf("none serving, yet the only ones there are: %d and %d calls", x, y)
	}
	if st := p.Stats(); st.Dials != 2 {
		t.Errorf("opened %d, want the 2", st.Dials)
	}
}

func TestHealthUnimplementedIsConnectivityAlone(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, HealthCheck: true, HealthInterval: time.Second})
	if err := do(p, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); p.Stats().Ready != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("stats %+v", p.Stats())
		}
	}
}

// Everything at once, for the race detector: load, growth, shrinking, ageing,
// an endpoint that comes and goes. A call fails only by the stopped server.
func TestEverythingAtOnce(t *testing.T) {
	a, b := serve(t, "127.0.0.1:0", nil), serve(t, "127.0.0.1:0", nil)
	p := newPool(t, pool.Config{Endpoints: []string{a.addr, b.addr}, MaxConnections: 6, GrowAt: 1, MaxInFlight: 2,
		IdleTTL: 5 * time.Millisecond, MaxAge: 10 * time.Millisecond})
	var ok, failed atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				switch err := do(p, 5*time.Second); status.Code(err) {
				case codes.OK:
					ok.Add(1)
				case codes.Unavailable, codes.Canceled:
					failed.Add(1)
				default:
					t.Errorf("call: %v", err)
				}
			}
		})
	}
	eventually(t, "300 calls", func() bool { return ok.Load() >= 300 })
	b.stop()
	n := ok.Load()
	eventually(t, "300 calls more with one endpoint", func() bool { return ok.Load() >= n+300 })
	serve(t, b.addr, nil)
	n = ok.Load()
	eventually(t, "300 calls more with both again", func() bool { return ok.Load() >= n+300 })
	cancel()
	wg.Wait()
	st := p.Stats()
	if st.InFlight != 0 || st.Waiting != 0 || st.Calls != uint64(ok.Load()+failed.Load()) {
		t.Errorf("%d ok, %d failed, stats %+v", ok.Load(), failed.Load(), st)
	}
	t.Logf("%d ok, %d failed, removed %+v", ok.Load(), failed.Load(), st.Removed)
}
