package otlp

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Condition is a test of one attribute, compiled. It is safe for concurrent use.
// The zero Condition is of no use; make one with ParseCondition.
type Condition struct {
	text   string
	key    string
	values []string       // one of them; nil: see match
	match  *regexp.Regexp // nil with no values: the key is there
}

// Conditions hold when each of them holds.
type Conditions []Condition

// ParseCondition reads a condition as an operator writes it:
//
//	key           the attribute is there
//	key=value     its text is value
//	key=a|b|c     its text is one of them
//	key=~regexp   the whole of its text matches (RE2)
//
// The text of an attribute is that of Value.AppendText; lists and maps satisfy
// the first form alone. A value that holds '|' is written as a regexp, as
// key=~a\|b.
func ParseCondition(text string) (Condition, error) {
	bad := func(format string, args ...any) (Condition, error) {
		return Condition{}, fmt.Errorf("condition %q: %s", text, fmt.Sprintf(format, args...))
	}
	const forms = "want key, key=value, key=a|b or key=~regexp"
	key, value, hasValue := strings.Cut(text, "=")
	key = strings.TrimSpace(key)
	switch {
	case key == "":
		return bad("it names no attribute: %s", forms)
	case strings.HasSuffix(key, "!") || strings.Contains(key, "!~"):
		return bad("there is no negation: %s", forms)
	case strings.ContainsAny(key, "~<>|\"'`"):
		return bad("%q is no name of an attribute: %s", key, forms)
	}
	c := Condition{text: text, key: key}
	pattern, isMatch := strings.CutPrefix(value, "~")
	switch {
	case isMatch:
		re, err := regexp.Compile("^(?s:" + pattern + ")$")
		if _, alone := regexp.Compile(pattern); alone != nil {
			err = alone
		}
		if err != nil {
			return bad("%v", err)
		}
		c.match = re
	case hasValue:
		c.values = strings.Split(value, "|")
		if len(c.values) > 1 && slices.Contains(c.values, "") {
			return bad("one of its values is empty; write key=~ with a regexp for a value that holds '|'")
		}
	}
	return c, nil
}

// ParseConditions reads several, which must all hold.
func ParseConditions(texts []string) (Conditions, error) {
	list := make(Conditions, 0, len(texts))
	for _, text := range texts {
		c, err := ParseCondition(text)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// String is what ParseCondition read.
func (c Condition) String() string { return c.text }

// MarshalText is String, so that conditions can be kept in JSON.
func (c Condition) MarshalText() ([]byte, error) { return []byte(c.text), nil }

// UnmarshalText is ParseCondition.
func (c *Condition) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCondition(string(text))
	return err
}

// Key is the attribute that is tested.
func (c Condition) Key() string { return c.key }

// Match tells whether the condition holds for the attributes.
func (c Condition) Match(a Attributes) bool {
	v, ok := a.Lookup(c.key)
	if !ok || c.match == nil && c.values == nil {
		return ok
	}
	if v.kind == ListValue || v.kind == MapValue {
		return false
	}
	if c.match != nil {
		return c.matches(v)
	}
	var scratch [32]byte // which would go to the heap if a regexp got it
	text := v.text(scratch[:0])
	for _, want := range c.values {
		if string(text) == want {
			return true
		}
	}
	return false
}

// textBuffers are of values that are no strings, for a regexp, which would send a buffer
// on the stack to the heap each time.
var textBuffers = sync.Pool{New: func() any { return new([]byte) }}

func (c *Condition) matches(v Value) bool {
	if v.kind == StringValue {
		return c.match.Match(v.b)
	}
	b := textBuffers.Get().(*[]byte) //nolint:forcetypeassert // New makes no other
	defer textBuffers.Put(b)
	*b = v.AppendText((*b)[:0])
	return c.match.Match(*b)
}

// Match tells whether all of them hold.
func (cs Conditions) Match(a Attributes) bool {
	for i := range cs {
		if !cs[i].Match(a) {
			return false
		}
	}
	return true
}
