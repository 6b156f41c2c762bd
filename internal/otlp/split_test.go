package otlp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// parts collects what Split yields, as copies.
func parts(t testing.TB, sig Signal, b []byte, max int) (all [][]byte, infos []Info) {
	t.Helper()
	err := Split(sig, b, max, func(part []byte, info Info) error {
		all, infos = append(all, bytes.Clone(part)), append(infos, info)
		return nil
	})
	if err != nil {
		t.Fatalf("%s, max %d, %x: %v", sig, max, b, err)
	}
	return all, infos
}

// flat is the telemetry of a decoded request as a list: each item, each empty
// scope, each empty resource, with all that surrounds it.
func flat(t testing.TB, sig Signal, b []byte) (list []string) {
	flatten(t, decode(t, sig, b).ProtoReflect(), [NumSignals][]string{
		Traces:  {"resource_spans", "scope_spans", "spans"},
		Metrics: {"resource_metrics", "scope_metrics", "metrics", "data", "data_points"},
		Logs:    {"resource_logs", "scope_logs", "log_records"},
	}[sig], "", &list)
	return list
}

func flatten(t testing.TB, m protoreflect.Message, path []string, around string, list *[]string) {
	if len(path) == 0 {
		*list = append(*list, around+string(encode(t, m.Interface())))
		return
	}
	f := m.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	if path[0] == "data" {
		if f = m.WhichOneof(m.Descriptor().Oneofs().ByName("data")); f == nil {
			*list = append(*list, around+string(encode(t, m.Interface())))
			return
		}
	}
	envelope := proto.Clone(m.Interface()).ProtoReflect()
	envelope.Clear(f)
	if !strings.HasPrefix(string(m.Descriptor().Name()), "Export") { // unknown fields of the request are not repeated
		around += fmt.Sprintf("%s %x / ", f.Name(), encode(t, envelope.Interface()))
	}
	switch {
	case !m.Has(f):
		*list = append(*list, around)
	case !f.IsList():
		flatten(t, m.Get(f).Message(), path[1:], around, list)
	default:
		l := m.Get(f).List()
		for i := range l.Len() {
			flatten(t, l.Get(i).Message(), path[1:], around, list)
		}
	}
}

// checkSplit states what Split promises, for one request that Check accepts.
func checkSplit(t testing.TB, sig Signal, b []byte, max int) (n int) {
	t.Helper()
	want, err := Check(sig, b, CheckOptions{RejectUTF8: true})
	if err != nil {
		t.Fatal(err)
	}
	all, infos := parts(t, sig, b, max)
	var got Info
	for i, part := range all {
		info := infos[i]
		if own, err := officialInfo(sig, part); err != nil || own != info {
			t.Fatalf("%s, max %d, part %d of %x: info %+v, official %+v, %v", sig, max, i, b, info, own, err)
		}
		if len(part) > max {
			if !alone(sig, part) {
				t.Fatalf("%s, max %d, part %d of %x: %d bytes, and could be cut: %x", sig, max, i, b, len(part), part)
			}
		}
		got.Items += info.Items
		if info.MinTime != 0 && (got.MinTime == 0 || info.MinTime < got.MinTime) {
			got.MinTime = info.MinTime
		}
		if info.MaxTime > got.MaxTime {
			got.MaxTime = info.MaxTime
		}
	}
	if got != want {
		t.Fatalf("%s, max %d, %x: parts hold %+v, want %+v", sig, max, b, got, want)
	}
	joined := bytes.Join(all, nil)
	if got, want := flat(t, sig, joined), flat(t, sig, b); !slices.Equal(got, want) {
		t.Fatalf("%s, max %d, %x: parts hold\n%q\nwant\n%q", sig, max, b, got, want)
	}
	if !slices.EqualFunc(rawItems(sig, joined), rawItems(sig, b), bytes.Equal) {
		t.Fatalf("%s, max %d, %x: items do not keep their bytes", sig, max, b)
	}
	if got, want := unknownOfRequest(t, sig, joined), unknownOfRequest(t, sig, b); !bytes.Equal(got, want) {
		t.Fatalf("%s, max %d, %x: unknown fields %x, want %x", sig, max, b, got, want)
	}
	return len(all)
}

