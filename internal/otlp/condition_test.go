package otlp

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseConditionRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":             "names no attribute",
		"  ":           "names no attribute",
		"=v":           "names no attribute",
		"key!=v":       "no negation",
		"key!~v":       "no negation",
		"key!":         "no negation",
		"key~v":        "no name of an attribute",
		"a>5":          "no name of an attribute",
		"a|b":          "no name of an attribute",
		`"a"=b`:        "no name of an attribute",
		"key=~(":       "missing closing )",
		"key=~a)|(b":   "unexpected )",
		"key=a||b":     "empty",
		"key=|":        "empty",
		"key=~a{2000}": "invalid repeat count",
	} {
		c, err := ParseCondition(in)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "condition ") {
			t.Errorf("%q: %v, %v; want %q", in, c, err, want)
		}
	}
	if cs, err := ParseConditions([]string{"a", "b!=c"}); err == nil || cs != nil {
		t.Errorf("%v, %v", cs, err)
	}
}

func TestConditionMatch(t *testing.T) {
	// Field 1 of a resource, in a list of its own.
	b := lenField(1, lenField(1, pairs(t, text("name", "checkout"), number("port", 8080), text("query", "a=b|c"), text("empty", ""), text("lines", "a\nb"))+
		lenField(1, lenField(1, "list"), lenField(2, lenField(5)))))
	for in, want := range map[string]bool{
		"name": true, "absent": false, "list": true, "empty": true,
		"name=checkout": true, " name =checkout": true, "name=check": false, "name=cart|checkout": true, "name=": false,
		"port=8080": true, "port=80|8080": true, "port=8081": false, "port=~80.*": true,
		"empty=": true, "empty=~": true, "list=": false, "list=~.*": false, "absent=": false, "absent=~.*": false,
		"query=~a=b\\|c": true, "query=a=b": false, "name=~check": false, "name=~(?i)CHECKOUT": true, "name=~x|checkout": true,
		"lines=~a.b": true, "lines=~a": false,
	} {
		c, err := ParseCondition(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		for r := range Resources(Traces, []byte(b)) {
			if got := c.Match(r.Attributes()); got != want {
				t.Errorf("%q: %v, want %v", in, got, want)
			}
		}
		if c.String() != in || c.Key() != strings.TrimSpace(strings.SplitN(in, "=", 2)[0]) {
			t.Errorf("%q is %q of %q", in, c, c.Key())
		}
	}
}

func TestConditionsInJSON(t *testing.T) {
	const in = `["a=b|c","d=~e.*","f"]`
	var cs Conditions
	if err := json.Unmarshal([]byte(in), &cs); err != nil {
		t.Fatal(err)
	}
	if out, err := json.Marshal(cs); err != nil || string(out) != in || cs[1].match == nil || len(cs[0].values) != 2 {
		t.Errorf("%s, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`["a!=b"]`), &cs); err == nil {
		t.Error("no error")
	}
}
