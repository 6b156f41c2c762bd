package replay

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
)

// Times of pacing.
const (
	burst    = 100 * time.Millisecond // of the rate
	yieldFor = 200 * time.Millisecond // while live traffic has the destination
	maxHold  = 5 * time.Minute        // a destination may ask to be left alone for
)

// limits are those of a job, over all its destinations.
type limits struct {
	bytes, items *rate.Limiter
	// turn has one wait at a time: several would be over together, and go out at
	// once.
	turn chan struct{}
}

func newLimits(s *Spec) *limits {
	return &limits{limiter(float64(s.Rate)), limiter(float64(s.ItemsRate)), make(chan struct{}, 1)}
}

// limiter lets n a second pass, from an empty bucket; nil for 0.
func limiter(n float64) *rate.Limiter {
	if n <= 0 {
		return nil
	}
	l := rate.NewLimiter(rate.Limit(n), max(1, int(n*burst.Seconds())))
	l.AllowN(time.Now(), l.Burst())
	return l
}

// wait returns when so much may be sent.
func (l *limits) wait(ctx context.Context, bytes, items int) error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := wait(ctx, l.bytes, bytes); err != nil {
		return err
	}
	return wait(ctx, l.items, items)
}

func wait(ctx context.Context, l *rate.Limiter, n int) error {
	if l == nil {
		return nil
	}
	for n > 0 {
		take := min(n, l.Burst())
		if err := l.WaitN(ctx, take); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		n -= take
	}
	return nil
}

// paced is an exporter that waits for its turn: while the destination asked to be
// left alone, while live traffic needs it, and as the rate demands. The waits end
// with ctx, the export with that of the call.
type paced struct {
	exporter.Exporter
	ctx    context.Context
	limits *limits
	busy   func() bool
	yields func()

	mu    sync.Mutex
	until time.Time // mu; left alone until then
}

// wait returns when the request may be sent.
func (p *paced) wait(q *exporter.Request) error {
	for {
		d := p.held()
		if d == 0 && p.busy() {
			p.yields()
			d = yieldFor
		}
		if d == 0 {
			return p.limits.wait(p.ctx, q.RawBytes, q.Items)
		}
		if err := pause(p.ctx, d); err != nil {
			return err
		}
	}
}

// noting is a paced exporter for one message, which notes that it was sent.
type noting struct {
	*paced
	sent *atomic.Bool
}

// Export implements exporter.Exporter.
func (n noting) Export(ctx context.Context, q *exporter.Request) (exporter.Result, error) {
	if err := n.wait(q); err != nil {
		return exporter.Result{}, err
	}
	n.sent.Store(true)
	return n.Exporter.Export(ctx, q)
}

// hold leaves the destination alone.
func (p *paced) hold(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(min(d, maxHold)); until.After(p.until) {
		p.until = until
	}
}

func (p *paced) held() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, time.Until(p.until))
}
