package alerts

import (
	"cmp"
	"time"
)

// What is kept is put in and taken out here alone, with all that leads to it. mu is
// held in everything below.

// remember takes an alert in that is not there.
func (s *State) remember(a Alert) {
	s.alerts[a.Key] = &a
	add(s.sources, source{a.Tenant, a.File, a.Group}, a.Key)
	s.ageAlert(&a)
	for k := range s.told[a.Key] {
		s.ageSent(k)
	}
}

func (s *State) forget(k Key) {
	a := s.alerts[k]
	delete(s.alerts, k)
	s.resolved.keep(k)
	drop(s.sources, source{a.Tenant, a.File, a.Group}, k)
	for c := range s.told[k] {
		s.ageSent(c)
	}
}

// ageAlert says until when an alert is known: longer while somebody is owed its end.
func (s *State) ageAlert(a *Alert) {
	switch {
	case a.ResolvedAt.IsZero():
		s.resolved.keep(a.Key)
	case len(s.told[a.Key]) > 0:
		s.resolved.set(a.Key, a.ResolvedAt.Add(OwedFor))
	default:
		s.resolved.set(a.Key, a.ResolvedAt.Add(ResolvedFor))
	}
}

// hold takes an incident in that is not there.
func (s *State) hold(i Incident) {
	s.incidents[i.ID] = &i
	add(s.groups, group{i.Tenant, i.Group}, i.ID)
	s.ageIncident(&i)
}

func (s *State) ageIncident(i *Incident) {
	if i.Status != Closed {
		s.closed.keep(i.ID)
		return
	}
	s.closed.set(i.ID, i.ClosedAt.Add(max(0, i.Policy.Reopen)).Add(ClosedFor))
}

// current is the incident of a group that goes on, else the one that opened last.
func (s *State) current(g group) (last *Incident) {
	for id := range s.groups[g] {
		i := s.incidents[id]
		if last == nil || i.newer(last) {
			last = i
		}
	}
	return last
}

func (i *Incident) newer(o *Incident) bool {
	if going := i.Status != Closed; going != (o.Status != Closed) {
		return going
	}
	if c := i.OpenedAt.Compare(o.OpenedAt); c != 0 {
		return c > 0
	}
	return i.ID > o.ID
}

// putSent replaces what was sent; of nothing that was sent nothing is kept.
func (s *State) putSent(k ClaimKey, v Sent) {
	was := s.sent[k]
	if len(v.Firing) == 0 && v.Token == 0 {
		delete(s.sent, k)
	} else {
		s.sent[k] = v
	}
	for _, a := range was.Firing {
		drop(s.told, a, k)
	}
	for _, a := range v.Firing {
		add(s.told, a, k)
	}
	for _, list := range [][]Key{was.Firing, v.Firing} {
		for _, key := range list {
			if a := s.alerts[key]; a != nil {
				s.ageAlert(a)
			}
		}
	}
	s.ageSent(k)
}

// ageSent says until when it is known what a group was told: for as long as any of it
// fires, and then as long as the end is owed. That the end was told is known for
// ToldFor: a store that has lost it would take a new beginning for told.
func (s *State) ageSent(k ClaimKey) {
	v, ok := s.sent[k]
	if !ok {
		s.owed.keep(k)
		return
	}
	if len(v.Firing) == 0 {
		s.owed.set(k, v.At.Add(ToldFor))
		return
	}
	last := v.At
	for _, key := range v.Firing {
		a := s.alerts[key]
		if a == nil {
			continue
		}
		if a.ResolvedAt.IsZero() {
			s.owed.keep(k)
			return
		}
		last = later(last, a.ResolvedAt)
	}
	s.owed.set(k, last.Add(OwedFor))
}

func (k ClaimKey) compare(o ClaimKey) int {
	return cmp.Or(cmp.Compare(k.Tenant, o.Tenant), cmp.Compare(k.Group, o.Group), cmp.Compare(k.Receiver, o.Receiver))
}

// age drops what is old, and what is too much, until nothing is: so that whoever
// begins with a snapshot of what is left drops nothing of it.
func (s *State) age(now time.Time) {
	for again := true; again; {
		again = s.owed.drop(now, MaxEnded, func(k ClaimKey) { s.putSent(k, Sent{}) })
		again = s.resolved.drop(now, MaxEnded, s.forget) || again
	}
	s.closed.drop(now, MaxEnded, func(id string) {
		i := s.incidents[id]
		delete(s.incidents, id)
		drop(s.groups, group{i.Tenant, i.Group}, id)
	})
	s.ended.drop(now, MaxSilences, func(id string) { delete(s.silences, id) })
}

func add[A, B comparable](m map[A]map[B]bool, a A, b B) {
	if m[a] == nil {
		m[a] = map[B]bool{}
	}
	m[a][b] = true
}

func drop[A, B comparable](m map[A]map[B]bool, a A, b B) {
	delete(m[a], b)
	if len(m[a]) == 0 {
		delete(m, a)
	}
}
