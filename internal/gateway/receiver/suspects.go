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
	// each slice of unpacking, and what is missing after a request.
	restFactor = 9
	// mostRestFactor is what that becomes after requests of one source for nothing: it
	// about doubles with each. Its bombs, however many, have a hundredth of a core
	// then, and are hardly in the p99 of others; what takes longer than a
	// hundredth of maxRest has more.
	mostRestFactor = 99
	// maxRest bounds the rest after a request.
	maxRest = 5 * time.Second
	// linePatience is how long a large request waits for its turn: one rest, and less than
	// the 10 s that OpenTelemetry SDKs wait. Exporters of the Collector wait 5, and
	// send again.
	linePatience = 8 * time.Second
	// lateAnswer is how late those are answered who found no room.
	lateAnswer = 2 * time.Second
)

// suspects remembers the sources of connections, in a fixed amount of memory: those
// that share a place with another are suspected with it, which costs them turns and
// waits and nothing else. A proxy in front is one source.
type suspects struct {
	turn  chan struct{} // the one for large requests of all of them
	after func(time.Duration, func())
	clock clock

	waiting  atomic.Int64 // bytes of requests that wait for turn
	room     int64        // for them
	patience time.Duration

	seed   maphash.Seed
	places [1 << 12]place
}

type place struct {
	until  atomic.Int64 // Unix time in nanoseconds
	wastes atomic.Int64 // since until was in the past
}

// newSuspects lets bytes of requests wait for their turn.
func newSuspects(bytes int64) *suspects {
	return &suspects{turn: make(chan struct{}, 1), seed: maphash.MakeSeed(), room: bytes, patience: linePatience,
		after: func(d time.Duration, f func()) { time.AfterFunc(d, f) }, clock: clock{time.Now, time.After}}
}

// add notes one more request for nothing.
func (s *suspects) add(a netip.Addr, now time.Time) {
	p := s.place(a)
	if p.until.Swap(now.Add(suspicion).UnixNano()) <= now.UnixNano() {
		p.wastes.Store(0)
	}
	p.wastes.Add(1)
}

func (s *suspects) has(a netip.Addr, now time.Time) bool {
	return s.place(a).until.Load() > now.UnixNano()
}

// factor is how many times its work the last request of a suspect is rested for: 9, 19,
// 39, 79, and 99 from the sixth for nothing on.
func (s *suspects) factor(a netip.Addr) time.Duration {
	doublings := min(max(s.place(a).wastes.Load()-2, 0), 4) // the first made it a suspect
	return min(time.Duration(restFactor+1)<<doublings-1, mostRestFactor)
}

func (s *suspects) place(a netip.Addr) *place {
	return &s.places[maphash.Comparable(s.seed, a)%uint64(len(s.places))]
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
