package worker

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A limit that was learned grows by a quarter each limitGrows, and is never
// learned to be less than limitLeast.
const (
	limitGrows = time.Minute
	limitLeast = 64 << 10
)

// limit is the largest request that a destination is sent: the configured size,
// until it calls a smaller one too large. Then it is half of that, so that what
// follows is split before it is sent, and grows back slowly: when it was wrong,
// for a limit that was raised or a proxy that is gone, that costs a refused
// request now and then and no configuration.
type limit struct {
	most  int
	gauge prometheus.Gauge

	mu  sync.Mutex
	now int       // mu
	at  time.Time // mu; when it was learned, or grew
}

func newLimit(most int, gauge prometheus.Gauge) *limit {
	gauge.Set(float64(most))
	return &limit{most: most, now: most, gauge: gauge}
}

// bytes is the limit now.
func (l *limit) bytes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == l.most {
		return l.now
	}
	for ; l.now < l.most && time.Since(l.at) >= limitGrows; l.at = l.at.Add(limitGrows) {
		l.now = min(l.now+l.now/4+1, l.most)
		l.gauge.Set(float64(l.now))
	}
	return l.now
}

// tooLarge tells of a request of n bytes that was.
func (l *limit) tooLarge(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = min(l.now, max(n/2, limitLeast))
	l.at = time.Now()
	l.gauge.Set(float64(l.now))
}
