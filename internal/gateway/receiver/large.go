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
	turn := largeSlots
	if v.in.suspects.has(v.from, time.Now()) {
		turn = v.in.suspects.turn
	}
	select {
	case turn <- struct{}{}:
		v.turn, v.turnSince = turn, time.Now()
		return nil
	case <-ctx.Done():
		return gone(ctx)
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
	now := time.Now()
	v.in.suspects.add(v.from, now)
	if turn == largeSlots {
		v.worked()
		return
	}
	v.turn = nil
	v.in.suspects.after(min(maxRest, restFactor*now.Sub(v.turnSince)), func() { <-turn })
}
