package job

import (
	"math"
	"time"
)

// speedOver is the time over which a rate is smoothed.
const speedOver = 10 * time.Second

// speed measures how fast a job goes.
type speed struct {
	at           time.Time
	seen         Amount
	bytes, items float64 // per second
	known        bool
}

// observe fills in the rates of p.
func (s *speed) observe(p *Progress, now time.Time) {
	seen := p.Seen()
	d := now.Sub(s.at)
	switch {
	case s.at.IsZero():
		s.at, s.seen = now, seen
	case d >= time.Second:
		weight := 1 - math.Exp(-float64(d)/float64(speedOver))
		if !s.known {
			weight, s.known = 1, true
		}
		s.bytes += weight * (float64(seen.Bytes-s.seen.Bytes)/d.Seconds() - s.bytes)
		s.items += weight * (float64(seen.Items-s.seen.Items)/d.Seconds() - s.items)
		s.at, s.seen = now, seen
	}
	p.BytesPerSecond, p.ItemsPerSecond, p.ETASeconds = s.bytes, s.items, 0
	if s.bytes >= 1 && p.Total.Bytes > seen.Bytes {
		p.ETASeconds = float64(p.Total.Bytes-seen.Bytes) / s.bytes
	}
}
