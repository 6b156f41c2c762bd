package worker

import (
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/prometheus/client_golang/prometheus"
)

// breaker counts the failures of a destination, and says for how long it is to
// be left alone. The waiting is the throttle's, which lets one export probe at
// its end: while the breaker is not closed, only that one's answer counts. So
// pulling pauses, and nothing sleeps in a slot.
type breaker struct {
	cfg     Breaker
	metrics *destinationMetrics

	mu    sync.Mutex
	count circuitbreaker.CircuitBreaker[any] // mu; nil: there is no breaker
	opens int                                // mu; in a row
	until time.Time                          // mu; of the last opening
}

func newBreaker(c Breaker, m *destinationMetrics) *breaker {
	b := &breaker{cfg: c, metrics: m}
	if c.Failures > 0 {
		// It is half-open when a probe begins, not after a delay of its own.
		b.count = circuitbreaker.NewBuilder[any]().WithFailureThreshold(uint(c.Failures)).WithSuccessThreshold(1).
			WithDelay(1000 * time.Hour).OnStateChanged(b.changed).Build()
	}
	return b
}

func (b *breaker) changed(e circuitbreaker.StateChangedEvent) {
	b.metrics.breakerState.Set(map[circuitbreaker.State]float64{circuitbreaker.ClosedState: 0, circuitbreaker.HalfOpenState: 1, circuitbreaker.OpenState: 2}[e.NewState])
	b.metrics.breakerChanges[stateName(e.NewState)].Inc()
}

// stateName is that of a state in metrics and in the status.
func stateName(s circuitbreaker.State) string {
	return map[circuitbreaker.State]string{circuitbreaker.ClosedState: "closed", circuitbreaker.HalfOpenState: "half_open", circuitbreaker.OpenState: "open"}[s]
}

// failed counts an export that failed for the destination's sake. open is the
// time that it is to be left alone if that opened the breaker, first whether it
// was closed before.
func (b *breaker) failed(probe bool) (open time.Duration, first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count == nil || !b.count.IsClosed() && !probe {
		return 0, false
	}
	first = b.count.IsClosed()
	if b.count.IsOpen() { // the probe of a hold that began otherwise
		b.count.HalfOpen()
	}
	b.count.RecordFailure()
	if !b.count.IsOpen() {
		return 0, false
	}
	open = time.Duration(b.cfg.Max)
	if b.opens < 30 {
		open = min(open, time.Duration(b.cfg.Initial)<<b.opens)
	}
	b.opens++
	b.until = time.Now().Add(open)
	return open, first
}

// succeeded tells of an export that the destination answered.
func (b *breaker) succeeded(probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.count == nil:
	case b.count.IsClosed():
		b.count.RecordSuccess()
	case probe:
		b.count.Close()
		b.opens = 0
	}
}

// probing tells that a hold is over and an export probes.
func (b *breaker) probing() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count != nil && b.count.IsOpen() {
		b.count.HalfOpen()
	}
}

// state is its name, and until when it is open at least.
func (b *breaker) state() (name string, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count == nil {
		return "", time.Time{}
	}
	if b.count.IsOpen() {
		until = b.until
	}
	return stateName(b.count.State()), until
}

// breakerMetrics of one destination.
func breakerMetrics(changes *prometheus.CounterVec, destination string) map[string]prometheus.Counter {
	m := map[string]prometheus.Counter{}
	for _, s := range []circuitbreaker.State{circuitbreaker.ClosedState, circuitbreaker.HalfOpenState, circuitbreaker.OpenState} {
		m[stateName(s)] = changes.WithLabelValues(destination, stateName(s))
	}
	return m
}
