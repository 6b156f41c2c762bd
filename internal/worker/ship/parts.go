package ship

import (
	"fmt"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Bounds of taking a record apart. A record of 10,000 items with 20 bad ones far
// from each other takes about 400 requests.
const (
	maxRequests  = 1024
	headRequests = 8 // rejected, with nothing taken, before single items are tried
	samples      = 8
)

// inParts cuts the record and goes on with what is not decided.
func (s *shipment) inParts() error {
	first := s.p.whole()
	if err := s.may(s.cause(first)); err != nil {
		return err
	}
	if why := s.decode(); why != nil {
		s.deadWhole(*why)
		return nil
	}
	info, err := otlp.Check(s.r.Signal, s.raw, otlp.CheckOptions{RejectUTF8: true})
	if err != nil || info.Items < 2 {
		return s.uncut(first)
	}
	if n := (Range{0, info.Items}); n != s.all { // the header says otherwise
		if why, known := s.p.refused[s.all]; known {
			delete(s.p.refused, s.all)
			s.p.refused[n] = why
		}
		s.all = n
	}
	if err := s.part(s.raw, s.all); err != nil {
		return err
	}
	if s.p.hopeless != nil {
		for _, r := range s.p.fates.rest(s.all) {
			s.p.fates.add(fate{Range: r, Reason: *s.p.hopeless})
		}
	}
	return s.bury()
}

// cause of a cut, from the answer to what is to be cut.
func (s *shipment) cause(why *Reason) Cause {
	if why != nil && why.Reason == deadletter.ReasonRejected {
		return Rejected
	}
	return TooLarge
}

// uncut ends a record that cannot be cut, having no two items or being no OTLP.
func (s *shipment) uncut(why *Reason) error {
	if why == nil { // it was not sent yet
		fate, stop := s.export(&exporter.Request{Items: s.r.Items, RawBytes: len(s.raw), Codec: codec.None, Body: s.raw})
		if stop != nil || fate == nil {
			return stop
		}
		why = fate
	}
	s.deadWhole(*why)
	return nil
}

// part sends b, which holds the items at, unless it is known what becomes of it,
// and cuts it where it is not taken as it is.
func (s *shipment) part(b []byte, at Range) error {
	decided := s.p.fates.decided(at)
	if decided == at.Items() || s.p.hopeless != nil {
		return nil
	}
	why, known := s.p.refused[at]
	if !known && decided == 0 && (s.fits(len(b)) || at.Items() == 1) {
		refused, err := s.try(b, at)
		if err != nil || refused == nil || at.Items() == 1 {
			return err
		}
		why, known = *refused, true
		s.p.refuse(at, why)
		if err := s.sample(why); err != nil || s.p.hopeless != nil {
			return err
		}
	}
	cause := TooLarge
	if known {
		cause = s.cause(&why)
	}
	if err := s.may(cause); err != nil {
		return err
	}
	left, right, _, err := otlp.Halve(s.r.Signal, b)
	if err != nil {
		s.p.hopeless = &Reason{Reason: deadletter.ReasonRejected, Code: "undecodable", Detail: err.Error()}
		return nil
	}
	l, r := at.halves()
	if err := s.part(left.Bytes, l); err != nil {
		return err
	}
	return s.part(right.Bytes, r)
}

// try sends a part and writes down its fate, that of more than one refused item
// excepted.
func (s *shipment) try(b []byte, at Range) (refused *Reason, err error) {
	if s.p.requests >= maxRequests {
		s.p.hopeless = s.p.lastOr(Reason{Reason: deadletter.ReasonRejected})
		s.p.hopeless.Detail = fmt.Sprintf("%s (not taken apart further after %d requests)", s.p.hopeless.Detail, maxRequests)
		return s.p.hopeless, nil
	}
	why, err := s.export(&exporter.Request{Items: at.Items(), RawBytes: len(b), Codec: codec.None, Body: b})
	switch {
	case err != nil:
	case why == nil:
		s.p.fates.add(fate{Range: at, taken: true})
	default:
		s.p.last = *why
		if at.Items() == 1 {
			s.p.fates.add(fate{Range: at, Reason: *why})
		}
	}
	return why, err
}

// sample tries single items from all over the record, once, when much was
// refused and nothing taken. Without any that is taken the record is hopeless.
func (s *shipment) sample(why Reason) error {
	if s.p.sampled || s.p.requests < headRequests || s.p.taken() {
		return nil
	}
	s.p.sampled = true
	n := uint64(s.all.Items())
	for i := range uint64(samples) {
		// Multiples of the golden ratio are spread evenly, whatever their number.
		at := int(((i + 1) * 0x9e3779b97f4a7c15 >> 32) * n >> 32)
		if s.p.fates.decided(Range{at, at + 1}) > 0 {
			continue
		}
		b, err := s.item(at)
		if err != nil {
			return err
		}
		refused, err := s.try(b, Range{at, at + 1})
		if err != nil || refused == nil || s.p.hopeless != nil {
			return err
		}
	}
	s.p.hopeless = &why
	return nil
}

// item cuts out one item.
func (s *shipment) item(i int) ([]byte, error) {
	b := s.raw
	for at := s.all; at.Items() > 1; {
		left, right, _, err := otlp.Halve(s.r.Signal, b)
		if err != nil {
			return nil, fmt.Errorf("cut items %d to %d of %s: %w", at.From, at.To, s.r.ID, err)
		}
		l, r := at.halves()
		if at, b = l, left.Bytes; i >= r.From {
			at, b = r, right.Bytes
		}
	}
	return b, nil
}
