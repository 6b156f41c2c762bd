package otlp

import (
	"fmt"
	"strings"
)

// maxPath bounds the elements of a path: values nest without end.
const maxPath = 24

// pathTo names the field whose tag is at off, from the request down. It reads
// the bytes before off anew, which a walk found whole. Only errors need it.
func pathTo(m *message, b []byte, off int) string {
	var path strings.Builder
	pos, end := 0, len(b)
	seen := make(map[uint32]int)
	for elements := 0; ; {
		at := pos
		tag, next := varint(b, pos, end)
		num := uint32(tag >> 3)
		if next < 0 || tag>>3 == 0 || tag>>3 > maxFieldNumber || at > off {
			return path.String()
		}
		name := m.fieldName(num)
		if at == off {
			addElement(&path, name.name)
			return path.String()
		}
		stop := fieldEnd(b, next, end, tag)
		if stop < 0 {
			return path.String()
		}
		if off >= stop {
			seen[num]++
			pos = stop
			continue
		}
		// off is within this field, which therefore is a message.
		sub := m.sub(tag)
		if sub == nil {
			return path.String()
		}
		if elements++; elements > maxPath {
			addElement(&path, "...")
			return path.String()
		}
		if name.repeated {
			name.name = fmt.Sprintf("%s[%d]", name.name, seen[num])
		}
		addElement(&path, name.name)
		_, pos = varint(b, next, end)
		m, end = sub, stop
		clear(seen)
	}
}

func addElement(path *strings.Builder, name string) {
	if path.Len() > 0 {
		path.WriteByte('.')
	}
	path.WriteString(name)
}

func (m *message) fieldName(num uint32) fieldName {
	if f, ok := m.fields[num]; ok {
		return f
	}
	return fieldName{name: fmt.Sprintf("field %d", num)}
}

// sub is the message that the field of the tag is known to hold, or nil.
func (m *message) sub(tag uint64) *message {
	if tag >= uint64(len(m.ops)) || tag&7 != 2 {
		return nil
	}
	return m.subs[tag>>3]
}

// fieldEnd is the position behind the value at pos, or negative.
func fieldEnd(b []byte, pos, end int, tag uint64) int {
	if byWireType[tag&7] == opGroup {
		next, problem := skipGroup(b, pos, end, tag>>3, 1)
		if problem != "" {
			return varintCut
		}
		return next
	}
	return skipValue(b, pos, end, tag)
}
