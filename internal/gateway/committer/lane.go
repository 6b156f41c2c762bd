package committer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// lane gathers and commits the groups of one signal.
type lane struct {
	c      *Committer
	signal otlp.Signal

	mu      sync.Mutex
	open    []*group    // mu; gathering, oldest first, one a tenant
	ready   []*group    // mu; closed because full, oldest first
	busy    []int       // mu; commits in flight of each shard
	timer   *time.Timer // mu; of MaxDelay; nil when not armed
	turn    int         // mu; the shard to be preferred among equals
	stopped bool        // mu
}

// add joins a request of at most MaxBytes to the open group of its tenant.
func (l *lane) add(tenant string, p []byte, info otlp.Info) part {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.gathering(tenant)
	if g != nil && l.overflows(g, len(p), info.Items) {
		l.close(g)
		g = nil
	}
	if g != nil && !g.join() {
		l.abandon(g)
		g = nil
	}
	if g == nil {
		g = &group{lane: l, signal: l.signal, tenant: tenant, opened: time.Now(), done: make(chan struct{})}
		g.raw, g.full = l.c.raw.get(len(p))
		g.ctx, g.cancel = context.WithCancel(l.c.ctx)
		g.join()
		l.open = append(l.open, g)
	}
	index := g.add(p, info)
	if l.full(g) {
		l.close(g)
	}
	l.dispatch()
	return part{g, index}
}

func (l *lane) gathering(tenant string) *group {
	for _, g := range l.open {
		if g.tenant == tenant {
			return g
		}
	}
	return nil
}

func (l *lane) overflows(g *group, bytes, items int) bool {
	cfg := &l.c.cfg
	return len(g.raw)+bytes > int(cfg.MaxBytes) || cfg.MaxItems > 0 && g.items+items > cfg.MaxItems
}

func (l *lane) full(g *group) bool {
	cfg := &l.c.cfg
	return len(g.raw) >= int(cfg.MaxBytes) || cfg.MaxItems > 0 && g.items >= cfg.MaxItems
}

// close ends the gathering of g; dispatch takes it from ready.
func (l *lane) close(g *group) {
	l.open = without(l.open, g)
	l.ready = append(l.ready, g)
}

// drop ends a group that all callers have left, unless it is being committed.
func (l *lane) drop(g *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.open, g) || slices.Contains(l.ready, g) {
		l.abandon(g)
	}
}

// abandon ends a group that is open or ready. The lock is held.
func (l *lane) abandon(g *group) {
	l.open, l.ready = without(l.open, g), without(l.ready, g)
	l.c.metrics.abandoned.Inc()
	g.fail(0, len(g.members), errAbandoned)
	l.c.raw.put(g.raw, g.full)
	g.raw = nil
	close(g.done)
}

// without removes g from a list and keeps the order.
func without(list []*group, g *group) []*group {
	return slices.DeleteFunc(list, func(o *group) bool { return o == g })
}

// dispatch starts commits while there are free slots and groups to commit.
// The lock is held.
func (l *lane) dispatch() {
	for {
		shard := l.freeShard()
		if shard < 0 {
			return
		}
		g := l.next()
		if g == nil {
			return
		}
		l.busy[shard]++
		l.turn = shard + 1
		l.c.running.Add(1)
		go l.run(g, shard)
	}
}

// next takes the group that is to be committed now, or nil.
func (l *lane) next() *group {
	if len(l.ready) > 0 {
		g := l.ready[0]
		l.ready = append(l.ready[:0], l.ready[1:]...)
		return g
	}
	if len(l.open) == 0 {
		return nil
	}
	g := l.open[0]
	if left := time.Duration(l.c.cfg.MaxDelay) - time.Since(g.opened); left > 0 && !l.stopped {
		l.arm(left)
		return nil
	}
	l.open = append(l.open[:0], l.open[1:]...)
	return g
}

// arm makes dispatch run again when the oldest open group has gathered long enough.
func (l *lane) arm(after time.Duration) {
	if l.timer != nil {
		return
	}
	l.timer = time.AfterFunc(after, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.timer = nil
		l.dispatch()
	})
}

// freeShard is the shard with the fewest commits in flight, in turn among
// equals, or -1.
func (l *lane) freeShard() int {
	best := -1
	for k := range l.busy {
		i := (l.turn + k) % len(l.busy)
		if l.busy[i] < l.c.cfg.CommitsInFlight && (best < 0 || l.busy[i] < l.busy[best]) {
			best = i
		}
	}
	return best
}

func (l *lane) run(g *group, shard int) {
	defer l.c.running.Done()
	l.c.commit(g, shard)
	l.c.raw.put(g.raw, g.full)
	g.raw = nil
	l.finish(shard) // the next group starts before this one's callers do
	close(g.done)
}

func (l *lane) finish(shard int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy[shard]--
	l.dispatch()
}

// stop lets what gathers go without delay. The caller has ended Add.
func (l *lane) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.dispatch()
}
