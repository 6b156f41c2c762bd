package otlp

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// pairs are attributes as field 1 of a message.
func pairs(t testing.TB, attributes ...*common.KeyValue) string {
	var b strings.Builder
	for _, a := range attributes {
		b.WriteString(lenField(1, string(encode(t, a))))
	}
	return b.String()
}

// officialText is the text of a value by the official types.
func officialText(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	case *common.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *common.AnyValue_DoubleValue:
		if text, err := json.Marshal(v.DoubleValue); err == nil {
			return strings.Replace(string(text), "e-0", "e-", 1)
		}
		return fmt.Sprint(v.DoubleValue)
	case *common.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(v.BytesValue)
	}
	return ""
}

func officialPairs(attributes []*common.KeyValue) (list []string) {
	for _, kv := range attributes {
		list = append(list, kv.GetKey()+"="+officialText(kv.GetValue()))
	}
	return list
}

func ownPairs(a Attributes) (list []string) {
	for key, v := range a.All() {
		list = append(list, string(key)+"="+strings.Replace(v.String(), "e-0", "e-", 1))
	}
	return list
}

// checkLooking compares resources and items, as they are found in the bytes,
// with the official types.
func checkLooking(t testing.TB, sig Signal, b []byte) (attributes int) {
	t.Helper()
	m := decode(t, sig, b).ProtoReflect()
	blocks := m.Get(m.Descriptor().Fields().Get(0)).List()
	n, items := 0, 0
	for r := range Resources(sig, b) {
		want := officialPairs(attributesOf(blocks.Get(n).Message()))
		if got := ownPairs(r.Attributes()); !slices.Equal(got, want) {
			t.Fatalf("%s %x: resource %d has %q, want %q", sig, b, n, got, want)
		}
		info, err := officialInfo(sig, r.Request())
		if err != nil || info.Items != r.Items() {
			t.Fatalf("%s %x: resource %d has %d items, official %+v, %v", sig, b, n, r.Items(), info, err)
		}
		items += r.Items()
		attributes += len(want)
		n++
	}
	if n != blocks.Len() {
		t.Fatalf("%s %x: %d resources, want %d", sig, b, n, blocks.Len())
	}
	want := officialItems(m)
	if items != len(want) {
		t.Fatalf("%s %x: resources have %d items, want %d", sig, b, items, len(want))
	}
	n = 0
	for it := range Items(sig, b) {
		if n == len(want) {
			t.Fatalf("%s %x: more than %d items", sig, b, n)
		}
		w := want[n]
		list := w.item.Get(w.item.Descriptor().Fields().ByName("attributes")).List()
		var kvs []*common.KeyValue
		for i := range list.Len() {
			kvs = append(kvs, list.Get(i).Message().Interface().(*common.KeyValue))
		}
		if got, want := ownPairs(it.Attributes()), officialPairs(kvs); !slices.Equal(got, want) {
			t.Fatalf("%s %x: item %d has %q, want %q", sig, b, n, got, want)
		}
		if got, want := ownPairs(it.Resource()), officialPairs(attributesOf(w.block)); !slices.Equal(got, want) {
			t.Fatalf("%s %x: resource of item %d has %q, want %q", sig, b, n, got, want)
		}
		if got, want := it.Time(), timeOf(w.item); got != want {
			t.Fatalf("%s %x: item %d has time %d, want %d", sig, b, n, got, want)
		}
		lone := it.AppendRequest(nil)
		held := officialItems(decode(t, sig, lone).ProtoReflect())
		if len(held) != 1 || string(encode(t, held[0].item.Interface())) != string(encode(t, w.item.Interface())) {
			t.Fatalf("%s %x: item %d alone is %x", sig, b, n, lone)
		}
		attributes += len(kvs)
		n++
	}
	if n != len(want) {
		t.Fatalf("%s %x: %d items, want %d", sig, b, n, len(want))
	}
	return attributes
}

type officialItem struct{ block, item protoreflect.Message }

// officialItems are the items of a decoded request with what holds their
// resource.
func officialItems(m protoreflect.Message) (items []officialItem) {
	var block protoreflect.Message
	var walk func(m protoreflect.Message, names ...protoreflect.Name)
	walk = func(m protoreflect.Message, names ...protoreflect.Name) {
		if len(names) == 0 {
			items = append(items, officialItem{block, m})
			return
		}
		for _, name := range strings.Split(string(names[0]), "|") {
			f := m.Descriptor().Fields().ByName(protoreflect.Name(name))
			if f == nil || !m.Has(f) {
				continue
			}
			if !f.IsList() {
				walk(m.Get(f).Message(), names[1:]...)
				continue
			}
			for i := range m.Get(f).List().Len() {
				child := m.Get(f).List().Get(i).Message()
				if strings.HasPrefix(name, "resource_") {
					block = child
				}
				walk(child, names[1:]...)
			}
		}
	}
	switch m.Descriptor().Name() {
	case "ExportTraceServiceRequest":
		walk(m, "resource_spans", "scope_spans", "spans")
	case "ExportLogsServiceRequest":
		walk(m, "resource_logs", "scope_logs", "log_records")
	default:
		walk(m, "resource_metrics", "scope_metrics", "metrics", "gauge|sum|histogram|exponential_histogram|summary", "data_points")
	}
	return items
}

