package sample

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Tags of the fields that the hot path writes itself.
const (
	tagRepeated = 1<<3 | 2 // field 1, bytes: the resources of a request
	tagInner    = 2<<3 | 2 // field 2, bytes: scopes of a resource, items of a scope
)

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, v)
}

func appendString(b []byte, field protowire.Number, v string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, v)
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func appendFixed64(b []byte, field protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, field, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, v)
}

func appendDouble(b []byte, field protowire.Number, v float64) []byte {
	return appendFixed64(b, field, math.Float64bits(v))
}

// appendAttr adds a KeyValue as the field. v is a string, int, bool, float64 or
// []byte; another type is a mistake in this package's own tables.
func appendAttr(b []byte, field protowire.Number, key string, v any) []byte {
	var value []byte
	switch v := v.(type) {
	case string:
		value = appendString(nil, 1, v)
	case bool:
		value = appendVarint(nil, 2, protowire.EncodeBool(v))
	case int:
		value = appendVarint(nil, 3, uint64(v))
	case float64:
		value = appendDouble(nil, 4, v)
	case []byte:
		value = appendBytes(nil, 7, v)
	default:
		panic("sample: attribute " + key + " has a type that AnyValue does not hold")
	}
	kv := appendString(nil, 1, key)
	kv = appendBytes(kv, 2, value)
	return appendBytes(b, field, kv)
}

// attr is one entry of the tables that templates are made from.
type attr struct {
	key   string
	value any
}

func appendAttrs(b []byte, field protowire.Number, attrs []attr) []byte {
	for _, a := range attrs {
		b = appendAttr(b, field, a.key, a.value)
	}
	return b
}

// sizeVarint is the encoded length of a length below 1<<28.
func sizeVarint(n int) int { return protowire.SizeVarint(uint64(n)) }

func put64(b []byte, off int32, v uint64) { binary.LittleEndian.PutUint64(b[off:], v) }

// putID writes an id in the order of its hexadecimal form.
func putID(b []byte, off int32, v uint64) { binary.BigEndian.PutUint64(b[off:], v) }

const hexDigits = "0123456789abcdef"

var hexPairs = func() (t [256][2]byte) {
	for i := range t {
		t[i] = [2]byte{hexDigits[i>>4], hexDigits[i&15]}
	}
	return t
}()

// putHex writes eight hexadecimal digits.
func putHex(b []byte, off int32, v uint32) {
	d := b[off : off+8]
	copy(d[0:2], hexPairs[v>>24][:])
	copy(d[2:4], hexPairs[v>>16&255][:])
	copy(d[4:6], hexPairs[v>>8&255][:])
	copy(d[6:8], hexPairs[v&255][:])
}

// rng is SplitMix64: eight bytes of state, one output a step.
type rng uint64

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	return scramble(uint64(*r))
}

// below is an evenly spread number in [0, n), n small against 1<<32.
func (r *rng) below(n int) int { return int(r.next() >> 32 * uint64(n) >> 32) }

func pick[T any](r *rng, of []T) T { return of[r.below(len(of))] }
