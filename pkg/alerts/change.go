package alerts

import (
	"cmp"
	"slices"
	"time"
)

// Apply makes of an incident what an event of it says, and tells whether it fits: an
// ack of what is closed, or a level that was told, changes nothing. at is when the
// log stored the event, so that every replica computes the same times. EventFired and
// EventResolved are of Event.Alert. EventOpened makes an incident and is not for one
// that is there.
func (i *Incident) Apply(e *Event, at time.Time) (fits bool) {
	switch e.Kind {
	case EventFired:
		return i.fired(e.Alert)
	case EventResolved:
		return i.resolved(e.Alert)
	case EventEscalated:
		return i.escalated(e.Escalated, at)
	case EventJoined:
		fits = i.Status == Taken && len(i.Joined) > 0
		if fits {
			i.Joined = nil
			i.tell(e.Escalated, at)
		}
		return fits
	}
	if !i.change(e, at) {
		return false
	}
	if e.Kind == EventExhausted {
		i.tell(e.Escalated, at)
	}
	i.Generation++
	return true
}

// tell notes who is told something new.
func (i *Incident) tell(e *Escalated, at time.Time) {
	if e == nil {
		return
	}
	for _, target := range e.Targets {
		told := Told{Target: target, At: at, Cycle: e.Cycle, Level: e.Level}
		n, found := slices.BinarySearchFunc(i.Told, target, func(t Told, target string) int { return cmp.Compare(t.Target, target) })
		if found {
			i.Told[n] = told
		} else {
			i.Told = slices.Insert(i.Told, n, told)
		}
	}
}

// change is what makes timers void.
func (i *Incident) change(e *Event, at time.Time) bool {
	if i.Status == Closed {
		if e.Kind == EventReopened {
			i.ClosedAt = time.Time{}
			i.again(at)
			return true
		}
		return false
	}
	switch e.Kind {
	case EventAcked:
		i.Status, i.AckedBy, i.AckedAt, i.AckUntil, i.Held = Taken, e.Actor, at, e.Until, false
	case EventUnacked, EventAckExpired:
		if i.Status != Taken {
			return false
		}
		i.again(at)
	case EventRaised:
		if !e.Severity.WorseThan(i.Severity) {
			return false
		}
		was := i.Severity
		i.Severity = e.Severity
		if i.Status == Taken || i.Exhausted || i.Policy.Low(was) && !i.Policy.Low(i.Severity) {
			i.again(at)
		}
	case EventRepeated:
		if i.Status != Open || i.Exhausted {
			return false
		}
		n := i.Repeated + 1
		i.begin(i.nextCycle(at))
		i.Repeated = n
	case EventExhausted:
		if i.Status != Open || i.Exhausted {
			return false
		}
		i.Exhausted = true
	case EventHeld:
		if i.Held {
			return false
		}
		i.Held = true
	case EventContinued:
		if !i.Held {
			return false
		}
		i.begin(at) // who has acked has still
	case EventClosed:
		i.Status, i.ClosedAt, i.Held, i.Joined = Closed, at, false, nil
	default:
		return false
	}
	return true
}

// again opens an incident, whose levels begin anew.
func (i *Incident) again(at time.Time) {
	i.Status, i.AckedBy, i.AckedAt, i.AckUntil, i.Joined = Open, "", time.Time{}, time.Time{}, nil
	i.begin(at)
}

// begin begins the next cycle.
func (i *Incident) begin(at time.Time) {
	i.Cycle++
	i.CycleAt, i.Level, i.LevelAt, i.Repeated, i.Exhausted, i.Held = at, 0, time.Time{}, 0, false, false
}

// CycleEnds is when the levels begin again or are exhausted if nobody answers. Those
// who were told late have as long to answer as if they had not been.
func (i *Incident) CycleEnds() time.Time {
	end := i.CycleAt.Add(i.Policy.Cycle())
	if i.Level < 1 || i.Level > len(i.Policy.Levels) {
		return end
	}
	late := i.LevelAt.Add(i.Policy.Cycle() - i.Policy.Levels[i.Level-1].After)
	return later(end, late)
}

// nextCycle begins when this one ends, and at once when that was a whole cycle ago:
// cycles that were missed are not run through.
func (i *Incident) nextCycle(at time.Time) time.Time {
	if end := i.CycleEnds(); !at.Before(end) && at.Before(end.Add(i.Policy.Cycle())) {
		return end
	}
	return at
}

func (i *Incident) escalated(e *Escalated, at time.Time) bool {
	if e == nil || i.Status == Closed || i.Exhausted || e.Cycle != i.Cycle || e.Level <= i.Level || e.Level > len(i.Policy.Levels) {
		return false
	}
	if i.Status == Taken && i.Policy.Levels[e.Level-1].While == Unacked {
		return false
	}
	i.Level, i.LevelAt = e.Level, at
	i.tell(e, at)
	return true
}

// fired takes an alert in.
func (i *Incident) fired(k Key) bool {
	if k == "" || i.Status == Closed || !insert(&i.Firing, k) {
		return false
	}
	i.Resolved = slices.DeleteFunc(i.Resolved, func(r Key) bool { return r == k })
	if i.Status == Taken {
		insert(&i.Joined, k)
	}
	return true
}

func (i *Incident) resolved(k Key) bool {
	if !remove(&i.Firing, k) {
		return false
	}
	remove(&i.Joined, k)
	i.Resolved = append(i.Resolved, k)
	if n := len(i.Resolved) - MaxResolved; n > 0 {
		i.Resolved = slices.Delete(i.Resolved, 0, n)
	}
	return true
}

// insert and remove keep a list sorted and tell whether they have changed it.
func insert(list *[]Key, k Key) bool {
	n, found := slices.BinarySearch(*list, k)
	if !found {
		*list = slices.Insert(*list, n, k)
	}
	return !found
}

func remove(list *[]Key, k Key) bool {
	n, found := slices.BinarySearch(*list, k)
	if found {
		*list = slices.Delete(*list, n, n+1)
	}
	return found
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
