package otlp

import (
	"encoding/binary"
	"fmt"
)

// Info is what a request holds.
type Info struct {
	// Items counts spans, data points or log records, as an official decoder
	// would hold them.
	Items int
	// MinTime and MaxTime bound the event times in Unix nanoseconds: for spans
	// the least start and the greatest end, for points their time, for log
	// records their time or else their observed time. Zero times are left out;
	// 0 when there is none.
	MinTime, MaxTime uint64
	// Repaired counts the strings that were not UTF-8.
	Repaired int
}

// CheckOptions change what Check does.
type CheckOptions struct {
	// RejectUTF8 makes a string that is not UTF-8 an error; else it is repaired.
	RejectUTF8 bool
}

// Check walks an encoded Export*ServiceRequest to its full depth, once, without
// allocating. What it accepts, proto.Unmarshal of the official types accepts, and
// the reverse, but for one thing: a string that is not UTF-8 is repaired in b,
// each bad byte becoming '?', instead of being refused. So b must be the
// caller's own, and may be changed even when Check fails. The error is a
// *Malformed.
func Check(sig Signal, b []byte, o CheckOptions) (Info, error) {
	w := walk{b: b, sig: sig, rejectUTF8: o.RejectUTF8}
	if !w.message(schemas[sig], 0, len(b), 1) {
		w.bad.Path = pathTo(schemas[sig], b, w.bad.Offset)
		return Info{}, w.bad
	}
	return w.info, nil
}

// Limits of protobuf-go (encoding/protowire, internal/impl/decode.go).
const (
	// maxDepth is protowire.DefaultRecursionLimit: messages within messages,
	// the request counted.
	maxDepth = 10000
	// maxGroupDepth: groups within a group that is an unknown field, itself
	// counted. It starts anew at each such field, whatever the message depth.
	maxGroupDepth = maxDepth + 1
	// maxFieldNumber of a field of a message.
	maxFieldNumber = 1<<29 - 1
	// maxGroupNumber of a field within an unknown group, which protowire does
	// not hold to maxFieldNumber.
	maxGroupNumber = 1<<31 - 1
)

// walk is one Check. Items do not nest, nor do metrics, so what belongs to the
// one being walked is kept here.
type walk struct {
	b            []byte
	sig          Signal
	rejectUTF8   bool
	info         Info
	timeA, timeB uint64 // of the item
	// member is the number of the oneof of the metric, before what was counted
	// when the metric began: another member replaces the first and all its
	// points.
	member uint
	before Info
	bad    *Malformed
}

// frame is a message that the walk will come back to.
type frame struct {
	end int
	m   *message
}

// stackFrames is the nesting that one call of walk.message takes; below that it
// calls itself.
const stackFrames = 16

