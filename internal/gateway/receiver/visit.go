package receiver

import (
	"context"
	"net/netip"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/tenant"
)

// visit is one request inside: who pays for it, and what it holds. It belongs
// to the goroutine of the request, which ends it by leave.
type visit struct {
	in        *Intake
	signal    otlp.Signal
	transport string
	pass      tenant.Pass
	held      claim
	from      netip.Addr    // set by large
	arrived   int           // the same: bytes that the request held before its work
	turn      chan struct{} // among the large requests; nil: it has none
	turnSince time.Time
	// Of unpacking in the turn of the suspects.
	sliceSince time.Time
	rested     time.Duration
	tarries    <-chan struct{} // closed when its client has gone; nil, or its answer is delayed
}

// enter lets a request in before anything of it is read, or refuses.
func (in *Intake) enter(ctx context.Context, s otlp.Signal, transport string, k knock) (*visit, *otlp.Refusal) {
	if in.draining.Load() {
		return nil, in.refused(s, transport, 0, stoppingNow())
	}
	pass, r := in.Door.enter(ctx, s, k)
	if r != nil {
		return nil, in.refused(s, transport, 0, r)
	}
	v := &visit{in: in, signal: s, transport: transport, pass: pass}
	v.held = claim{a: &in.admission, pass: &v.pass}
	if r := in.room(s); r != nil {
		defer v.leave()
		return nil, v.refused(0, r)
	}
	return v, nil
}

// room refuses when nothing can be taken.
func (in *Intake) room(s otlp.Signal) *otlp.Refusal {
	if in.Pressure != nil {
		if r := in.Pressure(s); r != nil {
			return r
		}
	}
	return in.admission.full()
}

// limit is the largest request that is taken, as sent and decompressed.
func (v *visit) limit() int { return v.pass.MaxRequestBytes(int(v.in.limits.MaxRequestBytes)) }

// refused counts a refusal, and takes nothing from the tenant for one that is no
// fault of its own. What its client gave up was read, and may be stored: it is paid
// for.
func (v *visit) refused(items int, r *otlp.Refusal) *otlp.Refusal {
	v.pass.Refused(r.Reason)
	if r.Reason.Retryable() {
		v.gaveUp(r.Reason)
	} else {
		v.wasted()
	}
	switch r.Reason {
	case otlp.ReasonRateLimited, otlp.ReasonCanceled, otlp.ReasonDeadlineExceeded:
	default:
		if r.Reason.Retryable() {
			v.pass.Refund()
		}
	}
	return v.in.refused(v.signal, v.transport, items, r)
}

// leave gives back what the request held. Its answer goes out after it.
func (v *visit) leave() {
	v.worked()
	v.held.release()
	v.pass.End()
	v.tarry()
}
