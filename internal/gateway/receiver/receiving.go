package receiver

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/tap"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Why a call was ended by the gateway while its message was on the way.
var (
	errSlow     = errors.New("the message did not arrive whole in time")
	errPressure = errors.New("the buffers of half-received messages are full")
)

// receiving knows the calls whose message is on the way, and can end them: by
// age, because a client that stops half way would hold its stream and buffers
// for ever, and under pressure, because buffers of messages that do not end
// would shut out all others. The answer is gRPC's own, CANCELLED, which OTLP
// clients retry. HTTP has its bodies in one for the second alone.
type receiving struct {
	timeout time.Duration

	mu    sync.Mutex
	calls list.List   // mu; of call, the oldest first
	timer *time.Timer // mu; for the oldest; nil when there is none
}

type call struct {
	cancel context.CancelCauseFunc
	began  time.Time
}

type callKey struct{}

// tap gives each call a context that can be cancelled from here. It is what
// gRPC's receive waits on.
func (r *receiving) tap(ctx context.Context, _ *tap.Info) (context.Context, error) {
	ctx, cancel := context.WithCancelCause(ctx) // ends with its parent, the stream
	return context.WithValue(ctx, callKey{}, cancel), nil
}

// begin is called when a call waits for its message; ended when it has it.
func (r *receiving) begin(ctx context.Context) (ended func()) {
	cancel, _ := ctx.Value(callKey{}).(context.CancelCauseFunc)
	ended = r.track(cancel)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil {
		r.timer = time.AfterFunc(r.timeout, r.expire)
	}
	return ended
}

// track is begin for what has another timeout; cancel may be called until ended was.
func (r *receiving) track(cancel context.CancelCauseFunc) (ended func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.calls.PushBack(call{cancel, time.Now()})
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls.Remove(e) // nothing, when end has done so
	}
}

// end cancels the calls that have been receiving for longer than age.
func (r *receiving) end(age time.Duration, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(age, why)
}

func (r *receiving) endLocked(age time.Duration, why error) {
	for e := r.calls.Front(); e != nil && time.Since(e.Value.(call).began) >= age; e = r.calls.Front() {
		r.calls.Remove(e).(call).cancel(why)
	}
}

// expire runs when the oldest call of some time ago is due.
func (r *receiving) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(r.timeout, errSlow)
	if e := r.calls.Front(); e != nil {
		r.timer.Reset(time.Until(e.Value.(call).began.Add(r.timeout)))
		return
	}
	r.timer = nil
}

// gone is the refusal for a request whose context has ended.
func gone(ctx context.Context) *otlp.Refusal {
	switch cause := context.Cause(ctx); cause {
	case errSlow:
		return otlp.Refuse(otlp.ReasonDeadlineExceeded, cause, "the message did not arrive whole within gateway.grpc.read_timeout")
	case errPressure:
		return underPressure(cause)
	}
	return otlp.AsRefusal(ctx.Err())
}

func underPressure(cause error) *otlp.Refusal {
	return otlp.Refuse(otlp.ReasonOverloaded, cause, "this message is among half-received ones that fill the memory for them").WithRetryAfter(jitter(retryOverloaded))
}
