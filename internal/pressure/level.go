package pressure

import "time"

// Shares of a stream's bytes, in per cent.
const (
	refuseAt = 90
	resumeAt = 85
)

// The wait asked of clients: never less than it takes to look again, and never so
// long that they give up: one that is told to wait beyond its own patience, a
// minute in the SDKs, drops its data at once.
const (
	leastWait = 5 * time.Second
	mostWait  = 24 * time.Second // and up to a quarter more, by jitter
)

// smoothing is the weight of the newest rate.
const smoothing = 0.5

// level is one thing that fills: bytes in use, and how fast they are freed.
type level struct {
	refusing bool
	excess   float64 // bytes to be freed before it takes again
	rate     float64 // bytes freed a second
	at       time.Time
}

// set takes what was seen: used of the bytes at which to refuse and to resume,
// and what was freed since the last time. It tells whether refusing changed.
func (l *level) set(at time.Time, used, refuse, resume, freed float64) (changed bool) {
	if d := at.Sub(l.at).Seconds(); !l.at.IsZero() && d > 0 {
		l.rate += smoothing * (freed/d - l.rate)
	}
	l.at = at
	was := l.refusing
	l.refusing = used > refuse || was && used > resume
	l.excess = max(0, used-resume)
	return l.refusing != was
}

// wait is how long the freeing takes at its present rate.
func (l *level) wait() time.Duration {
	if l.rate <= 0 || l.excess/l.rate > mostWait.Seconds() {
		return mostWait
	}
	return max(leastWait, time.Duration(l.excess/l.rate*float64(time.Second)))
}
