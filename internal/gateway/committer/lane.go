package committer

import (
	"context"
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
	stopped bool        // mu
}

// add joins a request of at most MaxBytes to the open group of its tenant.
func (l *lane) add(tenant string, p []byte, info otlp.Info) part {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.gathering(tenant)
	if g != nil && (l.overflows(g, len(p), info.Items) || !g.join()) {
		l.close(g)
		g = nil
	}
	if g == nil {
		g = &group{signal: l.signal, tenant: tenant, opened: time.Now(), raw: l.c.raw.get(), done: make(chan struct{})}
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
	for i, o := range l.open {
		if o == g {
			l.open = append(l.open[:i], l.open[i+1:]...)
			break
		}
	}
	l.ready = append(l.ready, g)
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

// freeShard is the shard with the fewest commits in flight, or -1.
func (l *lane) freeShard() int {
	best := 0
	for i, n := range l.busy {
		if n < l.busy[best] {
			best = i
		}
	}
	if l.busy[best] >= l.c.cfg.CommitsInFlight {
		return -1
	}
	return best
}

func (l *lane) run(g *group, shard int) {
	defer l.c.running.Done()
	l.c.commit(g, l.c.streams[l.signal][shard])
	l.c.raw.put(g.raw)
	g.raw = nil
	close(g.done)
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
