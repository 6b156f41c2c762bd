package grpcwire

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"
)

const (
	minTier = 11 // 2 KiB: gRPC keeps no count of buffers up to 1 KiB, they are never put back
	maxTier = 26 // 64 MiB
	steps   = 4  // sizes between one power of two and the next: at most a quarter is wasted
)

// MeteredPool is a mem.BufferPool that knows how many bytes are out. Buffers
// come in sizes from 2 KiB to 64 MiB, four to each doubling, are not zeroed, and are
// kept when they are put back, up to a limit; what is smaller or larger is allocated,
// and only the larger is counted.
//
// As experimental.BufferPool of a grpc.Server (1.85) it covers: the payload of
// every HTTP/2 DATA frame over 1 KiB that is received, the compaction of small
// ones, messages that gRPC decompresses (here: compressed messages on their way
// to Codec), and replies that gRPC compresses. It does not cover: the read and
// write buffers of connections, headers, frames of up to 1 KiB, messages as
// they are encoded, and protobuf messages, which use mem.DefaultBufferPool.
// Frame.Pool brings decompressed messages under it.
//
// A buffer that is dropped, as gRPC drops what it received on a cancelled
// stream, counts until the garbage collector has found it. A connection may hold
// on to the one of its last frame, 16 KiB.
type MeteredPool struct {
	allocated atomic.Int64 // bytes of buffers that exist, idle or out
	idle      atomic.Int64
	maxIdle   int64
	tiers     [(maxTier-minTier)*steps + 1]tier
	large     *lent // nil: large ones are as the others
}

type tier struct {
	mu   sync.Mutex
	free []*[]byte
}

var _ mem.BufferPool = (*MeteredPool)(nil)

// NewMeteredPool keeps at most maxIdle bytes for reuse; 0 means 64 MiB.
func NewMeteredPool(maxIdle int64) *MeteredPool {
	if maxIdle == 0 {
		maxIdle = 64 << 20
	}
	return &MeteredPool{maxIdle: maxIdle}
}

// WithLarge makes l keep the buffers of more than 1 MiB. They count until they are
// put back, collected or not. It is called before the first Get, and returns p.
func (p *MeteredPool) WithLarge(l *Large) *MeteredPool {
	p.large = &lent{from: l, out: map[*[]byte][]byte{}}
	return p
}

// InUse is the number of bytes in buffers that were got and not put back, by
// their capacity.
func (p *MeteredPool) InUse() int64 {
	n := p.allocated.Load() - p.idle.Load()
	if p.large != nil {
		n += p.large.inUse()
	}
	return n
}

// Idle is the number of bytes kept for reuse.
func (p *MeteredPool) Idle() int64 { return p.idle.Load() }

// Get returns a buffer of n bytes with any content.
func (p *MeteredPool) Get(n int) *[]byte {
	if mem.IsBelowBufferPoolingThreshold(n) {
		b := make([]byte, n)
		return &b
	}
	if n > largeFrom && p.large != nil {
		return p.large.get(n)
	}
	size := n
	if i, s := tierOf(n); i < len(p.tiers) && int64(s) <= p.maxIdle {
		size = s
		// One that is up to twice as large is better than a new one.
		for j := i; j <= i+steps && j < len(p.tiers); j++ {
			if b := p.tiers[j].pop(); b != nil {
				p.idle.Add(-int64(cap(*b)))
				*b = (*b)[:n]
				return b
			}
		}
	}
	b := make([]byte, n, size)
	buf := &b
	p.allocated.Add(int64(size))
	runtime.AddCleanup(buf, func(size int64) { p.allocated.Add(-size) }, int64(size))
	return buf
}

// tierOf is the smallest tier whose buffers have n bytes, and how many they have.
// Beyond the last tier there is none.
func tierOf(n int) (tier, size int) {
	if n <= 1<<minTier {
		return 0, 1 << minTier
	}
	k := bits.Len(uint(n-1)) - 1 // n is above 1<<k, and 1<<(k+1) at most
	step := 1 << k / steps
	q := (n - 1<<k + step - 1) / step
	return (k-minTier)*steps + q, 1<<k + q*step
}

// Put takes back a buffer that Get returned.
func (p *MeteredPool) Put(buf *[]byte) {
	if cap(*buf) > largeFrom && p.large != nil {
		p.large.put(buf)
		return
	}
	size := cap(*buf)
	i, s := tierOf(size)
	if size != s || i >= len(p.tiers) || int64(size) > p.maxIdle {
		return
	}
	if p.idle.Add(int64(size)) > p.maxIdle {
		p.idle.Add(-int64(size))
		return
	}
	p.tiers[i].push(buf)
}

func (t *tier) pop() *[]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.free) - 1
	if last < 0 {
		return nil
	}
	b := t.free[last]
	t.free[last] = nil
	t.free = t.free[:last]
	return b
}

func (t *tier) push(b *[]byte) {
	t.mu.Lock()
	t.free = append(t.free, b)
	t.mu.Unlock()
}
