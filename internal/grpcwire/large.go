package grpcwire

import (
	"runtime"
	"sync"
	"time"
)

// largeFrom is the size above which a MeteredPool leaves buffers to its Large.
const largeFrom = 1 << 20

// Large keeps large buffers for a short while, for several pools together. They
// are too much to be held for good, and too much to be made anew for each request
// of a client that sends large ones: a gigabyte a second of fresh memory is more
// than the collector keeps up with, and each page of it costs a fault. Safe for
// concurrent use.
type Large struct {
	most int64
	keep time.Duration

	mu    sync.Mutex
	free  []idleBuffer // mu; the one that was given back first is first
	idle  int64        // mu; bytes of free
	out   int64        // mu; bytes that are lent
	timer *time.Timer  // mu; for free; nil when there is none
}

type idleBuffer struct {
	buf   *[]byte
	since time.Time
}

// NewLarge keeps what makes no more than most bytes together with what is lent, each
// buffer for keep after its last use or a little longer.
func NewLarge(most int64, keep time.Duration) *Large { return &Large{most: most, keep: keep} }

// Idle is the number of bytes that wait for their next use.
func (l *Large) Idle() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.idle
}

// get returns a buffer of n bytes with any content, whose capacity is n to twice
// that.
func (l *Large) get(n int) *[]byte {
	if b := l.reuse(n); b != nil {
		*b = (*b)[:n]
		return b
	}
	_, size := tierOf(n)
	b := make([]byte, n, size)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lent(&b)
	return &b
}

// lent counts a buffer that is lent, and makes room for it. mu is held.
func (l *Large) lent(b *[]byte) {
	l.out += int64(cap(*b))
	l.bound()
}

// bound lets go of the oldest beyond what may be kept. mu is held.
func (l *Large) bound() {
	for len(l.free) > 0 && l.idle+l.out > l.most {
		l.remove(0)
	}
}

// reuse takes the smallest that fits, the youngest of equals.
func (l *Large) reuse(n int) *[]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	best := -1
	for i, f := range l.free {
		if c := cap(*f.buf); c >= n && c <= 2*n && (best < 0 || c <= cap(*l.free[best].buf)) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	b := l.remove(best)
	l.lent(b)
	return b
}

// remove takes one out. mu is held.
func (l *Large) remove(i int) *[]byte {
	b := l.free[i].buf
	copy(l.free[i:], l.free[i+1:])
	l.free[len(l.free)-1] = idleBuffer{}
	l.free = l.free[:len(l.free)-1]
	l.idle -= int64(cap(*b))
	return b
}

// put takes back a buffer that get returned.
func (l *Large) put(b *[]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, idleBuffer{b, time.Now()})
	l.idle += int64(cap(*b))
	l.out -= int64(cap(*b))
	l.bound()
	if l.timer == nil && len(l.free) > 0 {
		l.timer = time.AfterFunc(l.keep, l.expire)
	}
}

// expire lets go of what was not used for long enough, and has it collected: a
// process that does little else would not come to it for minutes.
func (l *Large) expire() {
	if l.dropOld() {
		runtime.GC()
	}
}

func (l *Large) dropOld() (dropped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for len(l.free) > 0 && now.Sub(l.free[0].since) >= l.keep {
		l.remove(0)
		dropped = true
	}
	l.timer = nil
	if len(l.free) > 0 {
		l.timer = time.AfterFunc(l.keep-now.Sub(l.free[0].since), l.expire)
	}
	return dropped
}

// lent are the large buffers of one pool that are out, as they were got.
type lent struct {
	from *Large

	mu    sync.Mutex
	out   map[*[]byte][]byte // mu
	bytes int64              // mu; of out, by capacity
}

func (l *lent) get(n int) *[]byte {
	b := l.from.get(n)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out[b] = *b
	l.bytes += int64(cap(*b))
	return b
}

// put takes a buffer back, and tells whether it was one of these.
func (l *lent) put(b *[]byte) bool {
	l.mu.Lock()
	own, ok := l.out[b]
	delete(l.out, b)
	l.bytes -= int64(cap(own))
	l.mu.Unlock()
	if ok {
		*b = own
		l.from.put(b)
	}
	return ok
}

func (l *lent) inUse() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}
