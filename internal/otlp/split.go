package otlp

import (
	"fmt"
	"math/bits"
)

// Joining is the reverse of Split and needs no code: each Export*ServiceRequest
// is one repeated field, so the encodings of two requests one behind the other
// are the encoding of the request that holds the items of both, in order.

// maxSplitBytes and maxSplitFactor bound what Split makes: the larger of the
// fixed amount and so many times the request. An envelope nearly as large as max
// is repeated for every few items, which else turns 64 MiB into terabytes. Who
// budgets memory by the size of requests is off by no more than that.
const (
	maxSplitBytes  = 8 << 20
	maxSplitFactor = 2
)

// Split cuts a request that Check has accepted into requests of at most max
// bytes each, and yields them in order. It cuts between resources, then between
// scopes, then between items; for metrics between metrics, then between the data
// points of a metric. What surrounds a cut (resource, scope, schema URL, the
// metric's own fields, unknown fields) is repeated in each part; items and what
// is not cut keep their bytes. Unknown fields of the request go to the first
// part. A request that fits is yielded as it is.
//
// What cannot be cut is yielded alone even when it is larger than max, for the
// caller to decide: an item, a resource or scope without items, a metric whose
// data occurs more than once. part is valid until yield returns; it is b itself
// when nothing could be cut.
//
// An error of yield ends the split and is returned as it is. A request that
// would grow beyond bounds, to 8 MiB and to twice its size, is a *Refusal for
// too_large; bytes that Check does not accept without repair are a *Malformed. In
// both cases nothing was yielded.
func Split(sig Signal, b []byte, max int, yield func(part []byte, info Info) error) error {
	info, err := Check(sig, b, CheckOptions{RejectUTF8: true})
	if err != nil {
		return err
	}
	if len(b) <= max {
		return yield(b, info)
	}
	s := splitter{sig: sig, max: max, limit: maxSplitFactor * len(b)}
	if s.limit < maxSplitBytes {
		s.limit = maxSplitBytes
	}
	if err := s.split(b); err != nil { // counts only
		return err
	}
	if s.largest == len(b) && s.total == len(b) { // one part: all of it, in its order
		return yield(b, info)
	}
	s.part = make([]byte, 0, s.largest)
	s.yield = yield
	return s.split(b)
}

// cuts are, level by level from the request down, the numbers of the fields
// between which Split may cut, as bits.
var cuts = [NumSignals][]uint32{
	Traces:  {1 << 1, 1 << 2, 1 << 2},
	Metrics: {1 << 1, 1 << 2, 1 << 2, 1<<5 | 1<<7 | 1<<9 | 1<<10 | 1<<11, 1 << 1},
	Logs:    {1 << 1, 1 << 2, 1 << 2},
}

// dataLevel is the level of a metric, whose one child is its data.
const dataLevel = 3

// maxLevels is the length of the longest of cuts.
const maxLevels = 5

// level is a message that is being cut.
type level struct {
	tag      uint64 // of the field that holds it
	envelope run    // its fields that are repeated in each part
}

type splitter struct {
	sig    Signal
	max    int
	levels [maxLevels]level
	// Without yield the parts are only measured.
	yield        func(part []byte, info Info) error
	part         []byte
	largest      int
	total, limit int
}

func (s *splitter) split(b []byte) error {
	// Unknown fields of the request first, each a unit of its own.
	var first run
	for f := range fields(b) {
		if !f.in(cuts[s.sig][0]) {
			if err := s.add(0, &first, f); err != nil {
				return err
			}
		}
	}
	return s.cut(0, b, first)
}

// run is a sequence of fields of one message that go into one part.
type run struct {
	pieces [][]byte
	size   int
}

// cut distributes the children of the message body, which is of the level, over
// parts. first is what the first part holds already.
func (s *splitter) cut(level int, body []byte, first run) error {
	r := first
	for f := range fields(body) {
		if f.in(cuts[s.sig][level]) {
			if err := s.add(level, &r, f); err != nil {
				return err
			}
		}
	}
	return s.flush(level, &r)
}

// add puts a field into the run, after flushing the run where it would not fit,
// and goes into the field where it does not fit by itself.
func (s *splitter) add(level int, r *run, f rawField) error {
	if s.size(level, r.size+len(f.raw)) <= s.max {
		r.add(f.raw)
		return nil
	}
	if err := s.flush(level, r); err != nil {
		return err
	}
	if s.size(level, len(f.raw)) <= s.max || !s.canCut(level+1, f) {
		r.add(f.raw)
		return nil
	}
	lv := &s.levels[level+1]
	lv.tag, lv.envelope = f.tag, run{pieces: lv.envelope.pieces[:0]}
	for g := range fields(f.value) {
		if !g.in(cuts[s.sig][level+1]) {
			lv.envelope.add(g.raw)
		}
	}
	return s.cut(level+1, f.value, run{})
}

// canCut tells whether f, whose message is of the level, has children to cut
// between.
func (s *splitter) canCut(level int, f rawField) bool {
	if level >= len(cuts[s.sig]) || !f.in(cuts[s.sig][level-1]) {
		return false
	}
	children := 0
	for g := range fields(f.value) {
		if g.in(cuts[s.sig][level]) {
			children++
		}
	}
	if s.sig == Metrics && level == dataLevel {
		return children == 1
	}
	return children > 0
}

func (r *run) add(b []byte) {
	// Neighbours are joined to one piece.
	if n := len(r.pieces); n > 0 {
		last := r.pieces[n-1]
		if len(last) < cap(last) && &last[:len(last)+1][len(last)] == &b[0] {
			r.pieces[n-1] = last[:len(last)+len(b)]
			r.size += len(b)
			return
		}
	}
	r.pieces = append(r.pieces, b)
	r.size += len(b)
}

func (r *run) appendTo(b []byte) []byte {
	for _, p := range r.pieces {
		b = append(b, p...)
	}
	return b
}

// size is that of a part which holds n bytes of fields on the level.
func (s *splitter) size(level, n int) int {
	for ; level > 0; level-- {
		n += s.levels[level].envelope.size
		n += sizeVarint(s.levels[level].tag) + sizeVarint(uint64(n))
	}
	return n
}

// flush yields the run as a part, unless it is empty.
func (s *splitter) flush(level int, r *run) error {
	if len(r.pieces) == 0 {
		return nil
	}
	defer func() { r.pieces, r.size = r.pieces[:0], 0 }()
	size := s.size(level, r.size)
	if s.yield == nil {
		s.largest = max(s.largest, size)
		if s.total += size; s.total > s.limit {
			return Refuse(ReasonTooLarge, nil, "cut into parts of %d bytes the request would grow to more than %d bytes, for its resource and scope are repeated in each; send it with fewer resource attributes", s.max, s.limit)
		}
		return nil
	}
	s.part = s.part[:0]
	inner := r.size
	var sizes [maxLevels]int
	for l := level; l > 0; l-- {
		sizes[l] = inner + s.levels[l].envelope.size
		inner = sizes[l] + sizeVarint(s.levels[l].tag) + sizeVarint(uint64(sizes[l]))
	}
	for l := 1; l <= level; l++ {
		s.part = appendVarint(s.part, s.levels[l].tag)
		s.part = appendVarint(s.part, uint64(sizes[l]))
		s.part = s.levels[l].envelope.appendTo(s.part)
	}
	s.part = r.appendTo(s.part)
	info, err := Check(s.sig, s.part, CheckOptions{RejectUTF8: true})
	if err != nil {
		return fmt.Errorf("BUG: a part of a sound request is not sound: %w", err)
	}
	return s.yield(s.part, info)
}

func sizeVarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func appendVarint(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}
