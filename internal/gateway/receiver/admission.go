package receiver

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// admission is the budget of bytes in flight. It never blocks: what does not
// fit is refused, so that the client's own back-off makes the queue.
type admission struct {
	limit int64
	used  atomic.Int64
}

// take adds n bytes to a request's claim, or refuses.
func (a *admission) take(n int) *otlp.Refusal {
	if used := a.used.Add(int64(n)); used > a.limit {
		a.used.Add(-int64(n))
		return otlp.Refuse(otlp.ReasonOverloaded, nil,
			"%d bytes of requests are in flight and %d more would pass gateway.limits.max_in_flight_bytes of %d", used-int64(n), n, a.limit).
			WithRetryAfter(jitter(time.Second))
	}
	return nil
}

func (a *admission) give(n int) { a.used.Add(-int64(n)) }

// claim is what one request holds of the budget.
type claim struct {
	a    *admission
	held int
}

// grow makes the claim at least n bytes.
func (c *claim) grow(n int) *otlp.Refusal {
	if n <= c.held {
		return nil
	}
	if r := c.a.take(n - c.held); r != nil {
		return r
	}
	c.held = n
	return nil
}

// shrink gives back what is above n.
func (c *claim) shrink(n int) {
	if n < c.held {
		c.a.give(c.held - n)
		c.held = n
	}
}

func (c *claim) release() { c.shrink(0) }

// jitter spreads the returns of clients that were refused together: d ± 20 %.
func jitter(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5)
}
