package alerts

import (
	"slices"
	"time"
)

// Apply folds an entry in. Entries come in order; one at or before At changes nothing.
func (s *State) Apply(e Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.notify()
	if e.Anew {
		s.clear()
		s.at, s.stored = 0, time.Time{}
		s.lives++
	}
	s.caught = s.caught || e.CaughtUp
	if e.At <= s.at {
		return
	}
	if e.Snapshot != nil {
		s.clear()
		s.load(*e.Snapshot)
	}
	for i := range e.Events {
		switch known, fits := s.event(&e.Events[i], e.StoredAt); {
		case !known:
			s.counts.Unknown++
		case !fits:
			s.counts.Misfits++
		}
	}
	s.at, s.stored = e.At, e.StoredAt
	s.age(e.StoredAt)
}

// notify tells who waits. mu is held.
func (s *State) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *State) event(e *Event, at time.Time) (known, fits bool) {
	switch e.Kind {
	case EventFired:
		return true, s.fired(e)
	case EventResolved:
		return true, s.resolve(e, at)
	case EventExtended:
		return true, s.extended(e)
	case EventOpened:
		return true, s.opened(e, at)
	case EventSilenced:
		return true, s.silenced(e)
	case EventUnsilenced:
		return true, s.unsilenced(e, at)
	case EventNotified:
		return true, s.notified(e, at)
	case EventNotifyFailed:
		return true, e.Notified != nil
	case EventNotifyDropped:
		return true, s.dropped(e)
	case EventReopened:
		return true, s.reopened(e, at)
	case EventClosed, EventAcked, EventUnacked, EventAckExpired, EventRaised, EventEscalated, EventRepeated, EventExhausted, EventJoined, EventHeld, EventContinued:
		return true, s.changes(e, at)
	}
	return false, false
}

// changes does to an incident what an event of it says.
func (s *State) changes(e *Event, at time.Time) bool {
	i := s.incidents[e.Incident]
	if i == nil || !i.Apply(e, at) {
		return false
	}
	s.ageIncident(i)
	return true
}

// reopened is for the one that closed last: of a group one goes on.
func (s *State) reopened(e *Event, at time.Time) bool {
	i := s.incidents[e.Incident]
	return i != nil && s.current(group{i.Tenant, i.Group}) == i && s.changes(e, at)
}

// fired lets an alert fire, again perhaps, if this is later than what is known of it.
func (s *State) fired(e *Event) bool {
	a := e.Fired
	if a == nil || a.Key == "" || a.Key != e.Alert || !a.ResolvedAt.IsZero() {
		return false
	}
	was := s.alerts[a.Key]
	if was != nil && (was.ResolvedAt.IsZero() || !a.Watermark.After(was.Watermark)) {
		return false
	}
	if a.Incident != "" {
		if i := s.incidents[a.Incident]; i == nil || !i.Apply(e, time.Time{}) {
			return false
		}
	}
	if was != nil {
		s.forget(was.Key)
	}
	s.remember(*a)
	return true
}

// resolve ends an alert. Without a watermark somebody said so, and no evaluation.
func (s *State) resolve(e *Event, at time.Time) bool {
	a := s.alerts[e.Alert]
	if a == nil || !a.ResolvedAt.IsZero() {
		return false
	}
	switch {
	case e.Watermark.IsZero():
		a.ResolvedAt = at
	case e.Watermark.After(a.Watermark):
		a.ResolvedAt, a.Watermark = e.Watermark, e.Watermark
	default:
		return false
	}
	if i := s.incidents[a.Incident]; i != nil {
		i.Apply(e, at)
	}
	s.ageAlert(a)
	for k := range s.told[a.Key] {
		s.ageSent(k)
	}
	return true
}

// opened begins an incident. Its times are those of the log.
func (s *State) opened(e *Event, at time.Time) bool {
	o := e.Opened
	if o == nil || o.ID == "" || o.ID != e.Incident || s.incidents[o.ID] != nil {
		return false
	}
	if now := s.current(group{o.Tenant, o.Group}); now != nil && now.Status != Closed {
		return false
	}
	i := Incident{ID: o.ID, Tenant: o.Tenant, Group: o.Group, Title: o.Title, Severity: o.Severity, Policy: o.Policy.clone(),
		Status: Open, OpenedAt: at, Cycle: 1, CycleAt: at, Generation: 1}
	s.hold(i)
	return true
}

func (s *State) silenced(e *Event) bool {
	w := e.Silence
	if w == nil || w.ID == "" || !w.Ends.After(w.Starts) {
		return false
	}
	if was := s.silences[w.ID]; was != nil && was.Tenant != w.Tenant {
		return false
	}
	s.putSilence(*w)
	return true
}

func (s *State) putSilence(w Silence) {
	w = w.clone()
	s.silences[w.ID] = &w
	s.ended.set(w.ID, w.Ends.Add(ClosedFor))
}

// unsilenced ends a silence now, if it has not ended.
func (s *State) unsilenced(e *Event, at time.Time) bool {
	if e.Silence == nil {
		return false
	}
	was := s.silences[e.Silence.ID]
	if was == nil || !was.Ends.After(at) {
		return false
	}
	w := *was
	w.Ends = at
	if w.Starts.After(at) {
		w.Starts = at
	}
	s.putSilence(w)
	return true
}

// notified keeps what a receiver was told, as long as it is told of something firing.
func (s *State) notified(e *Event, at time.Time) bool {
	n := e.Notified
	if n == nil {
		return false
	}
	k := ClaimKey{Tenant: e.Tenant, Group: n.Group, Receiver: n.Receiver}
	s.putSent(k, Sent{Firing: sorted(n.Firing), Resolved: sorted(n.Resolved), At: at, Token: n.Token})
	return true
}

// dropped: an end that nobody will hear of is not owed.
func (s *State) dropped(e *Event) bool {
	n := e.Notified
	if n == nil {
		return false
	}
	if len(n.Firing) == 0 {
		s.putSent(ClaimKey{Tenant: e.Tenant, Group: n.Group, Receiver: n.Receiver}, Sent{})
	}
	return true
}

func sorted(keys []Key) []Key {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return slices.Compact(keys)
}
