package committer

import "sync"

// buffers is a free list of byte slices of one capacity. A sync.Pool would be
// emptied by each collection, and a fresh slice of megabytes costs its zeroing.
// Last in, first out: a calm committer touches the same few.
type buffers struct {
	size int
	keep int

	mu   sync.Mutex
	free [][]byte // mu
}

// get returns an empty slice with the list's capacity, owned by the caller.
func (b *buffers) get() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		p := b.free[n-1]
		b.free[n-1] = nil
		b.free = b.free[:n-1]
		return p[:0]
	}
	return make([]byte, 0, b.size)
}

// put takes a slice back; one that grew replaces a smaller one's place.
func (b *buffers) put(p []byte) {
	if cap(p) < b.size {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) < b.keep {
		b.free = append(b.free, p)
	}
}