// alone tells whether there is nothing in the part to cut between.
func alone(sig Signal, part []byte) bool {
	for level, c := range cuts[sig] {
		var children [][]byte
		for f := range fields(part) {
			if f.in(c) {
				children = append(children, f.value)
			} else if level == 0 {
				return len(f.raw) == len(part)
			}
		}
		if n := len(children); n != 1 {
			return n == 0 || sig == Metrics && level == dataLevel
		}
		part = children[0]
	}
	return true
}

func unknownOfRequest(t testing.TB, sig Signal, b []byte) []byte {
	return decode(t, sig, b).ProtoReflect().GetUnknown()
}

// rawItems are the items in their bytes.
func rawItems(sig Signal, b []byte) [][]byte {
	level := [][]byte{b}
	for _, c := range cuts[sig] {
		var next [][]byte
		for _, m := range level {
			for f := range fields(m) {
				if f.in(c) {
					next = append(next, f.value)
				}
			}
		}
		level = next
	}
	return level
}

func TestSplitKeepsEverything(t *testing.T) {
	for _, sig := range Signals {
		for seed := range uint64(4) {
			b := fullRequest(t, sig, seed, 6)
			b = append(b, "\xf2\x06\x03abc\x28\x05"...) // unknown fields
			for _, max := range []int{-1, 0, 1, len(b) / 50, len(b) / 7, len(b) / 3, len(b) - 1, len(b), len(b) + 1} {
				n := checkSplit(t, sig, b, max)
				if (n == 1) != (max >= len(b)) {
					t.Errorf("%s seed %d, max %d of %d: %d parts", sig, seed, max, len(b), n)
				}
			}
		}
	}
}

// Parts are full: two neighbours never fit into one, but at the edges of what
// was cut.
func TestSplitFillsParts(t *testing.T) {
	for _, sig := range Signals {
		b := realistic(t, sig, 1000)
		const limit = 20_000
		all, _ := parts(t, sig, b, limit)
		if want := len(b)/limit + 3; len(all) > want {
			if sig != Metrics { // where each part also repeats the metric
				t.Errorf("%s: %d parts of %d bytes, want at most %d", sig, len(all), len(b), want)
			}
		}
		for i, p := range all[:len(all)-1] {
			if len(p) < limit*8/10 {
				t.Errorf("%s: part %d has %d bytes of %d", sig, i, len(p), limit)
			}
		}
		checkSplit(t, sig, b, limit)
	}
}

func TestSplitByHand(t *testing.T) {
	res := lenField(1, lenField(1, lenField(1, "host")))
	scope := lenField(1, lenField(1, "lib"))
	url, odd := lenField(3, "url"), "\x7d\x01\x02\x03\x04"
	s1, s2, s3 := lenField(2, lenField(5, "one")), lenField(2, lenField(5, "two")), lenField(2, lenField(5, "three"))
	tags := func(parts ...string) string { return strings.Join(parts, "") }
	gauge := func(points ...uint64) string { return data(5, points...) }
	for _, c := range []struct {
		name string
		sig  Signal
		in   string
		max  int
		want []string
	}{
		{"fits", Traces, tags(lenField(1, res), odd), 100, []string{tags(lenField(1, res), odd)}},
		{"empty", Traces, "", 0, []string{""}},
		{"between resources", Traces, tags(lenField(1, s1), lenField(1, s2), lenField(1, s3)), 18,
			[]string{tags(lenField(1, s1), lenField(1, s2)), lenField(1, s3)}},
		{"unknown fields of the request go first", Traces, tags(lenField(1, res, lenField(2, s1)), odd), 25,
			[]string{odd, lenField(1, res, lenField(2, s1))}},
		{"between scopes", Traces, lenField(1, res, lenField(2, scope, s1), url, lenField(2, scope, s2)), 35,
			[]string{lenField(1, res, url, lenField(2, scope, s1)), lenField(1, res, url, lenField(2, scope, s2))}},
		{"between spans, envelope kept with its unknown fields", Traces, lenField(1, res, lenField(2, s1, scope, s2, odd, url, s3), odd), 49,
			[]string{lenField(1, res, odd, lenField(2, scope, odd, url, s1)), lenField(1, res, odd, lenField(2, scope, odd, url, s2)), lenField(1, res, odd, lenField(2, scope, odd, url, s3))}},
		{"a resource without scopes cannot be cut", Traces, tags(lenField(1, res, url), lenField(1, s1)), 5,
			[]string{lenField(1, res, url), lenField(1, s1)}},
		{"an item too large is alone", Traces, lenField(1, lenField(2, s1, lenField(2, lenField(3, strings.Repeat("x", 50))), s2)), 20,
			[]string{lenField(1, lenField(2, s1)), lenField(1, lenField(2, lenField(2, lenField(3, strings.Repeat("x", 50))))), lenField(1, lenField(2, s2))}},
		{"between points", Metrics, lenField(1, lenField(2, lenField(2, lenField(1, "m"), lenField(7, data(7, 1, 2)[2:], "\x10\x02")))), 26,
			[]string{
				lenField(1, lenField(2, lenField(2, lenField(1, "m"), lenField(7, "\x10\x02", lenField(1, fixedField(3, 1)))))),
				lenField(1, lenField(2, lenField(2, lenField(1, "m"), lenField(7, "\x10\x02", lenField(1, fixedField(3, 2))))))}},
		{"a metric with its data twice cannot be cut", Metrics, lenField(1, lenField(2, lenField(2, gauge(1), gauge(2)), lenField(2, gauge(3)))), 20,
			[]string{lenField(1, lenField(2, lenField(2, gauge(1), gauge(2)))), lenField(1, lenField(2, lenField(2, gauge(3))))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkSplit(t, c.sig, []byte(c.in), c.max)
			all, _ := parts(t, c.sig, []byte(c.in), c.max)
			var got []string
			for _, p := range all {
				got = append(got, string(p))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("\n%q\nwant\n%q", got, c.want)
			}
		})
	}
}

