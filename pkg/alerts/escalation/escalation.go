// Package escalation says what is due of an incident at a time. What each event then
// makes of the incident says alerts.Incident.Apply. Neither has a clock or does
// anything itself, so a story is a table of times.
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
//   - Nobody is told while all that fires is muted. What was due then is not lost: the
//     levels begin anew when it ends.
//   - Whoever is late by more than a cycle does not run through all that were missed:
//     the next begins now.
package escalation

import (
	"slices"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// LookAgain is the wait for what has no time of its own: a time interval of which only
// whether it holds is known, and the end of a mute.
const LookAgain = time.Minute

// Around is what holds beside the incident.
type Around struct {
	// Open tells whether a time interval holds now. It is asked only for levels that
	// have some.
	Open func(interval string) bool
	// Muted: every firing alert of the incident is silenced, inhibited or out of its
	// time.
	Muted bool
}

// Step is what is due of an incident at a time, in order, and when to look again;
// zero: not before something else happens to it. The events are to be appended under
// the condition that nothing happened to the incident since; then
// alerts.Incident.Apply makes of it what the next Step is asked with.
func Step(i *alerts.Incident, now time.Time, a Around) (due []alerts.Event, next time.Time) {
	if i.Status == alerts.Closed {
		return nil, time.Time{}
	}
	s := step{i: i, now: now}
	if until := ackUntil(i); i.Status == alerts.Taken && !until.IsZero() {
		if !now.Before(until) {
			s.emit(alerts.EventAckExpired, nil)
			return s.due, now
		}
		s.look(until)
	}
	switch {
	case i.Held && a.Muted:
		s.look(now.Add(LookAgain))
		return nil, s.next
	case i.Held:
		s.emit(alerts.EventContinued, nil)
		return s.due, now
	}
	if waits := s.levels(a.Open); !waits {
		s.end()
	}
	if a.Muted && len(s.due) > 0 {
		s.due, s.next = nil, now
		s.emit(alerts.EventHeld, nil)
	}
	if !a.Muted {
		s.joined(a.Open)
	}
	return s.due, s.next
}

type step struct {
	i    *alerts.Incident
	now  time.Time
	due  []alerts.Event
	next time.Time
}

func (s *step) emit(k alerts.Kind, e *alerts.Escalated) {
	s.due = append(s.due, alerts.Event{Kind: k, At: s.now, Tenant: s.i.Tenant, Incident: s.i.ID, Actor: alerts.ActorEscalation, Escalated: e})
}

// look sets next if t is sooner.
func (s *step) look(t time.Time) {
	if s.next.IsZero() || t.Before(s.next) {
		s.next = t
	}
}

// levels finds those that are due, and tells whether one is yet to come.
func (s *step) levels(open func(string) bool) (waits bool) {
	p := &s.i.Policy
	if s.i.Exhausted {
		return false
	}
	outside := false // the last one that came is outside of its time intervals
	for n := s.i.Level; n < len(p.Levels) && (n == 0 || !p.Low(s.i.Severity)); n++ {
		l := &p.Levels[n]
		if l.While == alerts.Unacked && s.i.Status == alerts.Taken {
			continue // unacked, the cycle begins again
		}
		if at := s.i.CycleAt.Add(l.After); s.now.Before(at) {
			s.look(at)
			waits = true
			break
		}
		if outside = !within(l, open); !outside {
			s.emit(alerts.EventEscalated, &alerts.Escalated{Cycle: s.i.Cycle, Level: n + 1, Targets: slices.Clone(l.Targets)})
		}
	}
	if outside {
		s.look(s.now.Add(LookAgain))
	}
	return waits || outside
}

// within tells whether a level may be told now.
func within(l *alerts.Level, open func(string) bool) bool {
	return len(l.Active) == 0 || slices.ContainsFunc(l.Active, open)
}

// end is what follows the last level.
func (s *step) end() {
	i := s.i
	if i.Status != alerts.Open || i.Exhausted || len(i.Policy.Levels) == 0 || i.Policy.Low(i.Severity) {
		return
	}
	if len(s.due) > 0 { // of which somebody has to be told first
		s.look(s.now)
		return
	}
	switch end := i.CycleEnds(); {
	case s.now.Before(end):
		s.look(end)
	case i.Repeated < i.Policy.Repeat:
		s.emit(alerts.EventRepeated, nil)
		s.look(s.now)
	default:
		s.emit(alerts.EventExhausted, &alerts.Escalated{Cycle: i.Cycle, Targets: slices.Clone(i.Policy.OnExhausted)})
	}
}

// joined tells those who were told of an acked incident that there is more to it:
// once, without those who are outside of their time; if that is everybody, later.
func (s *step) joined(open func(string) bool) {
	i := s.i
	if i.Status != alerts.Taken || len(i.Joined) == 0 || i.Level == 0 {
		return
	}
	var targets []string
	for n := range i.Policy.Levels[:min(i.Level, len(i.Policy.Levels))] {
		l := &i.Policy.Levels[n]
		if !within(l, open) {
			continue
		}
		for _, target := range l.Targets {
			if !slices.Contains(targets, target) {
				targets = append(targets, target)
			}
		}
	}
	if len(targets) == 0 {
		s.look(s.now.Add(LookAgain))
		return
	}
	s.emit(alerts.EventJoined, &alerts.Escalated{Cycle: i.Cycle, Level: i.Level, Targets: targets})
}

// ackUntil is when an ack ends: as whoever acked said, else as the policy says.
func ackUntil(i *alerts.Incident) time.Time {
	if i.AckUntil.IsZero() && i.Policy.AckTimeout > 0 {
		return i.AckedAt.Add(i.Policy.AckTimeout)
	}
	return i.AckUntil
}
