package committer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// lane gathers and commits the groups of one signal. Tenants take turns: each
// gets one group committed before the next is asked, so that one with much to
// commit does not keep the others waiting.
type lane struct {
	c      *Committer
	signal otlp.Signal

	mu      sync.Mutex
	turns   []*tenant          // mu; those that have groups, the next one first
	tenants map[string]*tenant // mu; the same by name
	busy    []int              // mu; commits in flight of each shard
	timer   *time.Timer        // mu; of groups that gather; nil when not armed
	timerAt time.Time          // mu; when timer is due
	turn    int                // mu; the shard to be preferred among equals
	takes   time.Duration      // mu; a commit, a mean of the last ones
	stopped bool               // mu
}

// tenant is what one tenant has to commit. It is in the lane while it has a
// group.
type tenant struct {
	name  string
	open  *group   // gathering; nil without
	ready []*group // closed because full, oldest first
}

// add joins p, a request or a part of one, to the open group of its tenant. One
// of more than MaxBytes is a group of its own. release is called once, when the
// bytes are not needed any more.
func (l *lane) add(r *Request, p []byte, info otlp.Info, release func()) part {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tenant(r.Tenant)
	if t.open != nil && l.overflows(t, len(p), info.Items) {
		t.close()
	}
	if t.open != nil && !t.open.join() {
		l.abandon(t.open)
		t = l.tenant(r.Tenant) // it may have left the lane with its last group
	}
	if t.open == nil {
		t.open = l.group(r.Tenant)
	}
	g := t.open
	g.overQuota = g.overQuota || r.OverQuota
	index := g.add(p, info, release)
	if l.full(g) {
		t.close()
	}
	l.dispatch()
	return part{g, index}
}

// tenant is the entry of one, made where there is none. The lock is held, and the
// caller gives it a group.
func (l *lane) tenant(name string) *tenant {
	t, ok := l.tenants[name]
	if !ok {
		t = &tenant{name: name}
		l.tenants[name] = t
		l.turns = append(l.turns, t)
	}
	return t
}

// group is a new one with a caller that has joined.
func (l *lane) group(name string) *group {
	g := &group{lane: l, signal: l.signal, tenant: name, opened: time.Now(), done: make(chan struct{})}
	g.ctx, g.cancel = context.WithCancel(l.c.ctx)
	g.join()
	return g
}

// enough is what a group gathers: neither the compression nor a fast disk gets
// faster by more, and each byte more is held in several places from here to the
// destination. Where many groups wait for a slot, or a commit takes long, as on a
// cluster or a slow disk, commits are what lacks: then groups grow as far as they may.
const (
	enough = 1 << 20
	many   = 8
	long   = 40 * time.Millisecond
)

// overflows tells whether the open group of a tenant is to be closed before what
// comes is added.
func (l *lane) overflows(t *tenant, bytes, items int) bool {
	cfg, g := &l.c.cfg, t.open
	most := int(cfg.MaxBytes)
	if len(t.ready) < many && l.takes < long {
		most = min(most, enough)
	}
	return g.size+bytes > most || cfg.MaxItems > 0 && g.items+items > cfg.MaxItems
}

func (l *lane) full(g *group) bool {
	cfg := &l.c.cfg
	return g.size >= int(cfg.MaxBytes) || cfg.MaxItems > 0 && g.items >= cfg.MaxItems
}

// close ends the gathering; dispatch takes the group from ready.
func (t *tenant) close() {
	t.ready = append(t.ready, t.open)
	t.open = nil
}

// drop ends a group that all callers have left, unless it is being committed.
func (l *lane) drop(g *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tenants[g.tenant]; t != nil && (t.open == g || slices.Contains(t.ready, g)) {
		l.abandon(g)
	}
}

// abandon ends a group that is open or ready. The lock is held.
func (l *lane) abandon(g *group) {
	t := l.tenants[g.tenant]
	if t.open == g {
		t.open = nil
	} else {
		t.ready = slices.DeleteFunc(t.ready, func(o *group) bool { return o == g })
	}
	l.leave(t)
	l.c.metrics.abandoned.Inc()
	g.fail(0, len(g.members), errAbandoned)
	g.free()
	close(g.done)
}

// leave takes a tenant without groups out of the lane.
func (l *lane) leave(t *tenant) {
	if t.open != nil || len(t.ready) > 0 {
		return
	}
	delete(l.tenants, t.name)
	l.turns = slices.DeleteFunc(l.turns, func(o *tenant) bool { return o == t })
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

// next takes the group that is to be committed now, or nil: that of the first
// tenant in turn whose group is full or has gathered long enough. The tenant goes
// to the end.
func (l *lane) next() *group {
	soonest := time.Duration(-1)
	for i, t := range l.turns {
		left := t.due(time.Duration(l.c.cfg.MaxDelay))
		if left > 0 && !l.stopped {
			if soonest < 0 || left < soonest {
				soonest = left
			}
			continue
		}
		copy(l.turns[i:], l.turns[i+1:])
		l.turns[len(l.turns)-1] = t
		g := t.take()
		l.leave(t)
		return g
	}
	if soonest > 0 {
		l.arm(soonest)
	}
	return nil
}

// overQuotaDelay is how long the requests gather that a tenant above its quota is
// let send: ten commits a second at most for what is not much, and still well under
// the patience of its clients.
const overQuotaDelay = 100 * time.Millisecond

// due is how long the next group of the tenant is still to gather.
func (t *tenant) due(delay time.Duration) time.Duration {
	if len(t.ready) > 0 {
		return 0
	}
	if t.open.overQuota {
		delay = max(delay, overQuotaDelay)
	}
	if delay == 0 {
		return 0
	}
	return delay - time.Since(t.open.opened)
}

// take takes the oldest group.
func (t *tenant) take() *group {
	if len(t.ready) == 0 {
		g := t.open
		t.open = nil
		return g
	}
	g := t.ready[0]
	t.ready = slices.Delete(t.ready, 0, 1)
	return g
}

// arm makes dispatch run again when the first open group has gathered long enough.
func (l *lane) arm(after time.Duration) {
	at := time.Now().Add(after)
	if l.timer != nil {
		if !at.Before(l.timerAt) {
			return
		}
		l.timer.Stop()
	}
	l.timerAt = at
	var timer *time.Timer
	timer = time.AfterFunc(after, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.timer == timer { // else an earlier one took its place
			l.timer = nil
			l.dispatch()
		}
	})
	l.timer = timer
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
	begin := time.Now()
	l.c.commit(g, shard)
	g.free()
	l.finish(shard, time.Since(begin)) // the next group starts before this one's callers do
	close(g.done)
}

func (l *lane) finish(shard int, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takes += (took - l.takes) / 4
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
