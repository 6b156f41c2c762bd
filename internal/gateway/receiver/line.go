package receiver

import (
	"github.com/penstock-otel/penstock/internal/otlp"
)

// The line of the suspects: large requests that are here and wait for their turn. They
// hold half of what may be in flight together, and wait no longer than linePatience, else a
// dozen connections of one address would fill what everybody's requests are counted in.
// Who finds no room gives back what it holds, and is told to come again after a while;
// who has waited in vain, at once.

// leastPlace is what a request counts as at least, so that those who wait are few.
const leastPlace = 1 << 20

// lineUp takes a place in the line, which leave gives back; false: there is no room, and
// nothing has changed. A request that is alone has room.
func (v *visit) lineUp() (leave func(), ok bool) {
	s := v.in.suspects
	mine := int64(max(v.held.held, leastPlace))
	for {
		waiting := s.waiting.Load()
		if waiting > 0 && waiting+mine > s.room {
			return nil, false
		}
		if s.waiting.CompareAndSwap(waiting, waiting+mine) {
			return func() { s.waiting.Add(-mine) }, true
		}
	}
}

// full is the answer to who cannot wait, or no longer.
func (s *suspects) full() *otlp.Refusal {
	return otlp.Refuse(otlp.ReasonOverloaded, nil,
		"large requests from addresses that sent some for nothing wait for their turn, for %v at most, and with %d bytes together, half of gateway.limits.max_in_flight_bytes", s.patience, s.room).
		WithRetryAfter(jitter(retryOverloaded))
}

// tarry delays the answer of who found no room, when nothing is held for it any more:
// who does not heed Retry-After would be back at once.
func (v *visit) tarry() {
	if v.tarries == nil {
		return
	}
	select {
	case <-v.in.suspects.clock.after(lateAnswer):
	case <-v.tarries:
	case <-v.in.stopping:
	}
}
