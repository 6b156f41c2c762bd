package committer

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/copies"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// group is the requests of one commit. Until it is closed its fields belong to
// the lane's lock, afterwards to the goroutine that commits it, and when done
// is closed the members' outcomes may be read by everyone.
type group struct {
	lane      *lane
	signal    otlp.Signal
	tenant    string
	opened    time.Time
	overQuota bool // a request is of a tenant above its quota
	items     int
	size      int // bytes of all members
	members   []member

	// waiting counts the tickets that still want the outcome; when it falls to
	// zero cancel ends the publish, as nobody would hear of it.
	waiting atomic.Int32
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
}

// member is one request, or one part of a split one. Its bytes lie where they
// were received, until the group is compressed.
type member struct {
	data             []byte // nil once given back
	release          func() // gives data back
	items            int
	minTime, maxTime uint64
	rejected         int    // items that cannot be stored at all
	why              string // of rejected
	err              error
}

// free gives the bytes of the members back, once.
func (g *group) free() {
	for i := range g.members {
		m := &g.members[i]
		if m.release != nil {
			m.release()
		}
		m.data, m.release = nil, nil
	}
}

// join adds a caller to those that wait. It fails when all of them have left:
// the group is dropped, and must not take a newcomer with it.
func (g *group) join() bool {
	for {
		n := g.waiting.Load()
		if n == 0 && len(g.members) > 0 {
			return false
		}
		if g.waiting.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// add adds the request of a caller that has joined and returns its index. The
// bytes are the group's until it calls release.
func (g *group) add(p []byte, info otlp.Info, release func()) int {
	g.items += info.Items
	g.size += len(p)
	g.members = append(g.members, member{data: p, release: release, items: info.Items, minTime: info.MinTime, maxTime: info.MaxTime})
	return len(g.members) - 1
}

// leave is called once by each ticket, when it has or no longer wants the
// outcome. The last one ends the publish; a group that was not yet closed or
// committed gives its bytes back at once, as its clients' share of the budget
// is given back too.
func (g *group) leave() {
	if g.waiting.Add(-1) == 0 {
		g.cancel()
		g.lane.drop(g)
	}
}

// span sums members.
func span(members []member) (info otlp.Info) {
	for i := range members {
		m := &members[i]
		info.Items += m.items
		if m.maxTime == 0 {
			continue
		}
		if info.MaxTime == 0 || m.minTime < info.MinTime {
			info.MinTime = m.minTime
		}
		info.MaxTime = max(info.MaxTime, m.maxTime)
	}
	return info
}

// join appends the bytes of members to dst: the encoding of their merged request.
func join(dst []byte, members []member) []byte {
	for i := range members {
		dst = append(dst, members[i].data...)
		copies.Count(copies.Joined, len(members[i].data))
	}
	return dst
}

// sizeOf is how many bytes members have.
func sizeOf(members []member) (n int) {
	for i := range members {
		n += len(members[i].data)
	}
	return n
}
