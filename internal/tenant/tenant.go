package tenant

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// limits are those of one tenant, ready for use. Never changed.
type limits struct {
	Limits
	signals  [otlp.NumSignals]bool
	inFlight int64
}

// compile fills in what 0 stands for; share is that of max_in_flight_bytes.
func compile(l Limits, share int64) *limits {
	c := &limits{Limits: l, inFlight: int64(l.MaxInFlightBytes)}
	if c.inFlight == 0 {
		c.inFlight = share
	}
	for _, s := range otlp.Signals {
		c.signals[s] = len(l.Signals) == 0 || slices.Contains(l.Signals, s.String())
	}
	return c
}

// allows tells whether a destination may have the tenant's data.
func (l *limits) allows(destination string) bool {
	return len(l.Destinations) == 0 || slices.Contains(l.Destinations, destination) || slices.Contains(l.Destinations, AnyDestination)
}

// Tenant is what is remembered of one.
type Tenant struct {
	name   string
	limits atomic.Pointer[limits]
	count  counters
	held   atomic.Int64 // bytes in flight
	passes atomic.Int32 // requests inside
	used   atomic.Int64 // Unix seconds, of the last request

	mu    sync.Mutex // guards the buckets
	items bucket
	bytes bucket
}

// limit gives the tenant other limits.
func (t *Tenant) limit(l *limits, now time.Time) {
	t.limits.Store(l)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items.limit(float64(l.ItemsPerSecond), float64(l.ItemsBurst), now)
	t.bytes.limit(float64(l.BytesPerSecond), float64(l.BytesBurst), now)
}

// enter lets a request in, or says what keeps it out.
func (t *Tenant) enter(s otlp.Signal, now time.Time) (Pass, *otlp.Refusal) {
	l := t.limits.Load()
	if !l.signals[s] {
		return Pass{}, otlp.Refuse(otlp.ReasonPermissionDenied, nil, "tenant %s may not send %s", shown(t.name), s)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait := t.items.ready(now); wait > 0 {
		return Pass{}, spent(t.name, "items", int64(l.ItemsPerSecond), wait)
	}
	if wait := t.bytes.ready(now); wait > 0 {
		return Pass{}, spent(t.name, "bytes", int64(l.BytesPerSecond), wait)
	}
	return Pass{t: t, signal: s, items: t.items.enter(), bytes: t.bytes.enter()}, nil
}

// spent is the refusal for a rate. The wait has some jitter, so that clients which
// were sent away together do not come back so.
func spent(name, what string, rate int64, wait time.Duration) *otlp.Refusal {
	wait = wait*9/10 + rand.N(wait/5+1)
	return otlp.Refuse(otlp.ReasonRateLimited, nil, "tenant %s has spent its %d %s a second", shown(name), rate, what).WithRetryAfter(max(wait, minWait))
}

// minWait is the shortest wait worth telling.
const minWait = 50 * time.Millisecond

func shown(name string) string {
	if name == "" {
		return LabelNone
	}
	return name
}

// Pass is one request inside. It belongs to the goroutine of the request. The
// zero Pass is of nobody, and bounds nothing.
type Pass struct {
	t            *Tenant
	signal       otlp.Signal
	items, bytes float64 // what was paid
	over         bool    // see OverQuota
}

// Tenant is the name, "" for no tenant.
func (p *Pass) Tenant() string {
	if p.t == nil {
		return ""
	}
	return p.t.name
}

// MaxRequestBytes is the tenant's own limit, where it is less than limit.
func (p *Pass) MaxRequestBytes(limit int) int {
	if p.t == nil {
		return limit
	}
	if own := int(p.t.limits.Load().MaxRequestBytes); own > 0 {
		return min(own, limit)
	}
	return limit
}

// Hold adds n bytes to what the tenant has in flight, or refuses and changes
// nothing. held is what this request has already: a request that is alone is
// always let through, for it would never be taken otherwise.
func (p *Pass) Hold(n, held int) *otlp.Refusal {
	if p.t == nil {
		return nil
	}
	most := p.t.limits.Load().inFlight
	for {
		used := p.t.held.Load()
		if used+int64(n) > most && used > int64(held) {
			return otlp.Refuse(otlp.ReasonRateLimited, nil, "tenant %s has %d bytes in flight, and %d more would pass its max_in_flight_bytes of %d",
				shown(p.t.name), used, n, most).WithRetryAfter(time.Second*4/5 + rand.N(time.Second*2/5))
		}
		if p.t.held.CompareAndSwap(used, used+int64(n)) {
			return nil
		}
	}
}

// Free takes bytes off again.
func (p *Pass) Free(n int) {
	if p.t != nil {
		p.t.held.Add(-int64(n))
	}
}

// Spend settles what the request costs, in items and decompressed bytes. Called
// at most once, when they are known.
func (p *Pass) Spend(items, bytes int) {
	if p.t == nil {
		return
	}
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.t.items.settle(p.items, float64(items))
	p.t.bytes.settle(p.bytes, float64(bytes))
	p.items, p.bytes = float64(items), float64(bytes)
	p.over = p.t.items.over() || p.t.bytes.over()
}

// OverQuota tells, after Spend, whether the tenant sends more than its rates allow:
// it is in debt, or was sent away a moment ago.
func (p *Pass) OverQuota() bool { return p.over }

// Refund gives back what was paid, for a request that was refused for no fault
// of the tenant's: it will come again.
func (p *Pass) Refund() {
	if p.t == nil {
		return
	}
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.t.items.refund(p.items)
	p.t.bytes.refund(p.bytes)
	p.items, p.bytes = 0, 0
}

// Accepted counts what was answered with success.
func (p *Pass) Accepted(items, bytes int) {
	if p.t != nil {
		p.t.count.items[p.signal].Add(float64(items))
		p.t.count.bytes.Add(float64(bytes))
	}
}

// Refused counts a refusal.
func (p *Pass) Refused(reason otlp.Reason) {
	if p.t != nil {
		p.t.count.refused.WithLabelValues(string(reason)).Inc()
	}
}

// End is called when the request is answered.
func (p *Pass) End() {
	if p.t != nil {
		p.t.passes.Add(-1)
	}
}
