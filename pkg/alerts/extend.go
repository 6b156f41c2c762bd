package alerts

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Posted is what was posted last of an alert of SourceExternal that fires: it lives
// until EndsAt unless it is posted again.
type Posted struct{ At, EndsAt time.Time }

// maxNamed bounds the alerts that one event names, so that it fits an entry.
const maxNamed = 4000

// life is for how long it was posted, rounded down to a power of two, so that those of
// one sender have the same.
func (p Posted) life() time.Duration {
	seconds := p.EndsAt.Sub(p.At).Seconds()
	if seconds < 1 {
		return time.Second
	}
	return time.Duration(math.Exp2(math.Floor(math.Log2(seconds)))) * time.Second
}

// exact is how much sooner than posted an end may be.
func (p Posted) exact() time.Duration { return p.life() / 64 }

// Extend moves the ends of what was posted again. An end is moved only when no more
// than share of a life is left of it, and then for all of its group together that have
// one as long: so a group of any size costs an event or two for each half of a life,
// for as long as all of it is posted.
func (s *State) Extend(posted map[Key]Posted, share float64, now time.Time) (events []Event) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	type class struct {
		source
		life time.Duration
	}
	due, members := map[class][]Key{}, map[class][]Key{}
	for k, p := range posted {
		a := s.alerts[k]
		if a == nil || !a.ResolvedAt.IsZero() || a.File != SourceExternal || p.At.Before(a.Watermark) || a.EndsAt.IsZero() {
			continue
		}
		c := class{source{a.Tenant, a.File, a.Group}, p.life()}
		members[c] = append(members[c], k)
		if p.EndsAt.Sub(a.EndsAt) > p.exact() && a.EndsAt.Sub(now) <= time.Duration(share*float64(c.life)) {
			due[c] = append(due[c], k)
		}
	}
	for c, keys := range due {
		x := extender{s: s, posted: posted, source: c.source, now: now}
		// What is posted all the time gets the end that all of it has at least.
		goesOn := now.Add(c.life * 5 / 8)
		var until time.Time
		for _, k := range members[c] {
			if end := posted[k].EndsAt; !end.Before(goesOn) && (until.IsZero() || end.Before(until)) {
				until = end
			}
		}
		slices.SortFunc(keys, func(a, b Key) int {
			return cmp.Or(posted[a].EndsAt.Compare(posted[b].EndsAt), cmp.Compare(a, b))
		})
		n := len(keys)
		if !until.IsZero() {
			n, _ = slices.BinarySearchFunc(keys, until, func(k Key, t time.Time) int { return posted[k].EndsAt.Compare(t) })
		}
		if n < len(keys) {
			x.move(keys[n:], until)
		}
		// The others get their own, those that are near each other together.
		for rest := keys[:n]; len(rest) > 0; {
			first := posted[rest[0]].EndsAt
			near := first.Add(max(first.Sub(now)/16, posted[rest[0]].exact()))
			m := 1
			for m < len(rest) && !posted[rest[m]].EndsAt.After(near) {
				m++
			}
			x.move(rest[:m], first)
			rest = rest[m:]
		}
		events = append(events, x.events...)
	}
	slices.SortFunc(events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Extended.Group, b.Extended.Group), a.Until.Compare(b.Until))
	})
	return events
}

// extender makes events of one group.
type extender struct {
	s      *State
	posted map[Key]Posted
	source
	now    time.Time
	events []Event
}

// move names those whose end moves, or those whose end does not, whatever is shorter.
func (x *extender) move(keys []Key, until time.Time) {
	var except []Key
	for k := range x.s.sources[x.source] {
		a := x.s.alerts[k]
		if !a.ResolvedAt.IsZero() || a.EndsAt.IsZero() || !a.EndsAt.Before(until) {
			continue
		}
		if p, ok := x.posted[k]; !ok || p.At.Before(a.Watermark) || p.EndsAt.Before(until) {
			except = append(except, k)
		}
	}
	slices.Sort(except)
	add := func(e Extended) {
		e.Group = x.group
		x.events = append(x.events, Event{Kind: EventExtended, At: x.now, Tenant: x.tenant, Actor: ActorRule, Until: until, Extended: &e})
	}
	if len(except) < len(keys) && len(except) <= maxNamed {
		add(Extended{Except: except})
		return
	}
	for part := range slices.Chunk(sorted(keys), maxNamed) {
		add(Extended{Alerts: part})
	}
}

// extended moves ends, never nearer.
func (s *State) extended(e *Event) bool {
	x := e.Extended
	if x == nil || e.Until.IsZero() {
		return false
	}
	move := func(k Key) {
		a := s.alerts[k]
		if a != nil && a.Tenant == e.Tenant && a.File == SourceExternal && a.ResolvedAt.IsZero() && !a.EndsAt.IsZero() && e.Until.After(a.EndsAt) {
			a.EndsAt = e.Until
		}
	}
	if len(x.Alerts) > 0 {
		for _, k := range x.Alerts {
			move(k)
		}
		return true
	}
	except := sorted(x.Except)
	for k := range s.sources[source{e.Tenant, SourceExternal, x.Group}] {
		if _, found := slices.BinarySearch(except, k); !found {
			move(k)
		}
	}
	return true
}

// Ended are the alerts of SourceExternal whose end has come, as evaluations that say so.
func (s *State) Ended(now time.Time) (list []Evaluation) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for src, keys := range s.sources {
		if src.file != SourceExternal {
			continue
		}
		e := Evaluation{Tenant: src.tenant, File: src.file, Group: src.group, At: now}
		for k := range keys {
			if a := s.alerts[k]; a.ResolvedAt.IsZero() && !a.EndsAt.IsZero() && !a.EndsAt.After(now) {
				e.Active = append(e.Active, Finding{Rule: a.Rule, Labels: a.Labels, EndsAt: a.EndsAt})
			}
		}
		if len(e.Active) > 0 {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b Evaluation) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Group, b.Group))
	})
	return list
}

// maxSkew is how far apart the clocks of replicas may be: posts nearer to each other
// than that are in the order in which they come.
const maxSkew = 5 * time.Second

// behind is at, or just behind the last transition of one of these, where that may be
// a matter of clocks. mu is held.
func (s *State) behind(at time.Time, active map[Key]*Finding) time.Time {
	for k := range active {
		if a := s.alerts[k]; a != nil && !at.After(a.Watermark) && a.Watermark.Sub(at) < maxSkew {
			at = a.Watermark.Add(1)
		}
	}
	return at
}

// Posted counts the alerts of SourceExternal of a tenant that fire.
func (s *State) Posted(tenant string) (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for src, keys := range s.sources {
		if src.tenant != tenant || src.file != SourceExternal {
			continue
		}
		for k := range keys {
			if s.alerts[k].ResolvedAt.IsZero() {
				n++
			}
		}
	}
	return n
}
