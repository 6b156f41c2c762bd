package committer

import (
	"math/bits"
	"sync"
)

// space is where one group is joined and compressed. It has memory for usual groups
// from the first use on, but only what is written ever becomes resident.
type space struct {
	raw, packed []byte
	calm        int // usual groups since the last larger one
}

// usual is the capacity that both have at least: that of a group which has gathered
// enough, compressed in the worst case.
const usual = enough + enough/8

// calmDown is how many usual groups let go of what a larger one needed: while groups
// are large each would make its memory anew.
const calmDown = 64

// trim is called after each group, which had size bytes.
func (s *space) trim(size int) {
	if size > enough {
		s.calm = 0
		return
	}
	if s.calm++; s.calm < calmDown {
		return
	}
	if cap(s.raw) > usual {
		s.raw = nil
	}
	if cap(s.packed) > usual {
		s.packed = nil
	}
}

// spaces are as many as cores could use at a time. A sync.Pool would be emptied
// by each collection, and a fresh slice of megabytes costs its zeroing.
type spaces chan *space

func newSpaces(n int) spaces {
	b := make(spaces, n)
	for range n {
		b <- new(space)
	}
	return b
}

// fit returns p, empty, if it has room for n bytes, else a new slice that has.
func fit(p []byte, n int) []byte {
	if cap(p) >= n {
		return p[:0]
	}
	return make([]byte, 0, max(n, usual))
}

// buffers is a free list of byte slices by powers of two from 4 KiB to 64 MiB.
// Last in, first out: a calm committer touches the same few.
type buffers struct {
	keep int // free ones of a size at most, and four of them at most above 1 MiB

	mu   sync.Mutex
	free [maxTier + 1][][]byte // mu
}

const (
	minTier   = 12
	largeTier = 20
	maxTier   = 26
	keepLarge = 4
)

// get returns an empty slice with room for n bytes, owned by the caller.
func (b *buffers) get(n int) []byte {
	k := max(bits.Len(uint(max(n, 1)-1)), minTier)
	if k > maxTier {
		return make([]byte, 0, n)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := len(b.free[k]) - 1; last >= 0 {
		p := b.free[k][last]
		b.free[k][last] = nil
		b.free[k] = b.free[k][:last]
		return p
	}
	return make([]byte, 0, 1<<k)
}

// put takes back a slice that get returned. Of the large ones few are held.
func (b *buffers) put(p []byte) {
	k := bits.Len(uint(cap(p))) - 1
	if k < minTier || k > maxTier || cap(p) != 1<<k {
		return
	}
	keep := b.keep
	if k > largeTier {
		keep = min(keep, keepLarge)
	}
	if k > largeTier+2 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free[k]) < keep {
		b.free[k] = append(b.free[k], p[:0])
	}
}
