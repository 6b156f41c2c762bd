package alerts

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Errors of what somebody wants to do and cannot.
var (
	ErrUnknown = errors.New("not known")
	ErrClosed  = errors.New("is closed")
	ErrInvalid = errors.New("invalid")
)

// going is an incident that is not closed. mu is held.
func (s *State) going(id, actor, comment string) (*Incident, error) {
	i := s.incidents[id]
	switch {
	case i == nil:
		return nil, fmt.Errorf("incident %q is %w, or has ended long ago", cut(id, 64), ErrUnknown)
	case i.Status == Closed:
		return nil, fmt.Errorf("incident %s %w since %s", id, ErrClosed, i.ClosedAt.UTC().Format(time.RFC3339))
	}
	return i, said(actor, comment)
}

// said checks who says something, and what.
func said(actor, comment string) error {
	switch {
	case actor == "":
		return fmt.Errorf("%w: nobody is named who does this", ErrInvalid)
	case len(comment) > MaxReason:
		return fmt.Errorf("%w: the comment has %d bytes, want at most %d", ErrInvalid, len(comment), MaxReason)
	}
	return nil
}

func (i *Incident) event(k Kind, actor, reason string, now time.Time) Event {
	return Event{Kind: k, At: now, Tenant: i.Tenant, Incident: i.ID, Actor: actor, Reason: reason}
}

// Ack takes an incident until a time, or until it ends. Whoever has it and says the
// same again without a comment does nothing.
func (s *State) Ack(id, actor, comment string, until, now time.Time) ([]Event, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, err := s.going(id, actor, comment)
	if err != nil {
		return nil, err
	}
	if !until.IsZero() && !until.After(now) {
		return nil, fmt.Errorf("%w: an ack until %s ends before it begins", ErrInvalid, until.UTC().Format(time.RFC3339))
	}
	if i.Status == Taken && i.AckedBy == actor && i.AckUntil.Equal(until) && comment == "" {
		return nil, nil
	}
	e := i.event(EventAcked, actor, comment, now)
	e.Until = until
	return []Event{e}, nil
}

// Unack gives an incident back, whoever has it.
func (s *State) Unack(id, actor, comment string, now time.Time) ([]Event, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, err := s.going(id, actor, comment)
	if err != nil || i.Status != Taken {
		return nil, err
	}
	return []Event{i.event(EventUnacked, actor, comment, now)}, nil
}

// Resolve ends all alerts of an incident, and so the incident. What the next
// evaluation still finds to fire fires again.
func (s *State) Resolve(id, actor, comment string, now time.Time) ([]Event, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, err := s.going(id, actor, comment)
	if err != nil {
		return nil, err
	}
	var events []Event
	for _, k := range i.Firing {
		if a := s.alerts[k]; a == nil || !a.ResolvedAt.IsZero() {
			continue
		}
		e := i.event(EventResolved, actor, comment, now)
		e.Alert = k
		events = append(events, e)
	}
	return append(events, i.event(EventClosed, actor, comment, now)), nil
}

// Silence makes a silence, or changes the one of its ID. Without an ID it gets one,
// which is in the event.
func (s *State) Silence(w Silence, now time.Time) ([]Event, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := said(w.By, w.Comment); err != nil {
		return nil, err
	}
	w = w.clone()
	if w.Starts.IsZero() {
		w.Starts = now
	}
	size := 0
	for _, m := range w.Matchers {
		size += len(m)
	}
	switch {
	case size == 0:
		return nil, fmt.Errorf("%w: a silence without matchers would silence all", ErrInvalid)
	case size > MaxMatchers:
		return nil, fmt.Errorf("%w: the matchers of a silence have %d bytes, want at most %d", ErrInvalid, size, MaxMatchers)
	case !w.Ends.After(w.Starts) || !w.Ends.After(now):
		return nil, fmt.Errorf("%w: a silence from %s to %s is over", ErrInvalid, w.Starts.UTC().Format(time.RFC3339), w.Ends.UTC().Format(time.RFC3339))
	}
	was := s.silences[w.ID]
	switch {
	case w.ID == "":
		w.ID = NewID(now)
	case was == nil || was.Tenant != w.Tenant:
		return nil, fmt.Errorf("silence %q is %w, or has ended long ago", cut(w.ID, 64), ErrUnknown)
	case was.same(w):
		return nil, nil
	}
	if was == nil && len(s.silences) >= MaxSilences {
		if n := s.silencesAt(now); n >= MaxSilences {
			return nil, fmt.Errorf("%w: there are %d silences, want at most %d: end some", ErrInvalid, n, MaxSilences)
		}
	}
	return []Event{{Kind: EventSilenced, At: now, Tenant: w.Tenant, Actor: w.By, Reason: w.Comment, Silence: &w}}, nil
}

// MaxMatchers bounds the matchers of a silence in bytes.
const MaxMatchers = 4 << 10

func (w *Silence) same(o Silence) bool {
	return slices.Equal(w.Matchers, o.Matchers) && w.Starts.Equal(o.Starts) && w.Ends.Equal(o.Ends) && w.By == o.By && w.Comment == o.Comment
}

// silencesAt counts those that have not ended. mu is held.
func (s *State) silencesAt(now time.Time) (n int) {
	for _, w := range s.silences {
		if w.Ends.After(now) {
			n++
		}
	}
	return n
}

// Unsilence ends a silence.
func (s *State) Unsilence(id, actor string, now time.Time) ([]Event, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := said(actor, ""); err != nil {
		return nil, err
	}
	w := s.silences[id]
	if w == nil {
		return nil, fmt.Errorf("silence %q is %w, or has ended long ago", cut(id, 64), ErrUnknown)
	}
	if !w.Ends.After(now) {
		return nil, nil
	}
	return []Event{{Kind: EventUnsilenced, At: now, Tenant: w.Tenant, Actor: actor, Silence: &Silence{ID: id, Tenant: w.Tenant, Matchers: slices.Clone(w.Matchers), Starts: w.Starts, Ends: now, By: w.By}}}, nil
}
