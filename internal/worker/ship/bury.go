package ship

import (
	"fmt"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// bury makes a record of each run of dead items, once everything is decided.
func (s *shipment) bury() error {
	var runs []fate
	for _, f := range s.p.fates {
		if !f.taken {
			runs = append(runs, f)
		}
	}
	switch {
	case len(runs) == 0:
		return nil
	case runs[0].Range == s.all:
		s.deadWhole(runs[0].Reason)
		return nil
	}
	bodies := make([][]byte, len(runs))
	if err := s.collect(s.raw, s.all, runs, bodies); err != nil {
		return err
	}
	for i, f := range runs {
		r, err := s.record(bodies[i])
		if err != nil {
			return fmt.Errorf("dead items %d to %d of %s: %w", f.From, f.To, s.r.ID, err)
		}
		s.out.Dead = append(s.out.Dead, Dead{Range: f.Range, Record: r, Reason: f.Reason})
	}
	return nil
}

// collect appends what b, which holds the items at, has of each run to its body.
// Requests are joined by joining their bytes.
func (s *shipment) collect(b []byte, at Range, runs []fate, bodies [][]byte) error {
	mixed := false
	for i, f := range runs {
		switch n := (fates{f}).decided(at); n {
		case 0:
			continue
		case at.Items():
			bodies[i] = append(bodies[i], b...)
			return nil
		}
		mixed = true
	}
	if !mixed {
		return nil
	}
	left, right, _, err := otlp.Halve(s.r.Signal, b)
	if err != nil {
		return fmt.Errorf("cut items %d to %d of %s: %w", at.From, at.To, s.r.ID, err)
	}
	l, r := at.halves()
	if err := s.collect(left.Bytes, l, runs, bodies); err != nil {
		return err
	}
	return s.collect(right.Bytes, r, runs, bodies)
}

// record of a part, in the codec of the record where that is worth it.
func (s *shipment) record(raw []byte) (*record.Record, error) {
	info, err := otlp.Check(s.r.Signal, raw, otlp.CheckOptions{RejectUTF8: true})
	if err != nil {
		return nil, fmt.Errorf("BUG: a part is not sound: %w", err)
	}
	policy, err := codec.NewPolicy(s.r.Codec, 0, 0)
	if err != nil {
		return nil, err
	}
	body, name, err := policy.Append(nil, raw)
	if err != nil {
		return nil, err
	}
	return &record.Record{ID: s.r.ID, Signal: s.r.Signal, Tenant: s.r.Tenant, Codec: name, Items: info.Items, RawBytes: len(raw),
		MinTime: info.MinTime, MaxTime: info.MaxTime, Body: body}, nil
}
