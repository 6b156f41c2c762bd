package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Do appends what decide wants, and asks it again after each conflict, when the state
// has gone on. More than an entry may have becomes several, between which others may
// come: then too it is asked again, and wants what is left. at is the position of the
// last entry, or, when there was nothing to do, of the state that said so; Reached
// waits for the state to have it.
//
// After an error nothing, some or all of it may be in the log, and to ask again is
// safe. s has to be kept up with l, or Do ends with ctx only.
func Do(ctx context.Context, l Log, s *State, decide func() ([]Event, error)) (at uint64, err error) {
	for {
		last, lives, _ := s.position() // before decide, so that what comes between is a conflict
		events, err := decide()
		if err != nil {
			return 0, err
		}
		for len(events) > 0 {
			n, err := first(events)
			if err != nil {
				return last, err
			}
			at, err := l.Append(ctx, last, events[:n])
			if errors.Is(err, ErrConflict) {
				break
			}
			if err != nil {
				return last, err
			}
			last, events = at, events[n:]
		}
		if len(events) == 0 {
			return last, nil
		}
		if err := s.wait(ctx, last+1, lives); err != nil {
			return last, fmt.Errorf("another has written behind position %d, and the state has not gone on: %w", last, err)
		}
	}
}

// Reached waits until the state has what was appended at a position. It ends too when
// the log began anew.
func (s *State) Reached(ctx context.Context, at uint64) error {
	_, lives, _ := s.position()
	return s.wait(ctx, at, lives)
}

func (s *State) wait(ctx context.Context, at, lives uint64) error {
	for {
		now, life, changed := s.position()
		if now >= at || life != lives {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// first is how many events from the first on make one entry, without tearing apart
// what belongs together.
func first(events []Event) (int, error) {
	size, fits := len(`{"events":[]}`), 0
	for n := range events {
		if n > 0 && apart(events[n-1].Kind, events[n].Kind) {
			fits = n
		}
		b, err := json.Marshal(&events[n])
		if err != nil {
			return 0, fmt.Errorf("encode %s of %s: %w", events[n].Kind, events[n].subject(), err)
		}
		if size += len(b) + 1; n == MaxEvents || size > MaxEntryBytes {
			if fits == 0 {
				return 0, fmt.Errorf("%s of %s: %w: it is %d bytes with what belongs to it, want at most %d", events[n].Kind, events[n].subject(), ErrTooLarge, size, MaxEntryBytes)
			}
			return fits, nil
		}
	}
	return len(events), nil
}

// apart tells whether another's event may come between two.
func apart(a, b Kind) bool {
	switch b {
	case EventFired:
		return a != EventOpened && a != EventReopened
	case EventRaised, EventClosed:
		return false
	}
	return true
}
