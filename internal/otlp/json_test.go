package otlp

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func TestJSONThereAndBack(t *testing.T) {
	for _, sig := range Signals {
		want := realistic(t, sig, 10)
		j, err := AppendJSONFromProto([]byte("before"), sig, want)
		if err != nil || !bytes.HasPrefix(j, []byte("before{")) || !json.Valid(j[6:]) {
			t.Fatalf("%s: %s, %v", sig, j, err)
		}
		got, err := AppendProtoFromJSON([]byte("before"), sig, j[6:])
		if err != nil || !bytes.HasPrefix(got, []byte("before")) {
			t.Fatalf("%s: %v", sig, err)
		}
		if !proto.Equal(decode(t, sig, got[6:]), decode(t, sig, want)) {
			t.Errorf("%s: JSON and back is\n%v\nwant\n%v", sig, decode(t, sig, got[6:]), decode(t, sig, want))
		}
		i, err := Check(sig, got[6:], CheckOptions{})
		if err != nil || i.Items != 10 {
			t.Errorf("%s: %+v, %v", sig, i, err)
		}
	}
}

func inSpan(s string) string {
	return `{"resourceSpans":[{"scopeSpans":[{"spans":[{` + s + `}]}]}]}`
}

// pdataSpan is a request of one span as pdata encodes it: with empty messages for
// resource, scope and status.
func pdataSpan(fields string) string {
	return lenField(1, lenField(1), lenField(2, lenField(1), lenField(2, fields, lenField(15))))
}

// OTLP specification 1.11, "JSON Protobuf Encoding".
func TestJSONOfTheSpecification(t *testing.T) {
	id := "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\xff"
	for _, c := range []struct{ name, in, want string }{
		{"ids are hex in any case", `"traceId":"0102030405060708090A0b0C0d0E0fFf"`, lenField(1, id)},
		{"enum as a number", `"kind":2`, "\x30\x02"},
		{"unknown members are ignored, whatever is in them", `"kind":2,"nonsense":{"kind":"SERVER","trace_id":1,"spans":[{"kind":"x"}]}`, "\x30\x02"},
		{"64 bits as a string", `"startTimeUnixNano":"1544712660000000000"`, fixedField(7, 1544712660000000000)},
		{"64 bits as a number", `"startTimeUnixNano":1544712660000000000`, fixedField(7, 1544712660000000000)},
		{"unknown members are ignored", `"name":"a","nonsense":{"a":[1,{"b":null}]}`, lenField(5, "a")},
		{"lone surrogate", `"name":"\ud800"`, lenField(5, "\ufffd")},
		{"bytes value is base64", `"attributes":[{"key":"k","value":{"bytesValue":"AQI="}}]`, lenField(9, lenField(1, "k"), lenField(2, lenField(7, "\x01\x02")))},
		{"white space around", `"name" : "a" ` + "\r\n\t", lenField(5, "a")},
	} {
		got, err := AppendProtoFromJSON(nil, Traces, []byte(" "+inSpan(c.in)+"\n"))
		if err != nil || !proto.Equal(decode(t, Traces, got), decode(t, Traces, []byte(pdataSpan(c.want)))) {
			t.Errorf("%s: %v, %v", c.name, decode(t, Traces, got), err)
		}
	}
	// Bytes that are no UTF-8 are for Check to repair, as in protobuf.
	got, err := AppendProtoFromJSON(nil, Traces, []byte(inSpan("\"name\":\"a\xff\"")))
	if err != nil {
		t.Fatal(err)
	}
	i, err := Check(Traces, got, CheckOptions{})
	if err != nil || i.Repaired != 1 || !bytes.Contains(got, []byte("a?")) {
		t.Errorf("%+v, %v, %q", i, err, got)
	}
}

