package committer

import "sync"

// buffers is a free list of byte slices of one capacity. A sync.Pool would be
// emptied by each collection, and a fresh slice of megabytes costs its zeroing.
// Last in, first out: a calm committer touches the same few.
//
// Only so many of full capacity are given out as full load needs. What goes
// beyond begins small and grows with its content, so that a crowd of groups
// holds little more than the bytes that were admitted.
type buffers struct {
	size int // capacity of a full one
	keep int // full ones that exist at most

	mu   sync.Mutex
	free [][]byte // mu
	out  int      // mu; full ones that were given out
}

// smallest is the capacity with which a buffer begins that is not a full one.
const smallest = 4 << 10

// get returns an empty slice, owned by the caller, which holds n bytes without
// growing, and whether it is a full one: put wants to know.
func (b *buffers) get(n int) (p []byte, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := len(b.free) - 1; last >= 0 {
		p, b.free[last] = b.free[last], nil
		b.free = b.free[:last]
		b.out++
		return p[:0], true
	}
	if b.out < b.keep {
		b.out++
		return make([]byte, 0, b.size), true
	}
	return make([]byte, 0, max(n, smallest)), false
}

// put takes a slice back, which may have grown into another: one that has outgrown
// its size is left to the collector, or a few huge requests would be held for ever.
func (b *buffers) put(p []byte, full bool) {
	if !full {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out--
	if cap(p) <= b.size+b.size/2 {
		b.free = append(b.free, p)
	}
}
