package worker

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	f := func(attempt int, initial, longest, asked, least, most time.Duration) {
		t.Helper()
		for range 100 {
			if d := backoff(attempt, initial, longest, asked); d < least || d > most {
				t.Errorf("backoff(%d, %s, %s, %s) is %s, want %s to %s", attempt, initial, longest, asked, d, least, most)
				return
			}
		}
	}
	f(1, 4, 100, 0, 2, 4)
	f(2, 4, 100, 0, 4, 8)
	f(5, 4, 100, 0, 32, 64)
	f(6, 4, 100, 0, 50, 100)
	f(math.MaxInt, 4, 101, 0, 50, 101)
	f(1, 200, 100, 0, 50, 100)
	f(1, 4, 100, 3, 2, 4)
	f(1, 4, 100, 40, 40, 50)
	f(100, 1, math.MaxInt64, 0, math.MaxInt64/2, math.MaxInt64)
	f(1, 4, 100, math.MaxInt64, time.Hour, 75*time.Minute)
	f(0, 4, 100, -5, 2, 4)
}

func TestSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s said
		f := func(key string, want bool) {
			t.Helper()
			if got := s.due(key); got != want {
				t.Errorf("due(%s) is %t", key, got)
			}
		}
		f("a", true)
		f("a", false)
		f("b", true)
		f("a", false)
		time.Sleep(sayEvery)
		f("a", true)
		f("a", false)
		for i := range 10 * saidKeys {
			s.due(fmt.Sprint(i))
		}
		if len(s.at) > saidKeys {
			t.Errorf("remembers %d keys, the bound is %d", len(s.at), saidKeys)
		}
	})
}

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		f := func(wantAfter time.Duration, want bool) {
			t.Helper()
			if after, over := o.success(); after != wantAfter || over != want {
				t.Errorf("success is %s, %t; want %s, %t", after, over, wantAfter, want)
			}
		}
		f(0, false)
		o.failure()
		time.Sleep(time.Second)
		f(time.Second, false)
		f(0, false)
		o.failure()
		time.Sleep(outageMin)
		o.failure()
		f(outageMin, true)
		f(0, false)
	})
}