func TestLookingIntoRequests(t *testing.T) {
	seen := 0
	for _, s := range seeds(t) {
		if _, err := Check(s.sig, s.b, CheckOptions{RejectUTF8: true}); err == nil {
			seen += checkLooking(t, s.sig, s.b)
		}
	}
	m := mutator{rand.New(rand.NewPCG(20260105, 4))}
	all := seeds(t)
	for range mutations / 16 {
		s := all[m.r.IntN(len(all))]
		b := m.structure(schemas[s.sig], m.structure(schemas[s.sig], s.b))
		if _, err := Check(s.sig, b, CheckOptions{RejectUTF8: true}); err == nil {
			seen += checkLooking(t, s.sig, b)
		}
	}
	if seen < mutations/20 {
		t.Errorf("%d attributes were compared", seen)
	}
}

func TestLookingEndsEarly(t *testing.T) {
	for _, sig := range Signals {
		b := slices.Concat(realistic(t, sig, 5), realistic(t, sig, 5))
		n := 0
		for range Resources(sig, b) {
			n++
			break
		}
		for it := range Items(sig, b) {
			n++
			for range it.Resource().All() {
				n++
				break
			}
			break
		}
		if n != 3 {
			t.Errorf("%s: %d turns of loops that end at once", sig, n)
		}
	}
}

func TestLookup(t *testing.T) {
	value := func(fields ...string) string { return lenField(2, strings.Join(fields, "")) }
	kv := func(key string, values ...string) string {
		return lenField(1, lenField(1, key)+strings.Join(values, ""))
	}
	b := lenField(1,
		lenField(1, kv("twice", value(lenField(1, "first")))+kv("twice", value(lenField(1, "second")))+
			kv("merged", value(lenField(1, "a")), value("\x18\x2a"))+
			kv("bytes", value(lenField(7, "\x00\xff")))+
			kv("list", value(lenField(5, lenField(1, lenField(1, "x")))))+
			kv("map", value(lenField(6, "")))+
			kv("index", value(lenField(1, "x"), "\x40\x01"))+
			kv("empty")+kv("none", value())+
			kv("double", value("\x21", "\x00\x00\x00\x00\x00\x00\xf8\x3f"))+
			kv("flag", value("\x10\x01"))+kv("minus", value("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))),
		lenField(1, kv("second.resource", value(lenField(1, "yes")))))
	var a Attributes
	for r := range Resources(Logs, []byte(b)) {
		a = r.Attributes()
	}
	for key, want := range map[string]struct {
		kind ValueKind
		text string
	}{
		"twice": {StringValue, "first"}, "merged": {IntValue, "42"}, "bytes": {BytesValue, "AP8="},
		"list": {ListValue, ""}, "map": {MapValue, ""}, "index": {EmptyValue, ""}, "empty": {EmptyValue, ""}, "none": {EmptyValue, ""},
		"double": {DoubleValue, "1.5"}, "flag": {BoolValue, "true"}, "minus": {IntValue, "-1"}, "second.resource": {StringValue, "yes"},
	} {
		if v, ok := a.Lookup(key); !ok || v.Kind() != want.kind || a.Text(key) != want.text {
			t.Errorf("%s: %v, %d, %q; want %d, %q", key, ok, v.Kind(), v, want.kind, want.text)
		}
	}
	if v, ok := a.Lookup("absent"); ok || v.String() != "" {
		t.Errorf("absent: %v", v)
	}
	if _, ok := (Attributes{}).Lookup("x"); ok {
		t.Error("no attributes have one")
	}
	if n := testing.AllocsPerRun(100, func() { a.Lookup("second.resource") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDoublesAsText(t *testing.T) {
	for d, want := range map[float64]string{0: "0", 1e6: "1000000", 1e21: "1e+21", 0.25: "0.25", -1e-7: "-1e-07"} {
		if got := string(appendDouble(nil, d)); got != want {
			t.Errorf("%g: %s, want %s", d, got, want)
		}
	}
}
