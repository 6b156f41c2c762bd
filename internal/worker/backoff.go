package worker

import (
	"math"
	"math/rand/v2"
	"time"
)

// maxAsked bounds the wait that a destination may ask for: a wrong unit at its
// end must not hide data for days.
const maxAsked = time.Hour

// backoff is the wait before the next try after attempt tries: doubling from
// initial to longest, with half of it at random so that what failed together
// does not return together; never less than the destination asked for.
func backoff(attempt int, initial, longest, asked time.Duration) time.Duration {
	d := initial
	for i := 1; i < attempt && d < longest; i++ {
		if d > longest/2 {
			d = longest
			break
		}
		d *= 2
	}
	d = min(d, longest)
	d = d/2 + rand.N(d/2+1)
	if asked = min(asked, maxAsked); asked > d {
		d = asked + rand.N(asked/4+1)
	}
	return d
}

// longest is so many times d, as long as there is such a duration.
func longest(d time.Duration, times int) time.Duration {
	if d > math.MaxInt64/time.Duration(times) {
		return math.MaxInt64
	}
	return d * time.Duration(times)
}