// message walks b[pos:end] as m. depth counts messages, this one included.
func (w *walk) message(m *message, pos, end, depth int) bool {
	var stack [stackFrames]frame
	sp := 0
	b := w.b
	for {
		for pos == end {
			if m.item {
				w.leaveItem()
			}
			if sp == 0 {
				return true
			}
			sp--
			m, end = stack[sp].m, stack[sp].end
		}
		at := pos
		tag := uint(b[pos])
		var o op
		if tag < 0x80 {
			pos++
			o = m.ops[tag]
		} else {
			v, next := varint(b, pos, end)
			if next < 0 {
				return w.badVarint(at, next, "tag")
			}
			if n := v >> 3; n == 0 || n > maxFieldNumber {
				return w.fail(at, "field number %d is outside 1 to %d", n, maxFieldNumber)
			}
			pos, tag = next, uint(v)
			if tag < 0x80 {
				o = m.ops[tag]
			} else {
				o = byWireType[tag&7]
			}
		}
		switch o {
		case opVarint:
			_, next := varint(b, pos, end)
			if next < 0 {
				return w.badVarint(at, next, "value")
			}
			pos = next
			continue
		case opFixed64, opTimeA, opTimeB:
			if end-pos < 8 {
				return w.fail(at, "8 bytes are wanted and %d are left", end-pos)
			}
			if o == opTimeA {
				w.timeA = binary.LittleEndian.Uint64(b[pos:])
			} else if o == opTimeB {
				w.timeB = binary.LittleEndian.Uint64(b[pos:])
			}
			pos += 8
			continue
		case opFixed32:
			if end-pos < 4 {
				return w.fail(at, "4 bytes are wanted and %d are left", end-pos)
			}
			pos += 4
			continue
		case opGroup:
			next, problem := skipGroup(b, pos, end, uint64(tag>>3), 1)
			if problem != "" {
				return w.fail(at, "%s", problem)
			}
			pos = next
			continue
		case opEndGroup:
			return w.fail(at, "end of group %d, which is not open", tag>>3)
		case opReserved:
			return w.fail(at, "wire type %d of field %d is reserved", tag&7, tag>>3)
		case opNumber:
			return w.fail(at, "field number 0 is outside 1 to %d", maxFieldNumber)
		}

		// What is left has a length.
		var n int
		if pos < end && b[pos] < 0x80 {
			n = int(b[pos])
			pos++
		} else {
			v, next := varint(b, pos, end)
			if next < 0 {
				return w.badVarint(at, next, "length")
			}
			pos = next
			if v > uint64(end-pos) {
				return w.fail(at, "length %d exceeds the %d bytes left", v, end-pos)
			}
			n = int(v)
		}
		if n > end-pos {
			return w.fail(at, "length %d exceeds the %d bytes left", n, end-pos)
		}
		switch o {
		case opString:
			if !isASCII(b, pos, n) && !w.utf8(at, b[pos:pos+n]) {
				return false
			}
			pos += n
			continue
		case opBytes:
			pos += n
			continue
		case opPackedVarint:
			for stop := pos + n; pos < stop; {
				if _, pos = varint(b, pos, stop); pos < 0 {
					return w.badVarint(at, pos, "packed value")
				}
			}
			continue
		case opPacked64:
			if n%8 != 0 {
				return w.fail(at, "%d bytes of packed 8-byte values", n)
			}
			pos += n
			continue
		case opAttribute:
			if depth+sp+2 <= maxDepth && plainAttribute(b, pos, n) {
				pos += n
				continue
			}
		case opItem:
			w.info.Items++
			w.timeA, w.timeB = 0, 0
		case opMetric:
			w.member, w.before = 0, w.info
		case opData:
			w.enterData(tag >> 3)
		}

		// What is left is a message.
		if depth+sp >= maxDepth {
			return w.fail(at, "messages are nested deeper than %d", maxDepth)
		}
		sub := m.subs[tag>>3&maxNumber]
		if sp == len(stack) {
			if !w.message(sub, pos, pos+n, depth+sp+1) {
				return false
			}
			pos += n
			continue
		}
		stack[sp] = frame{end, m}
		sp++
		m, end = sub, pos+n
	}
}

// enterData begins a member of a metric's oneof: the same member again is
// merged, another one replaces it and its points.
func (w *walk) enterData(member uint) {
	if w.member != 0 && w.member != member {
		w.before.Repaired = w.info.Repaired
		w.info = w.before
	}
	w.member = member
}

// leaveItem takes the times of the item that ended.
func (w *walk) leaveItem() {
	first, last := w.timeA, w.timeB
	if w.sig != Traces {
		if first == 0 && w.sig == Logs {
			first = w.timeB
		}
		last = first
	}
	if first != 0 && (first < w.info.MinTime || w.info.MinTime == 0) {
		w.info.MinTime = first
	}
	if last > w.info.MaxTime {
		w.info.MaxTime = last
	}
}

func (w *walk) fail(at int, format string, args ...any) bool {
	w.bad = &Malformed{Offset: at, Problem: fmt.Sprintf(format, args...)}
	return false
}

func (w *walk) badVarint(at, code int, what string) bool {
	if code == varintOverflow {
		return w.fail(at, "%s is a varint of more than 64 bits", what)
	}
	return w.fail(at, "%s is cut short", what)
}
