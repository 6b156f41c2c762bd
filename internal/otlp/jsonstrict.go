package otlp

import (
	"encoding/json"
	"fmt"
	"strings"
)

// jsonField is a known field by a key of JSON.
type jsonField struct {
	sub   *message // nil: not a message
	enum  bool
	wrong string // the key to use in place of this one; "": this one is right
}

// enums are the fields of schemas whose type is an enum.
var enums = map[string]bool{
	"Span.kind": true, "Status.code": true, "LogRecord.severity_number": true, "Sum.aggregation_temporality": true,
	"Histogram.aggregation_temporality": true, "ExponentialHistogram.aggregation_temporality": true,
}

// jsonFields are the fields of each message by key: the lowerCamelCase ones of
// OTLP JSON, and the names in protobuf, which are not valid there.
var jsonFields = func() map[*message]map[string]jsonField {
	all := make(map[*message]map[string]jsonField)
	var add func(m *message)
	add = func(m *message) {
		if all[m] != nil {
			return
		}
		keys := make(map[string]jsonField, len(m.fields))
		all[m] = keys
		for num, f := range m.fields {
			j := jsonField{enum: enums[m.name+"."+f.name]}
			if num <= maxNumber {
				j.sub = m.subs[num]
			}
			camel := lowerCamel(f.name)
			keys[camel] = j
			if camel != f.name {
				keys[f.name] = jsonField{wrong: camel}
			}
			if j.sub != nil {
				add(j.sub)
			}
		}
	}
	for _, m := range schemas {
		add(m)
	}
	return all
}()

func lowerCamel(snake string) string {
	words := strings.Split(snake, "_")
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "")
}

// strictJSON refuses what the decoder would take against the specification
// (OTLP 1.11, "JSON Protobuf Encoding"): names of protobuf fields as keys, and
// names of enum values. Ignoring either would lose data that was acknowledged.
// Unknown keys are passed over. b went through soundJSON.
func strictJSON(sig Signal, b []byte) error {
	s := jsonScan{b: b}
	s.space()
	if s.object(schemas[sig]); s.bad != nil {
		return s.bad
	}
	return nil
}

// jsonScan goes through valid JSON.
type jsonScan struct {
	b   []byte
	pos int
	bad *Malformed // the first fault
}

func (s *jsonScan) space() {
	for s.pos < len(s.b) {
		switch s.b[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// value is of a field that holds m, or a list of m; nil: of any other.
func (s *jsonScan) value(m *message) {
	switch s.b[s.pos] {
	case '{':
		s.object(m)
	case '[':
		for s.pos++; s.next(']'); {
			s.value(m)
		}
	case '"':
		s.skipText()
	default:
		for s.pos < len(s.b) && strings.IndexByte(",]} \t\r\n", s.b[s.pos]) < 0 {
			s.pos++
		}
	}
}

// next goes to the next element of a list or object, and tells whether there is
// one before its end.
func (s *jsonScan) next(end byte) bool {
	if s.bad != nil {
		return false
	}
	if s.space(); s.b[s.pos] == ',' {
		s.pos++
		s.space()
	}
	if s.b[s.pos] != end {
		return true
	}
	s.pos++
	return false
}

func (s *jsonScan) object(m *message) {
	known := jsonFields[m] // nil for nil: nothing is known
	for s.pos++; s.next('}'); {
		at := s.pos
		f := s.key(known)
		key := s.b[at:s.pos]
		s.space()
		s.pos++ // the colon
		s.space()
		switch {
		case f.wrong != "":
			s.bad = &Malformed{Offset: at, Path: m.name, Problem: fmt.Sprintf("key %s: OTLP JSON has lowerCamelCase keys alone, use %q", key, f.wrong)}
			return
		case f.enum && s.b[s.pos] == '"':
			s.bad = &Malformed{Offset: at, Path: m.name, Problem: fmt.Sprintf("%s is a text: OTLP JSON has enums as integers, not as names", key)}
			return
		}
		s.value(f.sub)
	}
}

// skipText goes behind the string at pos.
func (s *jsonScan) skipText() (escaped bool) {
	for s.pos++; s.b[s.pos] != '"'; s.pos++ {
		if s.b[s.pos] == '\\' {
			escaped = true
			s.pos++
		}
	}
	s.pos++
	return escaped
}

// key is the field of the key at pos. One with escapes is decoded, as the
// decoder will.
func (s *jsonScan) key(known map[string]jsonField) jsonField {
	begin := s.pos
	escaped := s.skipText()
	if quoted := s.b[begin:s.pos]; escaped && len(quoted) <= maxKey {
		var key string
		if json.Unmarshal(quoted, &key) == nil {
			return known[key]
		}
	}
	return known[string(s.b[begin+1:s.pos-1])] // without a copy
}

// maxKey is beyond the longest key that is known, with every letter escaped.
const maxKey = 256
