package otlp

import "iter"

// rawField is one field of a message, in the bytes of the message.
type rawField struct {
	tag   uint64
	raw   []byte // tag and value
	value []byte // what follows the tag; without the length, where there is one
}

// in tells whether f is length-delimited and its number is in the set of bits.
func (f rawField) in(numbers uint32) bool {
	return f.tag&7 == 2 && f.tag>>3 <= maxNumber && numbers&(1<<(f.tag>>3)) != 0
}

// fields lists the fields of a message that Check accepted; it ends where a
// field is not whole.
func fields(b []byte) iter.Seq[rawField] {
	return func(yield func(rawField) bool) {
		for pos := 0; pos < len(b); {
			at := pos
			tag, next := varint(b, pos, len(b))
			if next < 0 {
				return
			}
			stop := fieldEnd(b, next, len(b), tag)
			if stop < 0 {
				return
			}
			f := rawField{tag: tag, raw: b[at:stop], value: b[next:stop]}
			if tag&7 == 2 {
				_, start := varint(b, next, stop)
				f.value = b[start:stop]
			}
			if !yield(f) {
				return
			}
			pos = stop
		}
	}
}
