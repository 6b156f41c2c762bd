package pool_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/penstock-otel/penstock/pkg/pool"
)

func TestLeastInFlightFirst(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	s.hold()
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, MinConnections: 3, GrowAt: 100})
	eventually(t, "3 ready", func() bool { return p.Stats().Ready == 3 })
	wait := start(p, 30)
	eventually(t, "30 calls in the server", func() bool { n, _ := s.inFlight(); return n == 30 })
	if _, each := s.inFlight(); !slices.Equal(each, []int{10, 10, 10}) {
		t.Errorf("calls on each connection: %v, want 10 each", each)
	}
	if st := p.Stats(); st.InFlight != 30 || st.Endpoints[0].InFlight != 30 || st.Endpoints[0].Ready != 3 {
		t.Errorf("stats %+v", st)
	}
	s.free()
	wantAllNil(t, wait())
	if st := p.Stats(); st.InFlight != 0 || st.Calls != 30 || st.Failures != 0 {
		t.Errorf("stats after: %+v", st)
	}
}

func TestGrowsUnderLoadAndShrinksWithoutIt(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	s.hold()
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, MaxConnections: 3, GrowAt: 2, IdleTTL: 30 * time.Millisecond})
	var waits []func() []error
	for n, want := range []int{1, 1, 2, 2, 2, 3, 3, 3} {
		waits = append(waits, start(p, 1))
		eventually(t, "the call in the server", func() bool { got, _ := s.inFlight(); return got == n+1 })
		eventually(t, "connections as many as the load asks for", func() bool { return p.Stats().Ready == want })
	}
	if st := p.Stats(); st.Dials != 3 {
		t.Errorf("opened %d, want 3", st.Dials)
	}
	// A connection whose calls go on is drained, not cut.
	s.free()
	for _, w := range waits {
		wantAllNil(t, w())
	}
	eventually(t, "back to one", func() bool { return p.Stats().Endpoints[0].Connections == 1 })
	if st := p.Stats(); st.Removed.Idle != 2 {
		t.Errorf("removed as idle: %d, want 2", st.Removed.Idle)
	}
	wantAllNil(t, start(p, 3)())
}

// The default bound is fifty, and it is one: calls in flight are spread over
// all of them, each within its cap, and the rest wait.
func TestGrowsToFiftyAndNoFurther(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	s.hold()
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, GrowAt: 1, MaxInFlight: 2, IdleTTL: 300 * time.Millisecond})
	wait := start(p, 110)
	eventually(t, "50 connections of 2 calls each, 10 waiting", func() bool {
		st := p.Stats()
		return st.Ready == 50 && st.InFlight == 100 && st.Waiting == 10
	})
	if n, each := s.inFlight(); n > 100 || slices.Max(each) > 2 || len(each) > 50 {
		t.Errorf("the server has %d calls over %d connections, at most %d on one", n, len(each), slices.Max(each))
	}
	s.free()
	wantAllNil(t, wait())
	eventually(t, "back to the warm minimum", func() bool { return p.Stats().Endpoints[0].Connections == 1 })
	if st := p.Stats(); st.Dials != 50 || st.Removed.Idle != 49 {
		t.Errorf("%d opened, %d removed as idle, want 50 and 49", st.Dials, st.Removed.Idle)
	}
}

// The warm minimum is open before the first call, one for each endpoint at
// least, and made good when a connection is taken out.
func TestWarmMinimum(t *testing.T) {
	a, b := serve(t, "127.0.0.1:0", nil), serve(t, "127.0.0.1:0", nil)
	f := func(minimum, want int) {
		t.Helper()
		p := newPool(t, pool.Config{Endpoints: []string{a.addr, b.addr}, MinConnections: minimum, IdleTTL: 10 * time.Millisecond, MaxAge: 50 * time.Millisecond})
		eventually(t, "the minimum", func() bool { return p.Stats().Ready == want })
		eventually(t, "the minimum after each was replaced", func() bool {
			st := p.Stats()
			return st.Removed.MaxAge >= uint64(want) && st.Ready >= want && st.Removed.Idle == 0
		})
	}
	f(1, 2)
	f(3, 3)
}

