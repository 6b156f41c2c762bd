package otlp

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// The tables are compared with the descriptors of the official types, so that a
// new version of the protocol cannot pass by unseen.
func TestSchemaIsTheOfficialOne(t *testing.T) {
	done := map[*message]bool{}
	for _, sig := range Signals {
		compareSchema(t, schemas[sig], official(sig).ProtoReflect().Descriptor(), done)
	}
	if len(done) < 34 { // what the metrics alone reach
		t.Errorf("only %d message types compared", len(done))
	}
}

func compareSchema(t *testing.T, m *message, d protoreflect.MessageDescriptor, done map[*message]bool) {
	if done[m] {
		return
	}
	done[m] = true
	fields := d.Fields()
	if fields.Len() != len(m.fields) {
		t.Errorf("%s: %d fields, official %d", m.name, len(m.fields), fields.Len())
	}
	special := map[uint32]bool{}
	for i := range fields.Len() {
		f := fields.Get(i)
		num := uint32(f.Number())
		if got, want := m.fields[num], (fieldName{string(f.Name()), f.IsList()}); got != want {
			t.Errorf("%s field %d: %v, official %v", m.name, num, got, want)
		}
		want := map[op]bool{}
		wire := uint32(2)
		switch k := f.Kind(); {
		case k == protoreflect.StringKind:
			want[opString] = true
		case k == protoreflect.MessageKind:
			want = map[op]bool{opMessage: true, opAttribute: true, opItem: true, opMetric: true, opData: true}
		case f.IsList() && (k == protoreflect.DoubleKind || k == protoreflect.Fixed64Kind):
			want[opPacked64] = true
		case f.IsList() && k == protoreflect.Uint64Kind:
			want[opPackedVarint] = true
		case f.IsList():
			t.Errorf("%s.%s: a list of kind %v has no op", m.name, f.Name(), k)
		case k == protoreflect.Fixed64Kind:
			want = map[op]bool{opFixed64: true, opTimeA: true, opTimeB: true}
			wire = 1
		default:
			continue
		}
		if num > maxNumber {
			t.Fatalf("%s.%s: number %d is beyond the tables and needs a check", m.name, f.Name(), num)
		}
		special[num<<3|wire] = true
		if got := m.ops[num<<3|wire]; !want[got] {
			t.Errorf("%s.%s: op %d, want one of %v", m.name, f.Name(), got, want)
		}
		if f.Kind() == protoreflect.MessageKind {
			if m.subs[num] == nil {
				t.Errorf("%s.%s: no sub-message", m.name, f.Name())
				continue
			}
			compareSchema(t, m.subs[num], f.Message(), done)
		}
	}
	for tag, got := range m.ops {
		if want := byWireType[tag&7]; !special[uint32(tag)] && tag>>3 != 0 && got != want {
			t.Errorf("%s tag %#x: op %d, want %d", m.name, tag, got, want)
		}
	}
}
