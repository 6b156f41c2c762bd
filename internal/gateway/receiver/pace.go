package receiver

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// How the work on the large requests of suspects is cut.
const (
	// slice is how long it has a core at a stretch, or one piece of the codec more.
	slice = time.Millisecond
	// maxSliceRest bounds the rest after a slice. The longest is brotli's, which fills
	// a window of 16 MiB at once: some 50 ms. What takes longer waited for a core itself.
	maxSliceRest = 500 * time.Millisecond
)

// halted is why unpacking was ended that was the body's fault in no way.
type halted struct{ refusal *otlp.Refusal }

func (h *halted) Error() string { return h.refusal.Message }

// clock is what rests are made of.
type clock struct {
	now   func() time.Time
	after func(time.Duration) <-chan time.Time
}

// pace is told how far the unpacking of a large request is. A suspect's rests after
// each slice, restFactor times as long. Any other goes on, also when its client goes:
// who leaves before it is known what it sent would never be a suspect.
func (v *visit) pace(ctx context.Context) func(in, out int) error {
	return func(int, int) error {
		if v.turn != v.in.suspects.turn {
			return nil
		}
		return v.rest(ctx)
	}
}

// rest ends a slice, where it was long enough.
func (v *visit) rest(ctx context.Context) error {
	c := &v.in.suspects.clock
	began := c.now()
	worked := began.Sub(v.sliceSince)
	if worked >= slice {
		select {
		case <-c.after(min(restFactor*worked, maxSliceRest)):
		case <-ctx.Done():
		case <-v.in.stopping:
		}
		v.sliceSince = c.now()
		v.rested += v.sliceSince.Sub(began)
	}
	select {
	case <-ctx.Done():
		return &halted{gone(ctx)}
	case <-v.in.stopping:
		return &halted{stoppingNow()}
	default:
		return nil
	}
}

// arrival is the work that a byte is before anybody knows what it is for, over gRPC:
// read, put into frames, copied.
const arrival = 4 * time.Nanosecond

// owed is how long the turn has to rest after its work, which is factor times as long
// with the rests inside.
func (v *visit) owed(now time.Time, factor time.Duration) time.Duration {
	worked := now.Sub(v.turnSince) - v.rested + time.Duration(v.arrived)*arrival
	return min(maxRest, factor*worked-v.rested)
}

// halt is why unpacking ended with err, where the body is not to blame.
func halt(err error) *otlp.Refusal {
	var h *halted
	if errors.As(err, &h) {
		return h.refusal
	}
	return nil
}
