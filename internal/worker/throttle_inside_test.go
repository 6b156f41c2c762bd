package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// One is let in after the hold, the others when it was answered.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var th throttle
		ctx, begin := t.Context(), time.Now()
		enter := func(first, wantProbe bool, wantErr error, wantAfter time.Duration) {
			t.Helper()
			_, err := th.wait(ctx)
			probe, _, err2 := th.enter(ctx, first)
			if err != nil || probe != wantProbe || !errors.Is(err2, wantErr) || time.Since(begin) != wantAfter {
				t.Errorf("enter is %t, %v, %v after %s; want %t, %v after %s", probe, err, err2, time.Since(begin), wantProbe, wantErr, wantAfter)
			}
		}
		answered := func(probe, first bool, asked, want time.Duration) {
			t.Helper()
			if hold := th.answered(probe, first, asked); hold != want {
				t.Errorf("answered is %s, want %s", hold, want)
			}
		}
		enter(true, false, nil, 0)
		answered(false, true, 0, 0)
		enter(true, false, nil, 0)
		answered(false, true, time.Minute, time.Minute)
		answered(false, false, time.Second, 0) // another that was under way, less
		answered(false, false, 0, 0)           // and one that went well: no end of it
		enter(true, true, nil, time.Minute)
		time.AfterFunc(time.Second, func() { answered(true, true, time.Minute, 0) })
		enter(false, true, nil, 2*time.Minute+time.Second) // waits for the probe, then for the new hold
		th.abandoned()
		enter(false, true, nil, 2*time.Minute+time.Second)
		answered(true, false, 24*time.Hour, 0)
		enter(false, false, errPostponed, 7*time.Minute+time.Second)
		enter(true, true, nil, 7*time.Minute+time.Second) // first deliveries are let in
		answered(true, true, time.Minute, 0)
		enter(false, true, nil, 8*time.Minute+time.Second) // redeliveries again
		answered(true, false, time.Minute, 0)
		time.Sleep(time.Minute + firstsOnly)
		enter(false, true, nil, 9*time.Minute+3*time.Second) // no first delivery came
		answered(true, false, 0, 0)
		enter(false, false, nil, 9*time.Minute+3*time.Second)
		answered(false, false, time.Hour, maxHold)

		stopped, cancel := context.WithCancel(ctx)
		time.AfterFunc(time.Second, cancel)
		if waited, err := th.wait(stopped); !waited || !errors.Is(err, context.Canceled) {
			t.Errorf("wait of one who is stopped is %t, %v", waited, err)
		}
		if probe, _, err := th.enter(stopped, true); probe || !errors.Is(err, context.Canceled) {
			t.Errorf("enter of one who is stopped is %t, %v", probe, err)
		}
	})
}