// Lengths that grow by a byte when the part is filled must not push it over.
func TestSplitIsExactAtEveryLimit(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		b.WriteString(lenField(2, lenField(5, strings.Repeat("n", i))))
	}
	in := []byte(lenField(1, lenField(1, lenField(1)), lenField(2, lenField(1, lenField(1, "lib")), b.String())))
	for max := range len(in) + 1 {
		checkSplit(t, Traces, in, max)
	}
}

func TestSplitRefusesToGrowWithoutBound(t *testing.T) {
	const points = 5000
	envelope := lenField(1, lenField(1, lenField(1, strings.Repeat("h", 1<<20))))
	in := []byte(lenField(1, envelope, lenField(2, strings.Repeat(lenField(2, lenField(5, "a")), points))))
	called := false
	err := Split(Traces, in, 1<<20+64, func([]byte, Info) error { called = true; return nil })
	var r *Refusal
	if !errors.As(err, &r) || r.Reason != ReasonTooLarge || called {
		t.Errorf("%v; yielded: %v", err, called)
	}
}

func TestSplitPassesErrorsOn(t *testing.T) {
	stop := errors.New("stop")
	in := []byte(lenField(1, lenField(2, lenField(2), lenField(2))))
	for _, max := range []int{1, 1000} {
		calls := 0
		if err := Split(Logs, in, max, func([]byte, Info) error { calls++; return stop }); err != stop || calls != 1 {
			t.Errorf("max %d: %v after %d calls", max, err, calls)
		}
	}
	for at := range 4 { // at each level
		in := []byte(lenField(99, "x") + lenField(1, lenField(2, lenField(2), lenField(2))) + lenField(1, lenField(2, lenField(2))))
		calls := 0
		err := Split(Logs, in, 1, func([]byte, Info) error {
			if calls++; calls > at {
				return stop
			}
			return nil
		})
		if err != stop || calls != at+1 {
			t.Errorf("%v after %d calls, want %d", err, calls, at+1)
		}
	}
	var m *Malformed
	for _, bad := range []string{"\x0a\x05", lenField(1, lenField(3, "\xff"))} {
		if err := Split(Logs, []byte(bad), 1, func([]byte, Info) error { return nil }); !errors.As(err, &m) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// The fields of bytes that nobody checked end where they are not whole.
func TestFieldsOfBrokenBytes(t *testing.T) {
	for in, want := range map[string]int{"\x0a\x01a\x8a": 1, "\x0a\x01a\x0a\x05": 1, "\x08\x01\x0b": 1, "\x08\x01\x0e": 1, "": 0} {
		n := 0
		for range fields([]byte(in)) {
			n++
		}
		if n != want {
			t.Errorf("%q: %d fields, want %d", in, n, want)
		}
	}
}