func TestNoneKeptWithoutLoad(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, MinConnections: -1, IdleTTL: 20 * time.Millisecond})
	if st := p.Stats(); st.Dials != 0 {
		t.Fatalf("opened %d before the first call", st.Dials)
	}
	for range 2 {
		if err := do(p, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		eventually(t, "none", func() bool { return p.Stats().Endpoints[0].Connections == 0 })
	}
	if st := p.Stats(); st.Dials != 2 || st.Removed.Idle != 2 {
		t.Errorf("stats %+v, want 2 opened and 2 removed", st)
	}
}

func TestCapMakesCallsWait(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	s.hold()
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, MaxConnections: 1, MaxInFlight: 2})
	wait := start(p, 5)
	eventually(t, "2 in flight, 3 waiting", func() bool {
		n, _ := s.inFlight()
		return n == 2 && p.Stats().Waiting == 3
	})
	err := do(p, 20*time.Millisecond)
	var busy *pool.BusyError
	if !errors.As(err, &busy) || busy.Connections != 1 || busy.MaxInFlight != 2 || !errors.Is(err, context.DeadlineExceeded) || status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a call with no time to wait: %v", err)
	}
	s.free()
	wantAllNil(t, wait())
	if st := p.Stats(); st.WaitTimeouts != 1 || st.Waits < 4 {
		t.Errorf("stats %+v", st)
	}
}

func TestWaitTimeout(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	s.hold()
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, MaxConnections: 1, MaxInFlight: 1, WaitTimeout: time.Second})
	wait := start(p, 1)
	eventually(t, "1 in flight", func() bool { n, _ := s.inFlight(); return n == 1 })
	err := do(p, time.Minute)
	var busy *pool.BusyError
	if !errors.As(err, &busy) || status.Code(err) != codes.ResourceExhausted || errors.Unwrap(err) != nil {
		t.Errorf("got %v", err)
	}
	s.free()
	wantAllNil(t, wait())
}

func TestStreamHoldsItsPlace(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, MaxConnections: 1, MaxInFlight: 1})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	st, err := p.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, streamMethod)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream in the server", func() bool { n, _ := s.inFlight(); return n == 1 })
	if got := p.Stats().InFlight; got != 1 {
		t.Errorf("in flight %d, want 1", got)
	}
	cancel()
	if err := st.RecvMsg(&emptypb.Empty{}); status.Code(err) != codes.Canceled {
		t.Errorf("after cancel: %v", err)
	}
	eventually(t, "the place is free", func() bool { return p.Stats().InFlight == 0 })
	if err := do(p, 5*time.Second); err != nil {
		t.Error(err)
	}
	if _, err := p.NewStream(ctx, &grpc.StreamDesc{}, streamMethod); status.Code(err) != codes.Canceled {
		t.Errorf("with a dead context: %v", err)
	}
}

func TestClose(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	s.hold()
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}, MaxConnections: 1, MaxInFlight: 1})
	first := start(p, 1)
	eventually(t, "1 in flight", func() bool { n, _ := s.inFlight(); return n == 1 })
	second := start(p, 1)
	eventually(t, "1 waiting", func() bool { return p.Stats().Waiting == 1 })
	closed := make(chan error)
	go func() { closed <- p.Close(context.Background()) }()
	if errs := second(); !errors.Is(errs[0], pool.ErrClosed) {
		t.Errorf("the call that waited: %v", errs[0])
	}
	if err := do(p, time.Second); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("a call after: %v", err)
	}
	s.free()
	wantAllNil(t, first())
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestCloseCutsWhatDoesNotEnd(t *testing.T) {
	s := serve(t, "127.0.0.1:0", nil)
	s.hold()
	p := newPool(t, pool.Config{Endpoints: []string{s.addr}})
	wait := start(p, 2)
	eventually(t, "2 in flight", func() bool { n, _ := s.inFlight(); return n == 2 })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v, want that 2 calls were cut", err)
	}
	for _, err := range wait() {
		if c := status.Code(err); c != codes.Canceled && c != codes.Unavailable {
			t.Errorf("a call cut off: %v", err)
		}
	}
}
