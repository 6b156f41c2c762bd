package worker

import (
	"errors"
	"fmt"
	"slices"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/worker/ship"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// leastRaw is the payload that is always read for the conditions, whatever
// max_in_flight_bytes says: the largest that a gateway takes.
const leastRaw = 64 << 20

// most is how large the payload of a record may be for the conditions to be looked
// at.
func (l *lane) most(r *record.Record) int {
	return min(r.RawBytes, max(int(l.to.MaxInFlightBytes), leastRaw))
}

// buffer is of to.joins, where it goes back to.
func (to *destination) buffer() *[]byte {
	if buf, ok := to.joins.Get().(*[]byte); ok {
		return buf
	}
	return new([]byte)
}

// routeOf is the route by whose conditions a delivery goes. What is known of a
// message that is in parts counts the items that the conditions of that time left:
// it goes on by them, though others count by now.
func (l *lane) routeOf(h *held) *route {
	if h.past.route == nil || !h.past.progress.Began() && h.past.buried == 0 {
		h.past.route = l.w.routes.Load().of[l.to.at]
	}
	return h.past.route
}

// narrow leaves of a record what the destination wants. ok is false when nothing is
// left, or when that cannot be told: the delivery is settled then. What is wanted
// whole is the record itself, to be shipped as it is stored. The bytes of the claim
// are taken.
func (l *lane) narrow(h *held, r *record.Record) (_ *record.Record, ok bool) {
	to := l.routeOf(h)
	if to.whole() {
		return r, true
	}
	raw, scratch := l.to.buffer(), l.to.buffer()
	defer l.to.joins.Put(raw)
	defer l.to.joins.Put(scratch)
	var err error
	if *raw, err = codec.Decode((*raw)[:0], r.Codec, r.Body, l.most(r)); err != nil {
		l.unreadable(h, r, err)
		return nil, false
	}
	out, info, err := to.where.Apply(l.signal, (*scratch)[:0], *raw)
	if err != nil {
		l.unreadable(h, r, err)
		return nil, false
	}
	if len(out) == len(*raw) { // what leaves something out is shorter
		return r, true
	}
	*scratch = out[:0]
	h.unwanted = max(0, r.Items-info.Items)
	h.unrouted = l.unroutedOf(h, to, *raw)
	if info.Items == 0 {
		l.passed(h)
		return nil, false
	}
	cut := *r
	cut.Codec, cut.Body = codec.None, slices.Clone(out)
	cut.Items, cut.RawBytes, cut.MinTime, cut.MaxTime = info.Items, len(out), info.MinTime, info.MaxTime
	h.items, h.rawBytes, h.part = cut.Items, cut.RawBytes, to.mark
	return &cut, true
}

// unroutedOf is how many of the items that the conditions leave out nobody wants.
func (l *lane) unroutedOf(h *held, own *route, raw []byte) int {
	if h.unwanted == 0 || !l.w.counts(l.to, l.signal) {
		return 0
	}
	var room [8]*route
	others, all := l.w.elsewhere(room[:0], l.w.routes.Load(), l.to, l.signal, h.tenant)
	switch {
	case all || l.strangers.there(l):
		return 0
	case len(others) == 0:
		return h.unwanted
	}
	return min(unrouted(l.signal, raw, own, others), h.unwanted)
}

// unreadable buries a record that the conditions cannot be held against: whether
// the destination wants it nobody can tell.
func (l *lane) unreadable(h *held, r *record.Record, err error) {
	why := ship.Reason{Reason: deadletter.ReasonRejected, Code: "undecodable", Detail: fmt.Sprintf("the conditions of the destination cannot be held against it: %v", err)}
	if errors.Is(err, codec.ErrTooLarge) {
		why.Reason, why.Code = deadletter.ReasonTooLarge, "too_large"
	}
	l.bury(h, r, []ship.Dead{{Range: ship.Range{From: 0, To: r.Items}, Whole: true, Record: r, Reason: why}})
}
