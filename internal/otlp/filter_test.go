package otlp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// wanted is what a filter shall take, by the official types: wants decides about
// a resource, in about an item. What loses all it has is left out.
func wanted(t testing.TB, sig Signal, b []byte, wants func(attributes []*common.KeyValue) bool, in func(m protoreflect.Message) bool) []byte {
	m := decode(t, sig, b)
	prune(m.ProtoReflect(), [NumSignals][]string{
		Traces:  {"resource_spans", "scope_spans", "spans"},
		Metrics: {"resource_metrics", "scope_metrics", "metrics", "data", "data_points"},
		Logs:    {"resource_logs", "scope_logs", "log_records"},
	}[sig], wants, in)
	return encode(t, m)
}

func prune(m protoreflect.Message, path []string, wants func([]*common.KeyValue) bool, in func(protoreflect.Message) bool) (kept, left int) {
	if len(path) == 0 {
		if in(m) {
			return 1, 0
		}
		return 0, 1
	}
	f := m.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	if path[0] == "data" {
		if f = m.WhichOneof(m.Descriptor().Oneofs().ByName("data")); f == nil {
			return 0, 0
		}
		return prune(m.Get(f).Message(), path[1:], wants, in)
	}
	list := m.Mutable(f).List()
	n := 0
	for i := range list.Len() {
		child := list.Get(i).Message()
		k, l := 0, 1
		if !strings.HasPrefix(path[0], "resource_") || wants(attributesOf(child)) {
			k, l = prune(child, path[1:], wants, in)
		}
		kept, left = kept+k, left+l
		if k > 0 || l == 0 {
			list.Set(n, list.Get(i))
			n++
		}
	}
	list.Truncate(n)
	return kept, left
}

func attributesOf(block protoreflect.Message) (out []*common.KeyValue) {
	r := block.Get(block.Descriptor().Fields().ByName("resource")).Message()
	l := r.Get(r.Descriptor().Fields().ByName("attributes")).List()
	for i := range l.Len() {
		out = append(out, l.Get(i).Message().Interface().(*common.KeyValue))
	}
	return out
}

// timeOf is the event time of an item of the official types.
func timeOf(m protoreflect.Message) uint64 {
	for _, name := range []protoreflect.Name{"time_unix_nano", "observed_time_unix_nano"} {
		if m.Descriptor().Name() == "Span" {
			name = "start_time_unix_nano"
		}
		if f := m.Descriptor().Fields().ByName(name); f != nil && m.Get(f).Uint() != 0 {
			return m.Get(f).Uint()
		}
	}
	return 0
}

func inWindow(from, to uint64) func(protoreflect.Message) bool {
	return func(m protoreflect.Message) bool {
		ns := timeOf(m)
		return ns == 0 || (from == 0 || ns >= from) && (to == 0 || ns < to)
	}
}

func unixNano(ns uint64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(int64(ns/1e9), int64(ns%1e9))
}

// checkFilter compares what a filter takes with what it shall take.
func checkFilter(t testing.TB, sig Signal, b []byte, f *Filter, want []byte) {
	t.Helper()
	before := bytes.Clone(b)
	out, info, err := f.Apply(sig, nil, b)
	if err != nil {
		t.Fatalf("%s %x: %v", sig, b, err)
	}
	if !bytes.Equal(b, before) {
		t.Fatalf("%s %x: changed by the filter", sig, before)
	}
	if got := encode(t, decode(t, sig, out)); !bytes.Equal(got, want) {
		t.Fatalf("%s %x\nconditions %v, window %v to %v takes\n%x\nwant\n%x", sig, b, f.Resource, f.From, f.To, got, want)
	}
	if own, err := officialInfo(sig, out); err != nil || own != info {
		t.Fatalf("%s %x: info %+v, official %+v, %v", sig, b, info, own, err)
	}
	whole := encode(t, decode(t, sig, b))
	if bytes.Equal(want, whole) != (len(out) == len(b)) {
		t.Fatalf("%s %x: %d bytes of %d; everything is wanted: %v", sig, b, len(out), len(b), bytes.Equal(want, whole))
	}
	if len(b) > 0 && len(out) == len(b) && &out[0] != &b[0] {
		t.Fatalf("%s %x: everything is taken, and copied", sig, b)
	}
	dst := []byte("before")
	if after, _, err := f.Apply(sig, dst, b); err != nil || string(after) != "before"+string(out) {
		t.Fatalf("%s %x: appended %x, %v, want %x", sig, b, after, err, out)
	}
}

// quarters are four moments that cut the items of b by their time.
func quarters(b []byte, sig Signal) []uint64 {
	var times []uint64
	for it := range Items(sig, b) {
		if ns := it.Time(); ns != 0 {
			times = append(times, ns)
		}
	}
	if len(times) == 0 {
		return []uint64{1}
	}
	slices.Sort(times)
	return []uint64{times[0], times[len(times)/3], times[len(times)/2], times[len(times)-1] + 1}
}

func TestFilterByTime(t *testing.T) {
	for _, sig := range Signals {
		requests := [][]byte{nil, realistic(t, sig, 20)}
		for seed := range uint64(2) {
			requests = append(requests, append(fullRequest(t, sig, seed, 6), "\xf2\x06\x03abc"...))
		}
		for _, b := range requests {
			b = encode(t, decode(t, sig, b)) // so that lengths can be compared
			moments := append(quarters(b, sig), 0)
			for _, from := range moments {
				for _, to := range moments {
					f := &Filter{From: unixNano(from), To: unixNano(to)}
					checkFilter(t, sig, b, f, wanted(t, sig, b, func([]*common.KeyValue) bool { return true }, inWindow(from, to)))
				}
			}
		}
	}
}

