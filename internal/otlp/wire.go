package otlp

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// What varint answers in place of a position.
const (
	varintCut      = -1
	varintOverflow = -2
)

// varint reads one at b[pos:end] and answers the position behind it, or a
// negative code.
func varint(b []byte, pos, end int) (v uint64, next int) {
	for shift := uint(0); pos < end; shift += 7 {
		c := b[pos]
		pos++
		if c < 0x80 {
			if shift == 63 && c > 1 {
				return 0, varintOverflow
			}
			return v | uint64(c)<<shift, pos
		}
		if shift == 63 {
			return 0, varintOverflow
		}
		v |= uint64(c&0x7f) << shift
	}
	return 0, varintCut
}

// skipGroup skips what follows the start tag of group num and answers the
// position behind its end tag, or the problem.
func skipGroup(b []byte, pos, end int, num uint64, depth int) (next int, problem string) {
	if depth > maxGroupDepth {
		return 0, fmt.Sprintf("groups are nested deeper than %d", maxGroupDepth)
	}
	for {
		tag, next := varint(b, pos, end)
		if next < 0 {
			return 0, fmt.Sprintf("group %d has no end", num)
		}
		pos = next
		n := tag >> 3
		if n == 0 || n > maxGroupNumber {
			return 0, fmt.Sprintf("field number %d within group %d is outside 1 to %d", n, num, maxGroupNumber)
		}
		switch byWireType[tag&7] {
		case opEndGroup:
			if n != num {
				return 0, fmt.Sprintf("group %d is ended as group %d", num, n)
			}
			return pos, ""
		case opGroup:
			if pos, problem = skipGroup(b, pos, end, n, depth+1); problem != "" {
				return 0, problem
			}
		default:
			if pos = skipValue(b, pos, end, tag); pos < 0 {
				return 0, fmt.Sprintf("field %d of wire type %d within group %d is cut short", n, tag&7, num)
			}
		}
	}
}

// skipValue skips a value that is no group; negative when it is not whole.
func skipValue(b []byte, pos, end int, tag uint64) int {
	switch byWireType[tag&7] {
	case opVarint:
		_, pos = varint(b, pos, end)
		return pos
	case opFixed64:
		pos += 8
	case opFixed32:
		pos += 4
	case opBytes:
		n, next := varint(b, pos, end)
		if next < 0 || n > uint64(end-next) {
			return varintCut
		}
		return next + int(n)
	default:
		return varintCut
	}
	if pos > end {
		return varintCut
	}
	return pos
}

const highBits = 0x8080808080808080

// isASCII tells whether b[pos:pos+n] is ASCII. Bytes beyond it may be read, and
// do not matter.
func isASCII(b []byte, pos, n int) bool {
	if n < 8 {
		if pos+8 <= len(b) {
			mask := uint64(1)<<(8*uint(n)) - 1
			return binary.LittleEndian.Uint64(b[pos:])&mask&highBits == 0
		}
		var or byte
		for _, c := range b[pos : pos+n] {
			or |= c
		}
		return or < 0x80
	}
	s := b[pos : pos+n]
	or := binary.LittleEndian.Uint64(s[n-8:])
	for len(s) > 8 {
		or |= binary.LittleEndian.Uint64(s)
		s = s[8:]
	}
	return or&highBits == 0
}

// utf8 checks a string that is not ASCII and repairs it, or refuses it.
func (w *walk) utf8(at int, s []byte) bool {
	if utf8.Valid(s) {
		return true
	}
	if w.rejectUTF8 {
		return w.fail(at, "the string of %d bytes is not UTF-8 from its byte %d on", len(s), firstBad(s))
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n == 1 {
			s[i] = '?'
		}
		i += n
	}
	w.info.Repaired++
	return true
}

func firstBad(s []byte) int {
	i := 0
	for i < len(s) {
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return i
}
