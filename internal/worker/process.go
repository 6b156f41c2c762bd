package worker

import (
	"errors"
	"fmt"

	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship"
)

// process exports one delivery and settles it, in every case. It ends the claim.
func (l *lane) process(h *held) {
	defer h.rest()
	defer h.release()
	defer h.send.noAnswer()
	if h.past.done {
		l.acknowledge(h)
		return
	}
	r, ok := l.read(h)
	if !ok {
		return
	}
	raw := r.RawBytes
	// It will be cut, or is to be held against conditions: as it is, and what is left.
	if h.past.progress.Began() || raw > l.to.limit.bytes() || !l.routeOf(h).whole() {
		raw = min(raw, int(l.to.MaxInFlightBytes)) * cutFactor
	}
	if err := h.claim.takeBytes(l.w.work, raw, len(r.Body)); err != nil {
		l.giveUp(h)
		return
	}
	if r, ok = l.narrow(h, r); ok {
		l.deliver(h, r)
	}
}

// read decodes a message, and settles it when that cannot be done.
func (l *lane) read(h *held) (r *record.Record, ok bool) {
	r, err := record.Decode(h.Message())
	if err == nil && r.Signal != l.signal {
		err = fmt.Errorf("%w: %s is %s in a stream of %s", record.ErrDamaged, record.HeaderSignal, r.Signal, l.signal)
	}
	h.tenant, h.items, h.rawBytes = r.Tenant, r.Items, r.RawBytes
	switch {
	case err == nil:
		return r, true
	case errors.Is(err, record.ErrNewer): // a newer worker can read it
		e := &exporter.Error{Kind: exporter.Retryable, Code: "newer_version", Err: err}
		l.count(e)
		l.retry(h, e, 1)
	default:
		l.buryDamaged(h, r, err)
	}
	return r, false
}

// deliver exports a record, in parts if need be, and settles its message.
func (l *lane) deliver(h *held, r *record.Record) {
	out, err := l.ship(h, r)
	l.settle(h, r, out, err)
}

func (l *lane) ship(h *held, r *record.Record) (ship.Outcome, error) {
	h.send.parts, h.send.began = h.past.progress.Began(), false
	out, err := ship.Ship(l.w.work, &h.send, r, l.shipping(h))
	l.took(h, out)
	return out, err
}

// shipping are those of a shipment of h.
func (l *lane) shipping(h *held) ship.Options {
	return ship.Options{MaxRequestBytes: l.to.limit.bytes(), MaxRawBytes: int(l.to.MaxInFlightBytes), Progress: &h.past.progress,
		DeadLetterRefusals: l.to.OnRefusal != Hold, Strict: l.to.OnRefusal == Strict, Cutter: h}
}

// errApart: a message that was merged is to be cut, once the others were tried.
var errApart = errors.New("to be taken apart after the others")

// Cut implements ship.Cutter.
func (h *held) Cut(c ship.Cause) error {
	m := h.l.to.metrics
	if h.whole {
		return errApart
	}
	if c == ship.Rejected {
		if err := h.lead.claim.bisect(); err != nil {
			return err
		}
	}
	if err := h.lead.claim.moreBytes(h.rawBytes, len(h.Message().Body)); err != nil {
		return err
	}
	if !h.past.cut {
		h.past.cut = true
		if c == ship.Rejected {
			m.bisections.Inc()
		} else {
			m.splits.Inc()
		}
	}
	return nil
}

// took counts what a destination took.
func (l *lane) took(h *held, out ship.Outcome) {
	if out.Delivered == 0 && out.Rejected == 0 && out.Requests == 0 {
		return
	}
	h.past.delivered += out.Delivered
	h.past.rejected += int(out.Rejected)
	if h.past.doubt {
		h.past.possible += out.Delivered
		l.to.metrics.possible[l.signal].Add(float64(out.Delivered))
	}
	l.to.metrics.sent[l.signal].Add(float64(out.Delivered))
	l.to.metrics.rejected[l.signal].Add(float64(out.Rejected))
	l.partial(out.Rejected, out.Delivered+int(out.Rejected), out.Message)
}

// partial tells of the words that came with a success. A partial success is
// final (OTLP 1.11, "Partial Success"); its count is the destination's word and
// may be any number.
func (l *lane) partial(rejected int64, of int, message string) {
	switch {
	case rejected > 0 && l.to.said.due("partial success"):
		l.log.Warn("destination took a request and rejected items of it; they are not sent again", "rejected", rejected, "of", of, "message", message)
	case rejected == 0 && message != "" && l.to.said.due("warning"):
		l.log.Warn("destination took a request with a warning", "message", message)
	}
}
