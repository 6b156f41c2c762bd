package conformance

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/encoding/protowire"
)

var dataRows = []Row{
	{ID: "D1", Level: "MUST", Section: "Future Versions and Interoperability", run: rowD1,
		Rule: "Old and new work together: fields that a server does not know do it no harm."},
	{ID: "D2", Level: "SHOULD", Section: "Common: AnyValue, since 1.9.0", run: rowD2,
		Rule: "Attributes of every kind are taken: empty, bytes, lists of anything, and maps."},
	{ID: "D3", Level: "SHOULD NOT", Section: "Common: empty envelopes", run: rowD3,
		Rule: "Resources and scopes without items are not sent on and may be dropped; they are no error."},
	{ID: "D5", Level: "stated", Section: "Known Limitations: Duplicate Data", run: rowD5,
		Rule: "Answers are per hop and duplicates possible: the same request sent again is taken again."},
}

func varint(n uint64) []byte { return protowire.AppendVarint(nil, n) }

// taken sends a request over whatever the endpoint speaks.
func (c *check) taken(ctx context.Context, s signal, b []byte) Verdict {
	if c.GRPC != "" {
		if v := c.takenGRPC(ctx, s, "", b); v.Outcome != Pass || c.HTTP == "" {
			return v
		}
	}
	return c.takenHTTP(ctx, s, protobufType, "", b)
}

func rowD1(c *check) {
	c.each("unknown fields in the request and in its resource level", func(ctx context.Context, s signal) Verdict {
		mark := newMark()
		return c.taken(ctx, s, withUnknown(s.request(mark), mark))
	})
}

func rowD2(c *check) {
	kv := func(list ...*common.KeyValue) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: list}}}
	}
	list := func(values ...*common.AnyValue) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: values}}}
	}
	raw := &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: []byte{0, 0xff}}}
	for _, x := range []struct {
		name  string
		value *common.AnyValue
	}{
		{"empty", &common.AnyValue{}},
		{"no value at all", nil},
		{"bytes", raw},
		{"a list of everything", list(text("a"), raw, &common.AnyValue{}, list(), kv())},
		{"a map in a map", kv(attribute("a", kv(attribute("b", list(text("c"))))))},
	} {
		c.each(x.name, func(ctx context.Context, s signal) Verdict {
			mark := newMark()
			return c.taken(ctx, s, s.request(mark, attribute("conformance", x.value)))
		})
	}
}

func rowD3(c *check) {
	// One resource, and one with a scope, both without items.
	envelopes := []byte("\x0a\x00\x0a\x02\x12\x00")
	c.each("taken", func(ctx context.Context, s signal) Verdict { return c.taken(ctx, s, envelopes) })
	c.each("what is beside them is taken too", func(ctx context.Context, s signal) Verdict {
		mark := newMark()
		message := append(append([]byte(nil), envelopes...), s.request(mark)...)
		b := c.anyBackend()
		if b == nil {
			return c.taken(ctx, s, message)
		}
		if _, err := c.throughAs(ctx, b, s, mark, message, nil); err != nil {
			return failed("empty envelopes and one item", "the item at the backend", err.Error())
		}
		return passed
	})
}

func rowD5(c *check) {
	c.each("the same twice", func(ctx context.Context, s signal) Verdict {
		b := s.request(newMark())
		for range 2 {
			if v := c.taken(ctx, s, b); v.Outcome != Pass {
				return v
			}
		}
		return passed
	})
}

// beyondRows are what the specification leaves open.
var beyondRows = []Row{
	{ID: "X1", Level: "beyond", Section: "–", needs: needHTTP, run: rowX1,
		Rule: "What an unknown Content-Encoding is answered."},
	{ID: "X2", Level: "beyond", Section: "–", run: rowX2,
		Rule: "What bytes after the end of a request do."},
	{ID: "X3", Level: "beyond", Section: "–", needs: needHTTP, run: rowX3,
		Rule: "What a JSON key that stands twice does."},
	{ID: "X4", Level: "beyond", Section: "–", run: rowX4,
		Rule: "What text that is not UTF-8 is answered."},
	{ID: "X5", Level: "beyond", Section: "–", run: rowX5,
		Rule: "Whether protobuf fields that the endpoint does not know are kept when it forwards."},
	{ID: "X6", Level: "beyond", Section: "–", run: rowX6,
		Rule: "Which encodings beside gzip are taken."},
	{ID: "X7", Level: "beyond", Section: "–", run: rowX7,
		Rule: "What a value 10,000 lists deep is answered."},
	{ID: "X8", Level: "beyond", Section: "–", needs: needGRPC, run: rowX8,
		Rule: "What an unknown gRPC method is answered."},
	{ID: "X9", Level: "beyond", Section: "–", needs: needHTTP, run: rowX9,
		Rule: "In which content type a refusal comes whose request had none that OTLP knows."},
}

func rowX1(c *check) {
	c.try("Content-Encoding: conformance", func(ctx context.Context) Verdict {
		s := c.signals[0]
		a, err := c.post(ctx, s, protobufType, "conformance", s.request(newMark()))
		if err == nil && a.status == http.StatusUnsupportedMediaType {
			return passed
		}
		return said(a, err)
	})
}

