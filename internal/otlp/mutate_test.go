package otlp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// seeds are requests to start from: every field, realistic ones, and the cases
// that were thought of.
func seeds(t testing.TB) (all []seed) {
	for _, sig := range Signals {
		for n := range uint64(8) {
			all = append(all, seed{sig, fullRequest(t, sig, n, 3+int(n%4))})
		}
		all = append(all, seed{sig, realistic(t, sig, 2)})
	}
	for _, c := range wireCases {
		if len(c.b) < 1000 { // the deep ones cost too much to repeat
			all = append(all, seed{c.sig, []byte(c.b)})
		}
	}
	return all
}

type seed struct {
	sig Signal
	b   []byte
}

// mutator changes requests, from a seed.
type mutator struct{ r *rand.Rand }

// structure changes one field somewhere in the tree and keeps the lengths
// around it right, so that the change is not found at the first length.
func (m mutator) structure(s *message, b []byte) []byte {
	var list []rawField
	for f := range fields(b) {
		list = append(list, f)
	}
	if len(list) == 0 {
		return m.field(s)
	}
	i := m.r.IntN(len(list))
	f := list[i]
	if sub := s.sub(f.tag); sub != nil && m.r.IntN(8) != 0 {
		return replace(list, i, lenField(protowire.Number(f.tag>>3), string(m.structure(sub, f.value))))
	}
	switch m.r.IntN(7) {
	case 0:
		return replace(list, i, "")
	case 1:
		return replace(list, i, string(f.raw)+string(f.raw))
	case 2:
		return replace(list, i, string(f.raw)+string(m.field(s)))
	case 3:
		return replace(list, i, string(m.field(s))+string(f.raw))
	case 4: // other wire type
		return replace(list, i, string(appendVarint(nil, f.tag&^7|uint64(m.r.IntN(8))))+string(f.value))
	case 5: // other number
		return replace(list, i, string(appendVarint(nil, f.tag&7|uint64(m.r.IntN(18))<<3))+string(f.raw[sizeVarint(f.tag):]))
	}
	return replace(list, i, string(m.bytes(f.raw)))
}

func replace(list []rawField, i int, with string) (out []byte) {
	for j, f := range list {
		if j == i {
			out = append(out, with...)
		} else {
			out = append(out, f.raw...)
		}
	}
	return out
}

// field makes one up, of a number that the message knows or of another one.
func (m mutator) field(s *message) []byte {
	num := uint64(m.r.IntN(18))
	if m.r.IntN(10) == 0 {
		num = m.r.Uint64() >> m.r.IntN(64)
	}
	typ := uint64(m.r.IntN(6))
	if num <= maxNumber && s != nil && m.r.IntN(2) == 0 && s.ops[num<<3|2] != opBytes {
		typ = 2
	}
	out := m.varint(num<<3 | typ)
	switch typ {
	case 0:
		return append(out, m.varint(m.r.Uint64()>>m.r.IntN(64))...)
	case 1:
		return append(out, m.random(8)...)
	case 2:
		body := m.random(m.r.IntN(12))
		switch m.r.IntN(3) {
		case 0:
			body = m.field(nil)
		case 1:
			body = []byte(texts[m.r.IntN(len(texts))])
		}
		return append(append(out, m.varint(uint64(len(body)))...), body...)
	case 3:
		for range m.r.IntN(3) {
			out = append(out, m.field(nil)...)
		}
		return append(out, m.varint(num<<3|4)...)
	case 5:
		return append(out, m.random(4)...)
	}
	return out
}

// varint is sometimes longer than it need be, and sometimes too long.
func (m mutator) varint(v uint64) []byte {
	out := appendVarint(nil, v)
	if m.r.IntN(12) == 0 {
		for range m.r.IntN(11) {
			out[len(out)-1] |= 0x80
			out = append(out, 0)
		}
	}
	return out
}

func (m mutator) random(n int) []byte { return randomBytes(m.r, n) }

var interesting = []byte{0, 1, 2, 7, 8, 0x0a, 0x0b, 0x0c, 0x12, 0x13, 0x14, 0x1a, 0x7f, 0x80, 0x81, 0xc3, 0xe4, 0xed, 0xf4, 0xff}

// bytes changes bytes without regard to what they mean.
func (m mutator) bytes(b []byte) []byte {
	out := bytes.Clone(b)
	for range 1 + m.r.IntN(3) {
		if len(out) == 0 {
			return m.random(1 + m.r.IntN(8))
		}
		i := m.r.IntN(len(out))
		j := i + m.r.IntN(min(len(out)-i, 16)+1)
		switch m.r.IntN(6) {
		case 0:
			out[i] ^= 1 << m.r.IntN(8)
		case 1:
			out[i] = interesting[m.r.IntN(len(interesting))]
		case 2:
			out = append(out[:i:i], out[j:]...)
		case 3:
			out = append(append(bytes.Clone(out[:j]), out[i:j]...), out[j:]...)
		case 4:
			out = append(append(bytes.Clone(out[:i]), m.random(1+m.r.IntN(4))...), out[i:]...)
		case 5:
			out = out[:i]
		}
	}
	return out
}

// What Check and Split promise holds for some 200,000 requests that are near to
// sound ones.
func TestMutatedRequests(t *testing.T) {
	const seedA, seedB = 20260102, 1
	m := mutator{rand.New(rand.NewPCG(seedA, seedB))}
	all := seeds(t)
	accepted := 0
	for range mutations {
		s := all[m.r.IntN(len(all))]
		b := s.b
		for range 1 + m.r.IntN(3) {
			if m.r.IntN(4) == 0 {
				b = m.bytes(b)
			} else {
				b = m.structure(schemas[s.sig], b)
			}
		}
		sig := s.sig
		if m.r.IntN(50) == 0 {
			sig = Signal(m.r.IntN(NumSignals))
		}
		differ(t, sig, b)
		if _, err := Check(sig, bytes.Clone(b), CheckOptions{RejectUTF8: true}); err == nil {
			if accepted++; accepted%40 == 0 {
				checkSplit(t, sig, b, m.r.IntN(len(b)+1))
			}
		}
	}
	if share := float64(accepted) / mutations; share < 0.2 || share > 0.9 {
		t.Errorf("%.0f %% of the mutated requests are sound: they test one side alone", share*100)
	}
}

// JSON near to sound JSON is decoded or refused, and what is decoded is sound.
func TestMutatedJSON(t *testing.T) {
	m := mutator{rand.New(rand.NewPCG(5, 6))}
	for _, sig := range Signals {
		seed, err := AppendJSONFromProto(nil, sig, realistic(t, sig, 1))
		if err != nil {
			t.Fatal(err)
		}
		for range mutations / 200 {
			checkJSON(t, sig, m.bytes(seed))
		}
	}
}

// checkJSON states what AppendProtoFromJSON promises for any input.
func checkJSON(t testing.TB, sig Signal, in []byte) {
	t.Helper()
	out, err := AppendProtoFromJSON(nil, sig, in)
	if err != nil {
		var m *Malformed
		if !errors.As(err, &m) || m.Problem == "" || len(out) != 0 {
			t.Fatalf("%s %q: %#v", sig, in, err)
		}
		return
	}
	if _, err := Check(sig, out, CheckOptions{}); err != nil {
		t.Fatalf("%s %q: decoded to %x, %v", sig, in, out, err)
	}
	if _, err := AppendJSONFromProto(nil, sig, out); err != nil {
		t.Fatalf("%s %q: decoded to %x, and not back: %v", sig, in, out, err)
	}
}
