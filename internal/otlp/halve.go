package otlp

import "fmt"

// Part is a request that was cut from another.
type Part struct {
	Bytes []byte
	Info  Info
}

// Halve cuts a request that Check has accepted into two, the first of which has
// the first half of the items (one more when they are odd) and the second the
// rest, in order. Where a resource, a scope or a metric is cut through, what
// surrounds the cut (resource, scope, schema URL, the metric's own fields,
// unknown fields) is repeated in the second; items and what is not cut keep their
// bytes. Unknown fields of the request go left. A resource, scope or metric
// without items goes with the item before it. Together the two are larger than b
// by no more than the one envelope that is repeated, whatever the number of
// items. Data of a metric that decoders forget, because another kind of data
// follows, is left out where that metric is cut.
//
// ok is false when there are fewer than two items; then there are no parts. So
// halving again and again ends at single items. The parts are the caller's, in
// memory of their own; b is neither changed nor kept. Bytes that Check does not
// accept without repair are a *Malformed.
func Halve(sig Signal, b []byte) (left, right Part, ok bool, err error) {
	info, err := Check(sig, b, CheckOptions{RejectUTF8: true})
	if err != nil || info.Items < 2 {
		return Part{}, Part{}, false, err
	}
	middle := (info.Items + 1) / 2
	if left, err = slice(sig, b, 0, middle, info.Items); err != nil {
		return Part{}, Part{}, false, err
	}
	if right, err = slice(sig, b, middle, info.Items, info.Items); err != nil {
		return Part{}, Part{}, false, err
	}
	return left, right, true, nil
}

// slice is the request with the items from lo to before hi of the items of b.
func slice(sig Signal, b []byte, lo, hi, items int) (Part, error) {
	s := selection{sig: sig, lo: lo, hi: hi, first: lo == 0}
	share := float64(hi-lo) / float64(items)
	out, _, _ := s.write(make([]byte, 0, int(share*float64(len(b)))+len(b)/16), 0, b)
	info, err := Check(sig, out, CheckOptions{RejectUTF8: true})
	switch {
	case err != nil:
		return Part{}, fmt.Errorf("BUG: half of a sound request is not sound: %w", err)
	case info.Items != hi-lo:
		return Part{}, fmt.Errorf("BUG: half of a request has %d items, want %d", info.Items, hi-lo)
	}
	return Part{Bytes: out, Info: info}, nil
}
