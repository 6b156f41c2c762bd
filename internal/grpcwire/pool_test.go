package grpcwire

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"

	"github.com/penstock-otel/penstock/internal/otlp"
)

func TestPoolSizesAndCounts(t *testing.T) {
	f := func(n, wantCap int, wantInUse int64) {
		t.Helper()
		p := NewMeteredPool(0)
		b := p.Get(n)
		if len(*b) != n || cap(*b) != wantCap || p.InUse() != wantInUse {
			t.Errorf("Get(%d): length %d, capacity %d, in use %d; want %d, %d, %d", n, len(*b), cap(*b), p.InUse(), n, wantCap, wantInUse)
		}
		*b = (*b)[:n/2]
		p.Put(b)
		if wantCap <= 64<<20 && p.InUse() != 0 {
			t.Errorf("Get(%d), Put: %d in use", n, p.InUse())
		}
	}
	f(0, 0, 0)
	f(1, 1, 0)
	f(1024, 1024, 0)
	f(1025, 2048, 2048)
	f(2048, 2048, 2048)
	f(2049, 2560, 2560)
	f(16384, 16384, 16384)
	f(4<<20, 4<<20, 4<<20)
	f(4<<20+1, 5<<20, 5<<20)
	f(45_000, 48<<10, 48<<10)
	f(159_000, 160<<10, 160<<10)
	f(57<<10, 64<<10, 64<<10)
	f(64<<20, 64<<20, 64<<20)
	f(64<<20+5, 64<<20+5, 64<<20+5)
}

func TestPoolReusesUpToItsLimit(t *testing.T) {
	p := NewMeteredPool(64 << 10)
	a, b, c := p.Get(32<<10), p.Get(32<<10), p.Get(32<<10)
	first := &(*b)[0]
	p.Put(a)
	p.Put(b)
	p.Put(c) // over the limit: dropped
	if got := p.Idle(); got != 64<<10 {
		t.Errorf("%d bytes idle, want 64 KiB", got)
	}
	if d := p.Get(30 << 10); &(*d)[0] != first || len(*d) != 30<<10 {
		t.Error("Get does not reuse the last buffer that was put back")
	}
	a, b, c = nil, nil, nil
	// What was dropped counts until it is collected.
	eventually(t, "only one buffer is in use", func() bool { runtime.GC(); return p.InUse() == 32<<10 || p.InUse() == 0 })
}

// Calls that are cancelled at any moment leave nothing counted behind that grows.
func TestPoolAfterCancelledCalls(t *testing.T) {
	pool := NewMeteredPool(0)
	addr := serveFrames(t, func(ctx context.Context, _ otlp.Signal, recv func(*Frame) error) ([]byte, error) {
		f := Frame{Pool: pool}
		if err := recv(&f); err != nil {
			return nil, err
		}
		f.Free()
		return nil, nil
	}, experimental.BufferPool(pool))
	c := dial(t, addr)
	body := make([]byte, 2<<20)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 15 {
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan struct{})
				go func() {
					defer close(done)
					// Cancelled or not: the outcome is not the subject.
					_ = c.Invoke(ctx, Method(otlp.Traces), NewFrame(body), &Frame{}, grpc.ForceCodecV2(Codec{}))
				}()
				for range r.IntN(200) {
					runtime.Gosched()
				}
				cancel()
				<-done
			}
		})
	}
	wg.Wait()
	// A connection refers to its last frame until the next one comes.
	eventually(t, "at most one frame is in use", func() bool { runtime.GC(); return pool.InUse() <= 16<<10 })
}

func TestPoolKeepsBuffersApart(t *testing.T) {
	p := NewMeteredPool(1 << 20)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 2))
			for range 150 {
				b := p.Get(1025 + r.IntN(60_000))
				for i := range *b {
					(*b)[i] = byte(g)
				}
				runtime.Gosched()
				for _, x := range *b {
					if x != byte(g) {
						t.Error("two hold one buffer")
						return
					}
				}
				p.Put(b)
			}
		})
	}
	wg.Wait()
	eventually(t, "nothing is in use", func() bool { runtime.GC(); return p.InUse() == 0 })
}

// TestTiersWasteAQuarterAtMost goes over the sizes near every border.
func TestTiersWasteAQuarterAtMost(t *testing.T) {
	last := -1
	for n := 2048; n <= 64<<20; n += max(1, n/1000) {
		i, size := tierOf(n)
		if size < n || size > n+n/4+1 || i < last || i > last+1 {
			t.Fatalf("tier %d of %d bytes for %d, after tier %d", i, size, n, last)
		}
		if j, same := tierOf(size); j != i || same != size {
			t.Fatalf("a buffer of %d bytes goes back to tier %d of %d, not %d", size, j, same, i)
		}
		last = i
	}
}
