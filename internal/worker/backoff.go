package worker

import (
	"math"
	"math/rand/v2"
	"time"
)

// backoff is the wait before the next try after attempt tries: doubling from
// initial to longest, with half of it at random so that what failed together
// does not return together.
func backoff(attempt int, initial, longest time.Duration) time.Duration {
	d := initial
	for i := 1; i < attempt && d < longest; i++ {
		if d > longest/2 {
			d = longest
			break
		}
		d *= 2
	}
	d = min(d, longest)
	return d/2 + rand.N(d/2+1)
}

// longest is so many times d, as long as there is such a duration.
func longest(d time.Duration, times int) time.Duration {
	if d > math.MaxInt64/time.Duration(times) {
		return math.MaxInt64
	}
	return d * time.Duration(times)
}
