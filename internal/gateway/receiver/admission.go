package receiver

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/tenant"
)

// admission is the budget of bytes in flight. It never blocks: what does not
// fit is refused, so that the client's own back-off makes the queue.
type admission struct {
	limit   int64
	used    atomic.Int64
	pressed func() // nil, or told that something did not fit; set before serving
}

// take adds n bytes to the budget in use, or refuses and changes nothing, so
// that a request that does not fit is no reason to refuse a smaller one.
func (a *admission) take(n int) *otlp.Refusal {
	for {
		used := a.used.Load()
		if used+int64(n) > a.limit {
			return a.overloaded(used, n)
		}
		if a.used.CompareAndSwap(used, used+int64(n)) {
			return nil
		}
	}
}

// full refuses when there is no room for anything.
func (a *admission) full() *otlp.Refusal {
	if used := a.used.Load(); used >= a.limit {
		return a.overloaded(used, 1)
	}
	return nil
}

func (a *admission) overloaded(used int64, n int) *otlp.Refusal {
	if a.pressed != nil {
		a.pressed()
	}
	return otlp.Refuse(otlp.ReasonOverloaded, nil,
		"%d bytes of requests are in flight and %d more would pass gateway.limits.max_in_flight_bytes of %d", used, n, a.limit).
		WithRetryAfter(jitter(retryOverloaded))
}

func (a *admission) give(n int) { a.used.Add(-int64(n)) }

// claim is what one request holds of the budget. It belongs to the goroutine of
// the request.
type claim struct {
	a    *admission
	pass *tenant.Pass // whose share it takes from too; nil: nobody's
	held int
}

// grow makes the claim at least n bytes. A request that needs more than the
// whole budget is too large: it would be no better to send it again.
func (c *claim) grow(n int) *otlp.Refusal {
	if n <= c.held {
		return nil
	}
	if int64(n) > c.a.limit {
		return otlp.Refuse(otlp.ReasonTooLarge, nil,
			"to take this request %d bytes of memory are needed and gateway.limits.max_in_flight_bytes is %d: send smaller batches", n, c.a.limit)
	}
	if c.pass != nil {
		if r := c.pass.Hold(n-c.held, c.held); r != nil {
			return r
		}
	}
	if r := c.a.take(n - c.held); r != nil {
		c.free(n - c.held)
		return r
	}
	c.held = n
	return nil
}

// shrink gives back what is above n.
func (c *claim) shrink(n int) {
	if n < c.held {
		c.a.give(c.held - n)
		c.free(c.held - n)
		c.held = n
	}
}

// free gives back to the tenant's share.
func (c *claim) free(n int) {
	if c.pass != nil {
		c.pass.Free(n)
	}
}

func (c *claim) release() { c.shrink(0) }

// jitter spreads the returns of clients that were refused together: d ± 20 %.
func jitter(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5)
}
