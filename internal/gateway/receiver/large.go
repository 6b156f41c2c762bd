package receiver

import (
	"context"
	"runtime"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// What makes a request a large one. No client with the usual batches sends such.
const (
	largePacked = 1 << 20 // compressed
	largeText   = 1 << 20 // JSON
	largeBytes  = 4 << 20 // protobuf, or what it is to become
)

// largeSlots bounds how many large requests are put together, decompressed,
// decoded, checked and copied at once, so that these leave memory and a core to
// all others. The work is the CPU's, so waiting for a turn costs little.
var largeSlots = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// large waits for a turn among the large requests, unless the request has one. It
// is never called while a client may still keep the request waiting.
func (v *visit) large(ctx context.Context) *otlp.Refusal {
	if v.turn != nil {
		return nil
	}
	v.from = from(ctx)
	if v.in.suspects.has(v.from, time.Now()) {
		return v.wait(ctx, v.in.suspects.turn)
	}
	return v.wait(ctx, largeSlots)
}

// wait waits for one turn. Suspects may wait for seconds, so they do not keep a stop
// waiting, nor what is in flight for themselves: they wait with half of it at most.
func (v *visit) wait(ctx context.Context, turn chan struct{}) *otlp.Refusal {
	var stopping chan struct{}
	if turn == v.in.suspects.turn {
		stopping = v.in.stopping
		mine := int64(v.held.held)
		waiting := v.in.suspects.waiting.Add(mine)
		defer v.in.suspects.waiting.Add(-mine)
		if most := v.in.admission.limit / 2; waiting > most && waiting > mine {
			return otlp.Refuse(otlp.ReasonOverloaded, nil,
				"%d bytes of large requests wait for the turn of addresses that sent some for nothing, and half of gateway.limits.max_in_flight_bytes is %d", waiting, most).
				WithRetryAfter(jitter(retryOverloaded))
		}
	}
	select {
	case turn <- struct{}{}:
		now := v.in.suspects.clock.now()
		v.turn, v.turnSince, v.sliceSince, v.rested = turn, now, now, 0
		return nil
	case <-ctx.Done():
		return gone(ctx)
	case <-stopping:
		return stoppingNow()
	}
}

// worked ends the turn; it may be called again.
func (v *visit) worked() {
	if turn := v.turn; turn != nil {
		v.turn = nil
		<-turn
	}
}

// wasted ends the turn of a request that was large for nothing.
func (v *visit) wasted() {
	turn := v.turn
	if turn == nil {
		return
	}
	v.in.suspects.add(v.from, time.Now())
	owed := v.owed(v.in.suspects.clock.now())
	if turn == largeSlots || owed <= 0 {
		v.worked()
		return
	}
	v.turn = nil
	v.in.suspects.after(owed, func() { <-turn })
}
