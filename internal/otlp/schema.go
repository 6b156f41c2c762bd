package otlp

// op says what the walk does with a field of one number and wire type.
type op uint8

const (
	opVarint   op = iota // skip a varint
	opFixed64            // skip 8 bytes
	opBytes              // skip a length and its bytes
	opGroup              // skip an unknown group
	opEndGroup           // error: no group is open
	opFixed32            // skip 4 bytes
	opReserved           // error: wire type 6 or 7
	opNumber             // error: field number 0

	opString       // must be UTF-8
	opMessage      // go in
	opAttribute    // go in: a KeyValue
	opItem         // go in: a span, a data point or a log record
	opMetric       // go in: a metric, whose data is a oneof
	opData         // go in: a member of that oneof
	opTimeA        // fixed64: first time of an item
	opTimeB        // fixed64: second time of an item
	opPackedVarint // repeated varint in its packed form
	opPacked64     // repeated fixed64 in its packed form
)

// byWireType is the op of fields that are unknown, or known and in need of
// nothing but their wire type.
var byWireType = [8]op{opVarint, opFixed64, opBytes, opGroup, opEndGroup, opFixed32, opReserved, opReserved}

// maxNumber bounds the field numbers that the tables hold; their tags are one
// byte. Span.flags (16) is the only known field beyond, and needs no check but
// that of its wire type.
const maxNumber = 15

// message is the schema of one message type.
type message struct {
	ops  [128]op                 // by one-byte tag
	subs [maxNumber + 1]*message // by field number, where the op goes in
	item bool                    // a span, a data point or a log record
	// For paths in errors only.
	name   string
	fields map[uint32]fieldName
}

type fieldName struct {
	name     string
	repeated bool
}

// field describes a field to message.define.
type field struct {
	num      uint32
	name     string
	wire     uint32
	op       op
	sub      *message
	repeated bool
}

func (f field) rep() field { f.repeated = true; return f }

func scalar(num uint32, name string) field { return field{num: num, name: name, op: opNumber} }
func str(num uint32, name string) field {
	return field{num: num, name: name, wire: 2, op: opString}
}
func msg(num uint32, name string, sub *message) field {
	return field{num: num, name: name, wire: 2, op: opMessage, sub: sub}
}
func attributes(num uint32, name string, kv *message) field {
	return field{num: num, name: name, wire: 2, op: opAttribute, sub: kv, repeated: true}
}
func item(num uint32, name string, sub *message) field {
	sub.item = true
	return field{num: num, name: name, wire: 2, op: opItem, sub: sub, repeated: true}
}
func timeA(num uint32, name string) field { return field{num: num, name: name, wire: 1, op: opTimeA} }
func timeB(num uint32, name string) field { return field{num: num, name: name, wire: 1, op: opTimeB} }
func packed(num uint32, name string, op op) field {
	return field{num: num, name: name, wire: 2, op: op, repeated: true}
}

// define fills in m. A scalar field only has a name.
func (m *message) define(name string, fields ...field) {
	m.name = name
	m.fields = make(map[uint32]fieldName, len(fields))
	for tag := range m.ops {
		m.ops[tag] = byWireType[tag&7]
		if tag>>3 == 0 {
			m.ops[tag] = opNumber
		}
	}
	for _, f := range fields {
		m.fields[f.num] = fieldName{f.name, f.repeated}
		if f.op == opNumber {
			continue
		}
		m.ops[f.num<<3|f.wire] = f.op
		m.subs[f.num] = f.sub
	}
}