// said notes an answer.
func said[A fmt.Stringer](a A, err error) Verdict {
	if err != nil {
		return noted("%v", err)
	}
	return noted("%s", a)
}

func rowX2(c *check) {
	s := c.signals[0]
	if c.GRPC != "" {
		c.try("after protobuf, gRPC", func(ctx context.Context) Verdict {
			a, err := c.call(ctx, s, "", append(s.request(newMark()), 0))
			if err == nil && codeName(a.code) == "INVALID_ARGUMENT" {
				return passed
			}
			return said(a, err)
		})
	}
	if c.HTTP == "" {
		return
	}
	for _, x := range []struct {
		name, t, encoding string
		b                 []byte
	}{
		{"after protobuf, HTTP", protobufType, "", append(s.request(newMark()), 0)},
		{"after JSON", jsonType, "", []byte(s.requestJSON(newMark()) + "{}")},
		{"after gzip", protobufType, "gzip", append(packed("gzip", s.request(newMark())), "rest"...)},
	} {
		c.try(x.name, func(ctx context.Context) Verdict {
			a, err := c.post(ctx, s, x.t, x.encoding, x.b)
			if err == nil && a.status == http.StatusBadRequest {
				return passed
			}
			return said(a, err)
		})
	}
}

func rowX3(c *check) {
	c.try("a key twice in one object", func(ctx context.Context) Verdict {
		s := c.signals[0]
		body := s.requestJSON(newMark())
		a, err := c.post(ctx, s, jsonType, "", []byte(body[:len(body)-1]+","+body[1:]))
		return said(a, err)
	})
}

func rowX4(c *check) {
	s := c.signals[0]
	if c.GRPC != "" {
		c.try("gRPC", func(ctx context.Context) Verdict { a, err := c.call(ctx, s, "", notUTF8(s)); return said(a, err) })
	}
	if c.HTTP != "" {
		c.try("HTTP", func(ctx context.Context) Verdict {
			a, err := c.post(ctx, s, protobufType, "", notUTF8(s))
			return said(a, err)
		})
	}
}

func rowX5(c *check) {
	for _, b := range c.backends.list() {
		over := "HTTP"
		if b == c.backends.grpc {
			over = "gRPC"
		}
		c.each("to the backend over "+over, func(ctx context.Context, s signal) Verdict {
			mark := newMark()
			w, err := c.throughAs(ctx, b, s, mark, withUnknown(s.request(mark), mark), nil)
			if err != nil {
				return failed("a request with unknown fields", "the request at the backend", err.Error())
			}
			body := w.all()[0].body
			if n := bytes.Count(body, []byte("later-"+mark)); n != 2 {
				return failed("2 unknown fields", "2 unknown fields at the backend", fmt.Sprintf("%d of them", n))
			}
			return passed
		})
	}
	if len(c.backends.list()) == 0 {
		c.try("forwarded", func(context.Context) Verdict {
			return notApplicable("no backend was given, to which the endpoint exports")
		})
	}
}

func rowX6(c *check) {
	s := c.signals[0]
	one := func(over, encoding string) {
		c.try(over+", "+encoding, func(ctx context.Context) Verdict {
			if !c.reads(ctx, s, over, encoding) {
				return notApplicable("not taken, which it need not be")
			}
			return passed
		})
	}
	for _, e := range grpcEncodings[1:] {
		if c.GRPC != "" {
			one("gRPC", e)
		}
	}
	for _, e := range httpEncodings[1:] {
		if c.HTTP != "" {
			one("HTTP", e)
		}
	}
}

func rowX7(c *check) {
	c.try("a value in lists", func(ctx context.Context) Verdict {
		s := c.signals[0]
		v := &common.AnyValue{}
		deep := encode(v)
		for range 10_000 { // AnyValue.array_value is 5, ArrayValue.values is 1
			deep = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), deep)
			deep = protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), deep)
		}
		attr := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "deep")
		attr = protowire.AppendBytes(protowire.AppendTag(attr, 2, protowire.BytesType), deep)
		res := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), attr)
		rs := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), res)
		b := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), rs)
		answer := func() (fmt.Stringer, error) {
			if c.GRPC != "" {
				a, err := c.call(ctx, s, "", append(b, s.request(newMark())...))
				return a, err
			}
			a, err := c.post(ctx, s, protobufType, "", append(b, s.request(newMark())...))
			return a, err
		}
		a, err := answer()
		return said(a, err)
	})
}

func rowX8(c *check) {
	c.try("a method of no service", func(ctx context.Context) Verdict {
		a, err := c.callRaw(ctx, "/conformance.v1.NoService/Export", "", bytes.NewReader(frame(false, nil)))
		if err == nil && codeName(a.code) == "UNIMPLEMENTED" {
			return passed
		}
		return said(a, err)
	})
}

func rowX9(c *check) {
	c.try("415", func(ctx context.Context) Verdict {
		s := c.signals[0]
		a, err := c.post(ctx, s, "text/plain", "", s.request(newMark()))
		return said(a, err)
	})
}
