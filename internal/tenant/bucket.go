package tenant

import (
	"math"
	"time"
)

// bucket is a token bucket that may go into debt. What a request will cost is
// known only after it was read: so it pays a guess when it enters, the rest
// after, and whoever comes while there is debt waits until it is paid.
type bucket struct {
	rate, burst float64 // rate 0: no limit
	level       float64 // at most burst; below 0: debt
	at          time.Time
	guess       float64 // of the next request: a moving mean of those before
	waiting     float64 // requests that were sent away and have not come back
}

// limit changes rate and burst. What was spent stays spent.
func (b *bucket) limit(rate, burst float64, now time.Time) {
	if burst == 0 {
		burst = burstSeconds * rate
	}
	if b.rate == 0 { // there was no limit, so nothing is spent
		b.level, b.at = burst, now
		b.guess = burst / firstGuess
	}
	b.refill(now)
	b.rate, b.burst = rate, burst
	b.level = min(b.level, burst)
}

// firstGuess is how many requests may enter on a burst before one is known.
const firstGuess = 64

// burstSeconds is the burst of a rate that names none.
const burstSeconds = 2

func (b *bucket) refill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.level = min(b.burst, b.level+b.rate*d.Seconds())
		b.at = now
	}
	if b.level >= b.burst {
		b.waiting = 0 // they do not come back
	}
}

// ready is 0 when a request may enter, else the wait after which it may. Each
// one that is sent away is told a later time than the one before: they would
// come back together.
func (b *bucket) ready(now time.Time) time.Duration {
	if b.rate == 0 {
		return 0
	}
	b.refill(now)
	if b.level > 0 {
		return 0
	}
	b.waiting++
	seconds := (b.waiting*max(b.guess, 1) - b.level) / b.rate
	return time.Duration(min(seconds, maxWait.Seconds()) * float64(time.Second))
}

// over tells whether more is asked of the bucket than flows into it.
func (b *bucket) over() bool { return b.rate != 0 && (b.level <= 0 || b.waiting > 0) }

// maxWait is the longest wait that a client is told: SDKs give up at once when it
// passes the minute that they try for.
const maxWait = 30 * time.Second

// enter pays the guess.
func (b *bucket) enter() (paid float64) {
	if b.rate == 0 {
		return 0
	}
	b.waiting = max(0, b.waiting-1)
	b.level -= b.guess
	return b.guess
}

// settle makes what was paid the real cost, and learns from it.
func (b *bucket) settle(paid, cost float64) {
	if b.rate == 0 {
		return
	}
	b.level = min(b.burst, b.level+paid-cost)
	b.guess += (cost - b.guess) / 8
	if math.IsNaN(b.level) || math.IsInf(b.level, 0) {
		panic("BUG: a rate limit counts what is no number")
	}
}

// refund gives back what was paid, for a request that was not taken.
func (b *bucket) refund(paid float64) {
	if b.rate != 0 {
		b.level = min(b.burst, b.level+paid)
	}
}