func TestBadJSONSaysWhy(t *testing.T) {
	for _, c := range []struct{ in, problem string }{
		{"", "no JSON: unexpected end of JSON input"},
		{"garbage", "no JSON: invalid character 'g' looking for beginning of value"},
		{"{} x", "no JSON: invalid character 'x' after top-level value"},
		{`{"resourceSpans":[`, "no JSON: unexpected end"},
		{`{"a":"\`, "no JSON: invalid character"},
		{"null", "not a JSON object"},
		{" [ ]", "not a JSON object"},
		{"\x0a\x00", "no JSON"},
		{`{"resourceSpans":5}`, `OTLP JSON cannot be decoded: ReadArray: expect [ or , or ] or n, but found 5, near |{"resourceSpans":5}|`},
		{inSpan(`"traceId":"zz"`), "OTLP JSON cannot be decoded: ID.UnmarshalJSONIter: length mismatch"},
		{inSpan(`"startTimeUnixNano":"soon"`), `parsing "soon": invalid syntax`},
		{inSpan(`"name":5`), "expects"},
		{inSpan(`"kind":"SPAN_KIND_SERVER"`), `"kind" is a text: OTLP JSON has enums as integers`},
		{inSpan(`"status":{"code":"STATUS_CODE_ERROR"}`), `"code" is a text`},
		{inSpan(`"trace_id" : ""`), `key "trace_id": OTLP JSON has lowerCamelCase keys alone, use "traceId"`},
		{inSpan(`"trace\u005fid":""`), `use "traceId"`},
		{`{"resource_spans":[]}`, `use "resourceSpans"`},
		{inSpan(`"name":"a\"}","events":[{}, {"time_unix_nano":1}]`), `use "timeUnixNano"`},
		{strings.Repeat("[", 10_000), "JSON is nested deeper than 1000"},
		{strings.Repeat(`{"a":`, 10_000), "JSON is nested deeper than 1000"},
		{nestedJSON(10_000), "JSON is nested deeper than 1000"},
	} {
		_, err := AppendProtoFromJSON(nil, Traces, []byte(c.in))
		var m *Malformed
		if !errors.As(err, &m) || !strings.Contains(m.Problem, c.problem) || len(m.Problem) > maxMessage {
			t.Errorf("%.60s: %v, want %s", c.in, err, c.problem)
		}
		if err != nil && strings.Contains(err.Error(), "#") {
			t.Errorf("%.60s: tells an offset that nobody can use: %v", c.in, err)
		}
	}
	if _, err := AppendProtoFromJSON(nil, Traces, []byte(nestedJSON(300))); err != nil {
		t.Errorf("300 values deep: %v", err)
	}
}

// nestedJSON is an attribute with n lists within each other.
func nestedJSON(n int) string {
	return inSpan(`"attributes":[{"key":"k","value":` + strings.Repeat(`{"arrayValue":{"values":[`, n) +
		`{"intValue":"1"}` + strings.Repeat("]}}", n) + "}]")
}

func TestJSONFromBadProto(t *testing.T) {
	var m *Malformed
	for name, b := range map[string]string{
		"malformed":     "\x0a\x05",
		"no UTF-8":      span(lenField(5, "\xff")),
		"id too short":  span(lenField(1, "short")),
		"far too deep":  lenField(1, lenField(1, lenField(1, nest(maxDepth, "", 2, 6, 1)))),
		"groups deeper": groups(5, 100_000),
	} {
		out, err := AppendJSONFromProto([]byte("x"), Traces, []byte(b))
		if !errors.As(err, &m) || string(out) != "x" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
	// As deep as Check allows is no danger to the stack.
	deep := lenField(1, lenField(1, lenField(1, nest((maxDepth-3)/3, "", 2, 6, 1))))
	if _, err := AppendJSONFromProto(nil, Traces, []byte(deep)); err != nil {
		t.Error(err)
	}
}

func TestPanicsOfTheDecoderAreErrors(t *testing.T) {
	_, err := convert("OTLP JSON", func(exportRequest) ([]byte, error) { panic("index out of range") }, Logs)
	var m *Malformed
	if !errors.As(err, &m) || m.Problem != "OTLP JSON cannot be decoded: index out of range" {
		t.Error(err)
	}
}

// Joined requests are the request with the items of both, for the official types
// and for those of the Collector.
func TestJoinedRequestsAreOne(t *testing.T) {
	for _, sig := range Signals {
		a, b := realistic(t, sig, 7), fullRequest(t, sig, 3, 6)
		joined := append(bytes.Clone(a), b...)
		m := decode(t, sig, a)
		proto.Merge(m, decode(t, sig, b))
		if !proto.Equal(decode(t, sig, joined), m) {
			t.Errorf("%s: official types find another request", sig)
		}
		one, two := pdataResources(t, sig, a), pdataResources(t, sig, b)
		if all := pdataResources(t, sig, joined); strings.Join(all, "\n") != strings.Join(append(one, two...), "\n") {
			t.Errorf("%s: pdata finds another request", sig)
		}
		i, err := Check(sig, joined, CheckOptions{})
		ia, _ := Check(sig, a, CheckOptions{})
		ib, _ := Check(sig, b, CheckOptions{})
		if err != nil || i.Items != ia.Items+ib.Items {
			t.Errorf("%s: %+v, %v", sig, i, err)
		}
	}
}

// pdataResources decodes and encodes with pdata and returns the resources.
func pdataResources(t *testing.T, sig Signal, b []byte) (all []string) {
	r := newRequest[sig]()
	if err := r.UnmarshalProto(b); err != nil {
		t.Fatal(err)
	}
	out, err := r.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	for f := range fields(out) {
		if num, _ := protowire.DecodeTag(f.tag); num == 1 {
			all = append(all, string(f.value))
		}
	}
	return all
}
