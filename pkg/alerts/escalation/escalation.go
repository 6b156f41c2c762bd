// Package escalation is the state machine of an incident: what is due at a time, and
// what each event makes of the incident. It has no clock and does nothing itself, so
// a story is a table of times.
//
//	open ──level by level──▶ last level ──repeat──▶ open, next cycle ──▶ exhausted
//	  ▲ ▲                                                                   │
//	  │ └── ack expired, worse severity, unacked ── acked ◀──── ack ────────┤
//	  └──── fires again within reopen ── closed ◀──── last alert resolved ──┘
//
// # Guarantees
//
//   - Times of levels count from the start of the cycle: a timer that was lost and
//     set again is due when the lost one was.
//   - A level is due at most once a cycle, and only while its condition holds.
//   - Whoever is late by more than a cycle does not run through all that were missed:
//     the next begins now.
package escalation

import (
	"slices"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// lookAgain is the wait for a time interval of which only whether it holds is known.
const lookAgain = time.Minute

// Step is what is due of an incident at a time, in order, and when to look again;
// zero: not before something else happens to it. open tells whether a time interval
// holds now. The events are to be appended under the condition that nothing happened
// to the incident since; then Apply makes of it what the next Step is asked with.
func Step(i *alerts.Incident, now time.Time, open func(interval string) bool) (due []alerts.Event, next time.Time) {
	if i.Status == alerts.Closed {
		return nil, time.Time{}
	}
	event := func(k alerts.Kind, at time.Time, e *alerts.Escalated) alerts.Event {
		return alerts.Event{Kind: k, At: at, Tenant: i.Tenant, Incident: i.ID, Actor: alerts.ActorEscalation, Escalated: e}
	}
	if until := ackUntil(i); i.Status == alerts.Taken && !until.IsZero() {
		if !now.Before(until) {
			return []alerts.Event{event(alerts.EventAckExpired, now, nil)}, now
		}
		next = until
	}
	for n := i.Level; n < len(i.Policy.Levels); n++ {
		l := &i.Policy.Levels[n]
		if i.Exhausted || n > 0 && slices.Contains(i.Policy.LowUrgency, i.Severity) {
			break
		}
		if l.While == alerts.Unacked && i.Status == alerts.Taken {
			continue // unacked, the cycle begins again
		}
		at := i.CycleAt.Add(l.After)
		if now.Before(at) {
			return due, sooner(next, at)
		}
		if len(l.Active) > 0 && !slices.ContainsFunc(l.Active, open) {
			return due, sooner(next, now.Add(lookAgain))
		}
		due = append(due, event(alerts.EventEscalated, now, &alerts.Escalated{Cycle: i.Cycle, Level: n + 1, Targets: slices.Clone(l.Targets)}))
	}
	if i.Status != alerts.Open || i.Exhausted || len(i.Policy.Levels) == 0 {
		return due, next
	}
	end := i.CycleAt.Add(i.Policy.Cycle())
	if now.Before(end) {
		return due, sooner(next, end)
	}
	if i.Cycle <= i.Policy.Repeat {
		begin := end
		if !now.Before(end.Add(i.Policy.Cycle())) {
			begin = now
		}
		return append(due, event(alerts.EventRepeated, begin, nil)), now
	}
	return append(due, event(alerts.EventExhausted, now, &alerts.Escalated{Cycle: i.Cycle, Targets: slices.Clone(i.Policy.OnExhausted)})), next
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// ackUntil is when an ack ends: as whoever acked said, else as the policy says.
func ackUntil(i *alerts.Incident) time.Time {
	if i.AckUntil.IsZero() && i.Policy.AckTimeout > 0 {
		return i.AckedAt.Add(i.Policy.AckTimeout)
	}
	return i.AckUntil
}

// Apply makes of an incident what an event says, and tells whether it fits: an ack
// of what is closed, or a level that was told, changes nothing.
func Apply(i *alerts.Incident, e *alerts.Event) (fits bool) {
	switch e.Kind {
	case alerts.EventAcked:
		if i.Status == alerts.Closed {
			return false
		}
		i.Status, i.AckedBy, i.AckedAt, i.AckUntil = alerts.Taken, e.Actor, e.At, e.Until
	case alerts.EventUnacked, alerts.EventAckExpired:
		if i.Status != alerts.Taken {
			return false
		}
		again(i, e.At)
	case alerts.EventRaised:
		if i.Status == alerts.Closed || !e.Severity.WorseThan(i.Severity) {
			return false
		}
		i.Severity = e.Severity
		if i.Status == alerts.Taken {
			again(i, e.At)
		}
	case alerts.EventEscalated:
		if i.Status == alerts.Closed || e.Escalated == nil || e.Escalated.Cycle != i.Cycle || e.Escalated.Level <= i.Level || e.Escalated.Level > len(i.Policy.Levels) {
			return false
		}
		i.Level = e.Escalated.Level
		return true // timers of the levels to come hold
	case alerts.EventRepeated:
		if i.Status != alerts.Open || i.Exhausted {
			return false
		}
		again(i, e.At)
	case alerts.EventExhausted:
		if i.Status != alerts.Open || i.Exhausted {
			return false
		}
		i.Exhausted = true
	case alerts.EventClosed:
		if i.Status == alerts.Closed {
			return false
		}
		i.Status, i.ClosedAt = alerts.Closed, e.At
	case alerts.EventReopened:
		if i.Status != alerts.Closed {
			return false
		}
		i.ClosedAt = time.Time{}
		again(i, e.At)
	default:
		return false
	}
	i.Generation++
	return true
}

// again begins the next cycle, open.
func again(i *alerts.Incident, at time.Time) {
	i.Status, i.AckedBy, i.AckedAt, i.AckUntil = alerts.Open, "", time.Time{}, time.Time{}
	i.Cycle++
	i.CycleAt, i.Level, i.Exhausted = at, 0, false
}
