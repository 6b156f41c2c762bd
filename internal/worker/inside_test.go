package worker

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	f := func(attempt int, initial, longest, least, most time.Duration) {
		t.Helper()
		for range 100 {
			if d := backoff(attempt, initial, longest); d < least || d > most {
				t.Errorf("backoff(%d, %s, %s) is %s, want %s to %s", attempt, initial, longest, d, least, most)
				return
			}
		}
	}
	f(0, 4, 100, 2, 4)
	f(1, 4, 100, 2, 4)
	f(2, 4, 100, 4, 8)
	f(5, 4, 100, 32, 64)
	f(6, 4, 100, 50, 100)
	f(math.MaxInt, 4, 101, 50, 101)
	f(1, 200, 100, 50, 100)
	f(100, 1, math.MaxInt64, math.MaxInt64/2, math.MaxInt64)
}

func TestLongest(t *testing.T) {
	f := func(d time.Duration, times int, want time.Duration) {
		t.Helper()
		if got := longest(d, times); got != want {
			t.Errorf("longest(%s, %d) is %s, want %s", d, times, got, want)
		}
	}
	f(30*time.Second, 1, 30*time.Second)
	f(30*time.Second, 10, 5*time.Minute)
	f(math.MaxInt64/2, 10, math.MaxInt64)
}

// Redeliveries leave a place to others wherever there are two.
func TestShareOfRedeliveries(t *testing.T) {
	for exports, want := range map[int]int{1: 1, 2: 1, 3: 2, 4: 3, 5: 3, 8: 6, 16: 12, 100: 75} {
		if got := share(exports); got != want {
			t.Errorf("of %d exports redeliveries have %d, want %d", exports, got, want)
		}
	}
}

func TestLone(t *testing.T) {
	var l lone
	here := place{"s", 1}
	f := func(taken uint64, want int) {
		t.Helper()
		if got := l.failure(here, taken); got != want {
			t.Errorf("failure with %d taken is %d, want %d", taken, got, want)
		}
	}
	f(7, 1)
	for range 100 {
		f(7, 1) // an outage
	}
	for i := range uint64(100) {
		f(8+i, min(1+(int(i)+1)/loneSteps, loneMost))
	}
	f(107, 1) // an outage once more
	if got := l.times(here); got != loneMost {
		t.Errorf("times is %d, want %d", got, loneMost)
	}
	f(108, loneMost)
	if got := l.times(place{"s", 2}); got != 1 {
		t.Errorf("times of another is %d", got)
	}
	l.settled(here)
	f(109, 1)
	f(110, 1)
	for i := range uint64(3 * loneKeys) {
		l.failure(place{"t", i}, 0)
	}
	if len(l.of) > loneKeys {
		t.Errorf("remembers %d messages, the bound is %d", len(l.of), loneKeys)
	}
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