func lookupOfficial(attributes []*common.KeyValue, key string) (*common.AnyValue, bool) {
	for _, kv := range attributes {
		if kv.GetKey() == key {
			return kv.GetValue(), true
		}
	}
	return nil, false
}

func TestFilterByResource(t *testing.T) {
	block := func(attributes ...*common.KeyValue) string {
		return lenField(1, lenField(1, pairs(t, attributes...)), lenField(2, lenField(2), lenField(2)))
	}
	shop, cart := block(text("service.name", "shop"), number("pod", 7)), block(text("service.name", "cart"), text("env", "a|b"))
	bare := lenField(1, lenField(2, lenField(2)))
	b := shop + cart + bare + "\x7d\x01\x02\x03\x04"
	for where, want := range map[string]string{
		"service.name=shop":             shop,
		"service.name=shop|cart":        shop + cart,
		"service.name=sho|car":          "",
		"service.name=":                 "",
		"service.name":                  shop + cart,
		"service.name=~sh.*":            shop,
		"service.name=~ho":              "",
		"service.name=~shop|cart":       shop + cart,
		`env=~a\|b`:                     cart,
		"env":                           cart,
		"pod=7":                         shop,
		"pod=~[0-9]":                    shop,
		"service.name;pod":              shop,
		"service.name=cart;pod":         "",
		"service.name=~.*;env=~(?i)A.*": cart,
		"":                              shop + cart + bare,
	} {
		var texts []string
		if where != "" {
			texts = strings.Split(where, ";")
		}
		cs, err := ParseConditions(texts)
		if err != nil {
			t.Fatal(err)
		}
		out, info, err := (&Filter{Resource: cs}).Apply(Traces, nil, []byte(b))
		if want += "\x7d\x01\x02\x03\x04"; err != nil || string(out) != want {
			t.Errorf("%s: %v\n%q\nwant\n%q", where, err, out, want)
		}
		if own, err := officialInfo(Traces, out); err != nil || own != info {
			t.Errorf("%s: info %+v, want %+v", where, info, own)
		}
	}
}

// Both kinds of conditions, on every shape of request.
func TestFilterOfMutatedRequests(t *testing.T) {
	m := mutator{rand.New(rand.NewPCG(20260104, 3))}
	all := seeds(t)
	conditions, err := ParseConditions([]string{"service.name"})
	if err != nil {
		t.Fatal(err)
	}
	cut := 0
	for range mutations / 16 {
		s := all[m.r.IntN(len(all))]
		b := m.structure(schemas[s.sig], m.structure(schemas[s.sig], s.b))
		if _, err := Check(s.sig, b, CheckOptions{RejectUTF8: true}); err != nil {
			continue
		}
		if filterRandomly(t, m.r, s.sig, b, conditions) {
			cut++
		}
	}
	if cut < mutations/160 {
		t.Errorf("%d of %d mutated requests lost something", cut, mutations/16)
	}
}

// filterRandomly checks one request against one window and, half the time, the
// conditions, which ask for service.name. Bytes that a decoder forgets may make
// the lengths differ, so what decoders hold is compared alone.
func filterRandomly(t testing.TB, r *rand.Rand, sig Signal, b []byte, conditions Conditions) (cut bool) {
	t.Helper()
	moments := append(quarters(b, sig), 0)
	from, to := moments[r.IntN(len(moments))], moments[r.IntN(len(moments))]
	f := &Filter{From: unixNano(from), To: unixNano(to)}
	wants := func([]*common.KeyValue) bool { return true }
	if r.IntN(2) == 0 {
		f.Resource = conditions
		wants = func(a []*common.KeyValue) bool { _, ok := lookupOfficial(a, "service.name"); return ok }
	}
	out, info, err := f.Apply(sig, nil, b)
	if err != nil {
		t.Fatalf("%s %x: %v", sig, b, err)
	}
	want := wanted(t, sig, b, wants, inWindow(from, to))
	if got := encode(t, decode(t, sig, out)); !bytes.Equal(got, want) {
		t.Fatalf("%s %x\nfrom %d to %d, %v takes\n%x\nwant\n%x", sig, b, from, to, f.Resource, got, want)
	}
	if own, err := officialInfo(sig, out); err != nil || own != info {
		t.Fatalf("%s %x: info %+v, official %+v, %v", sig, b, info, own, err)
	}
	return len(out) < len(b)
}

func TestFilterRefusesWhatCheckRefuses(t *testing.T) {
	var m *Malformed
	out, _, err := (&Filter{From: time.Unix(1, 0)}).Apply(Logs, []byte("x"), []byte("\x0a\x05"))
	if !errors.As(err, &m) || string(out) != "x" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestFilterAllocatesNothing(t *testing.T) {
	for _, sig := range Signals {
		b := realistic(t, sig, 200)
		cs, err := ParseConditions([]string{"service.name=checkout|cart", "host.name"})
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, 0, len(b))
		for name, f := range map[string]*Filter{
			"resource": {Resource: cs},
			"window":   {From: unixNano(quarters(b, sig)[2])},
			"all":      {},
		} {
			if n := testing.AllocsPerRun(20, func() {
				if _, _, err := f.Apply(sig, dst, b); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s by %s: %v allocations", sig, name, n)
			}
		}
	}
}
