package otlp

import (
	"encoding/base64"
	"encoding/binary"
	"iter"
	"math"
	"strconv"
)

// Attributes are those of a resource, a scope or an item, read where they lie in
// the request: looking one up walks over them and allocates nothing. The zero
// Attributes are none. They are of use as long as the request is unchanged.
type Attributes struct {
	body   []byte
	holder uint32 // bit of the field whose messages hold the attributes; 0: body does
	list   uint32 // bit of the attributes' own field
}

// Value is the value of an attribute, in the bytes of the request.
type Value struct {
	kind ValueKind
	b    []byte
	bits uint64
}

// ValueKind is the type of a Value.
type ValueKind uint8

// The types of values, by their numbers in the oneof of AnyValue.
const (
	EmptyValue  ValueKind = 0
	StringValue ValueKind = 1
	BoolValue   ValueKind = 2
	IntValue    ValueKind = 3
	DoubleValue ValueKind = 4
	ListValue   ValueKind = 5
	MapValue    ValueKind = 6
	BytesValue  ValueKind = 7
)

// Lookup finds the attribute of that key, the first one where there are several.
func (a Attributes) Lookup(key string) (Value, bool) {
	for k, v := range a.All() {
		if string(k) == key {
			return v, true
		}
	}
	return Value{}, false
}

// Text is Lookup for whoever wants the text of a value, "" when it has none.
func (a Attributes) Text(key string) string {
	v, _ := a.Lookup(key)
	return v.String()
}

// All lists the attributes in their order. The key is in the bytes of the
// request.
func (a Attributes) All() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		if a.holder == 0 {
			a.of(a.body, yield)
			return
		}
		for f := range fields(a.body) {
			if f.in(a.holder) && !a.of(f.value, yield) {
				return
			}
		}
	}
}

func (a Attributes) of(body []byte, yield func([]byte, Value) bool) bool {
	for f := range fields(body) {
		if f.in(a.list) && !yield(keyValue(f.value)) {
			return false
		}
	}
	return true
}

// keyValue reads a KeyValue as decoders merge it: the last key, and of all its
// values the member that comes last.
func keyValue(b []byte) (key []byte, v Value) {
	for f := range fields(b) {
		switch {
		case f.in(1 << 1):
			key = f.value
		case f.in(1 << 2):
			v = v.merge(f.value)
		}
	}
	return key, v
}

// AnyValue's oneof members, as tags, that are no list and no map.
const (
	tagString = 1<<3 | 2
	tagBool   = 2 << 3
	tagInt    = 3 << 3
	tagDouble = 4<<3 | 1
	tagList   = 5<<3 | 2
	tagMap    = 6<<3 | 2
	tagBytes  = 7<<3 | 2
	tagIndex  = 8 << 3 // into the string table of profiles
)

func (v Value) merge(any []byte) Value {
	for f := range fields(any) {
		switch f.tag {
		case tagString, tagBytes, tagList, tagMap:
			v = Value{kind: ValueKind(f.tag >> 3), b: f.value}
		case tagBool, tagInt:
			n, _ := varint(f.value, 0, len(f.value))
			v = Value{kind: ValueKind(f.tag >> 3), bits: n}
		case tagDouble:
			v = Value{kind: DoubleValue, bits: binary.LittleEndian.Uint64(f.value)}
		case tagIndex:
			v = Value{}
		}
	}
	return v
}

// Kind is the type of v.
func (v Value) Kind() ValueKind { return v.kind }

// AppendText appends v as text: strings as they are, numbers in decimal, "true"
// or "false", bytes in base64. Lists and maps have no text, nor has the empty
// value.
func (v Value) AppendText(dst []byte) []byte {
	switch v.kind {
	case StringValue:
		return append(dst, v.b...)
	case BoolValue:
		return strconv.AppendBool(dst, v.bits != 0)
	case IntValue:
		return strconv.AppendInt(dst, int64(v.bits), 10)
	case DoubleValue:
		return appendDouble(dst, math.Float64frombits(v.bits))
	case BytesValue:
		return base64.StdEncoding.AppendEncode(dst, v.b)
	}
	return dst
}

// appendDouble writes numbers as JSON does.
func appendDouble(dst []byte, d float64) []byte {
	format := byte('f')
	if a := math.Abs(d); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, d, format, -1, 64)
}

// String is the text of AppendText.
func (v Value) String() string { return string(v.AppendText(nil)) }

// text is that of AppendText, in the bytes of the request where it is a string,
// else in scratch.
func (v Value) text(scratch []byte) []byte {
	if v.kind == StringValue {
		return v.b
	}
	return v.AppendText(scratch)
}
