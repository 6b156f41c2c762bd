package otlp

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// addOfficially is AddResourceAttribute by the official types.
func addOfficially(t testing.TB, sig Signal, b []byte, key, value string) []byte {
	m := decode(t, sig, b)
	blocks := m.ProtoReflect().Get(m.ProtoReflect().Descriptor().Fields().Get(0)).List()
	for i := range blocks.Len() {
		block := blocks.Get(i).Message()
		r := block.Mutable(block.Descriptor().Fields().ByName("resource")).Message()
		list := r.Mutable(r.Descriptor().Fields().ByName("attributes")).List()
		n := 0
		for j := range list.Len() {
			if list.Get(j).Message().Interface().(*common.KeyValue).GetKey() != key {
				list.Set(n, list.Get(j))
				n++
			}
		}
		list.Truncate(n)
		list.Append(protoreflect.ValueOfMessage(text(key, value).ProtoReflect()))
	}
	return encode(t, m)
}

func checkAdd(t testing.TB, sig Signal, b []byte, key, value string) {
	t.Helper()
	before := bytes.Clone(b)
	out := AddResourceAttribute(sig, []byte("before"), b, key, value)
	got, ok := bytes.CutPrefix(out, []byte("before"))
	if !ok || !bytes.Equal(b, before) {
		t.Fatalf("%s %x: %x", sig, before, out)
	}
	if got, want := encode(t, decode(t, sig, got)), addOfficially(t, sig, b, key, value); !bytes.Equal(got, want) {
		t.Fatalf("%s %x: with %s=%s\n%x\nwant\n%x", sig, b, key, value, got, want)
	}
	for r := range Resources(sig, got) {
		if v, ok := r.Attributes().Lookup(key); !ok || v.String() != value {
			t.Fatalf("%s %x: %s is %q, want %q", sig, b, key, v, value)
		}
	}
}

func TestAddResourceAttribute(t *testing.T) {
	const key = "penstock.replay.job"
	has := func(kvs ...*common.KeyValue) string { return lenField(1, pairs(t, kvs...)) }
	scope := lenField(2, lenField(2))
	long := strings.Repeat("v", 20_000)
	for _, b := range []string{
		"",
		lenField(1), // no resource
		lenField(1, scope),
		lenField(1, has(), scope),
		lenField(1, has(text("a", "b")), scope),
		lenField(1, has(text("a", strings.Repeat("x", 100))), scope), // a length that grows by a byte
		lenField(1, has(text(key, "old"), text("a", "b"), text(key, "older")), scope),
		lenField(1, has(text(key, long)), scope), // a length that shrinks
		lenField(1, has(text("a", "b")), scope, has(text(key, "c"))),
		lenField(1, has(text(key, "c")), has(text("a", "b")), lenField(3, "url")),
		lenField(1, has(text("a", "b"))) + "\x7d\x01\x02\x03\x04" + lenField(1, scope),
	} {
		for _, sig := range Signals {
			for _, value := range []string{"", "01JZ", long} {
				checkAdd(t, sig, []byte(b), key, value)
			}
		}
	}
	for _, sig := range Signals {
		for n := range uint64(6) {
			checkAdd(t, sig, fullRequest(t, sig, n, 6), "a", "value") // a is a key there
		}
	}
}

func TestAddResourceAttributeToMutatedRequests(t *testing.T) {
	m := mutator{rand.New(rand.NewPCG(20260106, 5))}
	all := seeds(t)
	for range mutations / 16 {
		s := all[m.r.IntN(len(all))]
		b := m.structure(schemas[s.sig], m.structure(schemas[s.sig], s.b))
		if _, err := Check(s.sig, b, CheckOptions{RejectUTF8: true}); err == nil {
			checkAdd(t, s.sig, b, texts[m.r.IntN(len(texts))], texts[m.r.IntN(len(texts))])
		}
	}
}

// What is not whole stays so.
func TestAddResourceAttributeToBrokenBytes(t *testing.T) {
	if got := string(AddResourceAttribute(Logs, nil, []byte(lenField(1)+"\x0a\x05ab"), "k", "v")); !strings.HasSuffix(got, "\x0a\x05ab") {
		t.Errorf("%q", got)
	}
}

// The Collector's own types find the attribute, and all else as it was.
func TestAddResourceAttributeInTheCollector(t *testing.T) {
	const key, value = "penstock.replay.job", "01JZ"
	put := func(r pcommon.Resource) { r.Attributes().PutStr(key, value) }
	for sig, convert := range map[Signal]func(b []byte, edit func(pcommon.Resource)) ([]byte, error){
		Traces: func(b []byte, edit func(pcommon.Resource)) ([]byte, error) {
			d, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(b)
			for i := range d.ResourceSpans().Len() {
				edit(d.ResourceSpans().At(i).Resource())
			}
			out, _ := (&ptrace.ProtoMarshaler{}).MarshalTraces(d)
			return out, err
		},
		Metrics: func(b []byte, edit func(pcommon.Resource)) ([]byte, error) {
			d, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(b)
			for i := range d.ResourceMetrics().Len() {
				edit(d.ResourceMetrics().At(i).Resource())
			}
			out, _ := (&pmetric.ProtoMarshaler{}).MarshalMetrics(d)
			return out, err
		},
		Logs: func(b []byte, edit func(pcommon.Resource)) ([]byte, error) {
			d, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(b)
			for i := range d.ResourceLogs().Len() {
				edit(d.ResourceLogs().At(i).Resource())
			}
			out, _ := (&plog.ProtoMarshaler{}).MarshalLogs(d)
			return out, err
		},
	} {
		b := realistic(t, sig, 20)
		want, err := convert(b, put)
		if err != nil {
			t.Fatal(err)
		}
		got, err := convert(AddResourceAttribute(sig, nil, b, key, value), func(pcommon.Resource) {})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%x\nwant\n%x", sig, err, got, want)
		}
	}
}
