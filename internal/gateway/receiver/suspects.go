package receiver

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"
)

const (
	// suspicion is how long an address is remembered for a large request that was for
	// nothing.
	suspicion = time.Minute
	// restFactor is how long their turn rests, of the time that its work took: after
	// each slice of unpacking, and what is missing after one more for nothing. Bombs,
	// however many, have a tenth of a core.
	restFactor = 9
	maxRest    = 2 * time.Second
)

// suspects remembers the sources of connections, in a fixed amount of memory: those
// that share a place with another are suspected with it, which costs them a worse
// turn and nothing else. A proxy in front is one source.
type suspects struct {
	turn  chan struct{} // the one for large requests of all of them
	after func(time.Duration, func())
	clock clock

	waiting atomic.Int64 // bytes of requests that wait for turn
	seed    maphash.Seed
	until   [1 << 12]atomic.Int64 // Unix time in nanoseconds
}

func newSuspects() *suspects {
	return &suspects{turn: make(chan struct{}, 1), seed: maphash.MakeSeed(),
		after: func(d time.Duration, f func()) { time.AfterFunc(d, f) }, clock: clock{time.Now, time.After}}
}

func (s *suspects) add(a netip.Addr, now time.Time) {
	s.place(a).Store(now.Add(suspicion).UnixNano())
}

func (s *suspects) has(a netip.Addr, now time.Time) bool {
	return s.place(a).Load() > now.UnixNano()
}

func (s *suspects) place(a netip.Addr) *atomic.Int64 {
	return &s.until[maphash.Comparable(s.seed, a)%uint64(len(s.until))]
}

type sourceKey struct{}

// from is the source of the connection of a request.
func from(ctx context.Context) netip.Addr {
	if a, ok := ctx.Value(sourceKey{}).(netip.Addr); ok {
		return a // HTTP
	}
	if p, ok := peer.FromContext(ctx); ok {
		if a, ok := p.Addr.(gatedAddr); ok {
			return source(a.Addr)
		}
	}
	return netip.Addr{}
}
