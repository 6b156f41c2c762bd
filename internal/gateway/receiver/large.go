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
	v.from, v.arrived = from(ctx), v.held.held
	if !v.suspected() {
		if r := v.wait(ctx); r != nil || !v.suspected() {
			return r
		}
		v.worked() // others of its source that came with it were for nothing
	}
	return v.waitInLine(ctx)
}

func (v *visit) suspected() bool { return v.in.suspects.has(v.from, time.Now()) }

// wait waits for the turn of everybody.
func (v *visit) wait(ctx context.Context) *otlp.Refusal {
	select {
	case largeSlots <- struct{}{}:
		v.begin(largeSlots)
		return nil
	case <-ctx.Done():
		return gone(ctx)
	}
}

// waitInLine waits for the turn of the suspects. That may take seconds, so it keeps
// neither a stop waiting nor what is in flight for itself.
func (v *visit) waitInLine(ctx context.Context) *otlp.Refusal {
	leave, ok := v.lineUp()
	if !ok {
		v.tarries = ctx.Done()
		return v.in.suspects.full()
	}
	defer leave()
	s := v.in.suspects
	enough := time.NewTimer(s.patience)
	defer enough.Stop()
	select {
	case s.turn <- struct{}{}:
		v.begin(s.turn)
		if ctx.Err() != nil { // both were so
			v.worked()
			return gone(ctx)
		}
		return nil
	case <-enough.C:
		return v.in.suspects.full()
	case <-ctx.Done():
		return gone(ctx)
	case <-v.in.stopping:
		return stoppingNow()
	}
}

func (v *visit) begin(turn chan struct{}) {
	now := v.in.suspects.clock.now()
	v.turn, v.turnSince, v.sliceSince, v.rested = turn, now, now, 0
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
	if v.turn == nil {
		return
	}
	v.in.suspects.add(v.from, time.Now())
	v.restOff()
}

// gaveUp ends the turn of a request that was not worked to its end. A suspect's is
// rested for all the same, and longer where clients leave in the middle, or leaving
// would be the way around the rest. It is no reason to suspect anybody for longer:
// honest clients leave when they wait for others.
func (v *visit) gaveUp(why otlp.Reason) {
	if left := why == otlp.ReasonCanceled || why == otlp.ReasonDeadlineExceeded; left && v.turn == v.in.suspects.turn {
		v.in.suspects.place(v.from).wastes.Add(1)
	}
	v.restOff()
}

// restOff ends the turn, that of the suspects when it has rested. What the request
// holds is not needed for that.
func (v *visit) restOff() {
	s, turn := v.in.suspects, v.turn
	if turn != s.turn { // or it has none
		v.worked()
		return
	}
	owed := v.owed(s.clock.now(), s.factor(v.from))
	if owed <= 0 {
		v.worked()
		return
	}
	v.turn = nil
	s.after(owed, func() { <-turn })
}
