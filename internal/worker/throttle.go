package worker

import (
	"context"
	"sync"
	"time"
)

// maxHold bounds the wait that a destination may ask for: a wrong unit at its
// end, or an hour that it gives to everybody, must not keep data from it long
// after it is well again.
const maxHold = 5 * time.Minute

// firstsOnly is how long at most first deliveries alone may probe after a hold,
// when the probe before was a redelivery that was told to wait again. It may be
// the one message that the destination always answers so, and the queue hands
// it out before others: they would never get their turn.
const firstsOnly = 2 * time.Second

// throttle keeps everything from a destination for as long as it asked to be
// left alone (OTLP 1.11, "Throttling": clients MUST throttle on the signal),
// then lets one export probe while the others wait for its outcome. The zero
// value holds nothing.
type throttle struct {
	mu      sync.Mutex
	until   time.Time     // mu; zero: nothing is held
	firsts  time.Time     // mu; until then only first deliveries probe
	probing bool          // mu
	changed chan struct{} // mu; closed when a probe ends; nil: nobody waits
}

// wait returns when an export may begin or probe, and tells whether that took
// time.
func (t *throttle) wait(ctx context.Context) (waited bool, err error) {
	return t.await(ctx, func(now time.Time) bool {
		return t.until.IsZero() || !t.probing && !now.Before(t.until)
	})
}

// enter waits until this export may begin. Its end as a probe must be told by
// answered or abandoned. errPostponed: another message is to be tried first.
func (t *throttle) enter(ctx context.Context, first bool) (probe, waited bool, err error) {
	postponed := false
	waited, err = t.await(ctx, func(now time.Time) bool {
		switch {
		case t.until.IsZero():
		case t.probing || now.Before(t.until):
			return false
		case !first && now.Before(t.firsts):
			postponed = true
		default:
			t.probing, probe = true, true
		}
		return true
	})
	if postponed {
		err = errPostponed
	}
	return probe, waited, err
}

// await waits until ready, which is called with mu held.
func (t *throttle) await(ctx context.Context, ready func(now time.Time) bool) (waited bool, err error) {
	for ; ; waited = true {
		t.mu.Lock()
		now := time.Now()
		if ready(now) {
			t.mu.Unlock()
			return waited, nil
		}
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		changed, left := t.changed, t.until.Sub(now)
		t.mu.Unlock()
		if left <= 0 { // a probe is running
			left = maxHold
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
		timer.Stop()
		if err != nil {
			return true, err
		}
	}
}

// answered tells of an export that the destination answered, with the wait it
// asked for, 0 for none. Only a probe ends a hold. The first to begin one is
// told how long it is.
func (t *throttle) answered(probe, first bool, asked time.Duration) (hold time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if asked > 0 {
		asked = min(asked, maxHold)
		if t.until.IsZero() {
			hold = asked
		}
		if until := time.Now().Add(asked); until.After(t.until) {
			t.until = until
		}
		if probe {
			t.firsts = time.Time{}
			if !first {
				t.firsts = t.until.Add(min(asked, firstsOnly))
			}
		}
	} else if probe {
		t.until, t.firsts = time.Time{}, time.Time{}
	}
	if probe {
		t.probedLocked()
	}
	return hold
}

// abandoned tells of a probe that came to no answer: another is to try.
func (t *throttle) abandoned() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.probedLocked()
}

func (t *throttle) probedLocked() {
	t.probing = false
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// holds tells whether everything is to wait now.
func (t *throttle) holds() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.until.IsZero()
}
