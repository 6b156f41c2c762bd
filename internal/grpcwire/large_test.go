package grpcwire

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLargeBuffersAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLarge(32<<20, time.Second)
		p, other := NewMeteredPool(0).WithLarge(l), NewMeteredPool(0).WithLarge(l)
		a := p.Get(10<<20 + 1)
		if len(*a) != 10<<20+1 || cap(*a) != 12<<20 || p.InUse() != 12<<20 || other.InUse() != 0 {
			t.Errorf("length %d, capacity %d, in use %d and %d", len(*a), cap(*a), p.InUse(), other.InUse())
		}
		first := &(*a)[0]
		*a = (*a)[:3]
		p.Put(a)
		p.Put(a) // it is not its any more
		if p.InUse() != 0 || l.Idle() != 12<<20 {
			t.Errorf("in use %d, idle %d", p.InUse(), l.Idle())
		}
		five := other.Get(5 << 20)
		if &(*five)[0] == first { // half of it would be wasted
			t.Error("a much larger one was taken")
		}
		six := other.Get(6 << 20)
		if &(*six)[0] != first || len(*six) != 6<<20 || l.Idle() != 0 || other.InUse() != 17<<20 {
			t.Errorf("it was not taken: idle %d, in use %d", l.Idle(), other.InUse())
		}
		for range 5 {
			p.Put(p.Get(1<<20 + 1))
		}
		if l.Idle() != 5<<18 {
			t.Errorf("%d bytes are idle, want one buffer", l.Idle())
		}
		time.Sleep(900 * time.Millisecond)
		p.Put(p.Get(12 << 20))
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if l.Idle() != 12<<20 {
			t.Errorf("after 1.1 s %d bytes are idle, want the younger", l.Idle())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if l.Idle() != 0 {
			t.Errorf("%d bytes are kept for good", l.Idle())
		}
		other.Put(five)
		other.Put(six)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		var out []*[]byte
		for range 4 {
			out = append(out, p.Get(12<<20))
		}
		for _, b := range out {
			p.Put(b)
		}
		if l.Idle() != 24<<20 {
			t.Errorf("%d bytes are kept, want no more than 32 MiB", l.Idle())
		}
		huge := p.Get(30 << 20)
		if l.Idle() != 0 {
			t.Errorf("%d bytes are kept beside 30 MiB that are lent", l.Idle())
		}
		p.Put(huge)
		time.Sleep(2 * time.Second)
	})
}

func TestLargeBuffersAreKeptApart(t *testing.T) {
	l := NewLarge(20<<20, 10*time.Millisecond)
	pools := []*MeteredPool{NewMeteredPool(0).WithLarge(l), NewMeteredPool(0).WithLarge(l)}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			p := pools[g%2]
			r := rand.New(rand.NewPCG(uint64(g), 3))
			for range 40 {
				b := p.Get(1<<20 + 1 + r.IntN(4<<20))
				for i := 0; i < len(*b); i += 4 << 10 {
					(*b)[i] = byte(g)
				}
				runtime.Gosched()
				for i := 0; i < len(*b); i += 4 << 10 {
					if (*b)[i] != byte(g) {
						t.Error("two hold one buffer")
						return
					}
				}
				p.Put(b)
			}
		})
	}
	wg.Wait()
	if a, b := pools[0].InUse(), pools[1].InUse(); a != 0 || b != 0 {
		t.Errorf("%d and %d bytes are in use", a, b)
	}
	eventually(t, "nothing is kept", func() bool { return l.Idle() == 0 })
}
