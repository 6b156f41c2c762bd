package committer

import (
	"context"
	"sync/atomic"
	"time"

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
	raw       []byte // joined requests
	full      bool   // raw is one of the buffers of full capacity
	overQuota bool   // a request is of a tenant above its quota
	release   func() // raw is a request that was taken over; nil: raw is the committer's
	items     int
	members   []member

	// waiting counts the tickets that still want the outcome; when it falls to
	// zero cancel ends the publish, as nobody would hear of it.
	waiting atomic.Int32
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
}

// member is one request, or one part of a split one.
type member struct {
	end              int // its bytes end here in raw; they start where the one before ends
	items            int
	minTime, maxTime uint64
	rejected         int    // items that cannot be stored at all
	why              string // of rejected
	err              error
}

// free gives the joined requests back, once.
func (g *group) free() {
	if g.release != nil {
		g.release()
	} else {
		g.lane.c.raw.put(g.raw, g.full)
	}
	g.raw = nil
}

func (g *group) start(i int) int {
	if i == 0 {
		return 0
	}
	return g.members[i-1].end
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
// bytes are copied.
func (g *group) add(p []byte, info otlp.Info) int {
	g.raw = append(g.raw, p...)
	return g.count(info)
}

// count adds a member for what was added to raw.
func (g *group) count(info otlp.Info) int {
	g.items += info.Items
	g.members = append(g.members, member{end: len(g.raw), items: info.Items, minTime: info.MinTime, maxTime: info.MaxTime})
	return len(g.members) - 1
}

// leave is called once by each ticket, when it has or no longer wants the
// outcome. The last one ends the publish; a group that was not yet closed or
// committed gives its memory back at once, as its clients' share of the budget
// is given back too.
func (g *group) leave() {
	if g.waiting.Add(-1) == 0 {
		g.cancel()
		g.lane.drop(g)
	}
}

// span sums the members i up to j.
func (g *group) span(i, j int) (items int, minTime, maxTime uint64) {
	for _, m := range g.members[i:j] {
		items += m.items
		if m.maxTime == 0 {
			continue
		}
		if maxTime == 0 || m.minTime < minTime {
			minTime = m.minTime
		}
		maxTime = max(maxTime, m.maxTime)
	}
	return items, minTime, maxTime
}
