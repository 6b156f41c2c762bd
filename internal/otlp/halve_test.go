package otlp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// checkHalve states what Halve promises, for one request that Check accepts, and
// returns the halves.
func checkHalve(t testing.TB, sig Signal, b []byte) (left, right []byte, ok bool) {
	t.Helper()
	before := bytes.Clone(b)
	want, err := Check(sig, b, CheckOptions{RejectUTF8: true})
	if err != nil {
		t.Fatal(err)
	}
	l, r, ok, err := Halve(sig, b)
	if err != nil {
		t.Fatalf("%s %x: %v", sig, b, err)
	}
	if !bytes.Equal(b, before) {
		t.Fatalf("%s %x: changed by Halve", sig, before)
	}
	if ok != (want.Items > 1) {
		t.Fatalf("%s %x: %d items, halved: %v", sig, b, want.Items, ok)
	}
	if !ok {
		return nil, nil, false
	}
	for _, p := range []Part{l, r} {
		if own, err := officialInfo(sig, p.Bytes); err != nil || own != p.Info {
			t.Fatalf("%s %x: half %x: info %+v, official %+v, %v", sig, b, p.Bytes, p.Info, own, err)
		}
	}
	if l.Info.Items != (want.Items+1)/2 || r.Info.Items != want.Items/2 {
		t.Fatalf("%s %x: %d and %d of %d items", sig, b, l.Info.Items, r.Info.Items, want.Items)
	}
	joined := slices.Concat(l.Bytes, r.Bytes)
	if got, want := flat(t, sig, joined), flat(t, sig, b); !slices.Equal(got, want) {
		t.Fatalf("%s %x: halves\n%x\n%x\nhold\n%q\nwant\n%q", sig, b, l.Bytes, r.Bytes, got, want)
	}
	if !slices.EqualFunc(liveItems(sig, joined), liveItems(sig, b), bytes.Equal) {
		t.Fatalf("%s %x: items do not keep their bytes", sig, b)
	}
	if got, want := unknownOfRequest(t, sig, l.Bytes), unknownOfRequest(t, sig, b); !bytes.Equal(got, want) {
		t.Fatalf("%s %x: unknown fields %x, want %x", sig, b, got, want)
	}
	if len(unknownOfRequest(t, sig, r.Bytes)) > 0 {
		t.Fatalf("%s %x: unknown fields of the request on the right", sig, b)
	}
	if grown, most := len(joined)-len(b), len(b)-itemBytes(sig, b)+32; grown > most {
		t.Fatalf("%s %x: grown by %d bytes, want at most %d", sig, b, grown, most)
	}
	return l.Bytes, r.Bytes, true
}

// liveItems are the items that decoders hold, in their bytes.
func liveItems(sig Signal, b []byte) (items [][]byte) {
	for it := range Items(sig, b) {
		items = append(items, it.raw.value)
	}
	return items
}

func itemBytes(sig Signal, b []byte) (n int) {
	for _, i := range liveItems(sig, b) {
		n += len(i)
	}
	return n
}

func TestHalveDownToSingleItems(t *testing.T) {
	for _, sig := range Signals {
		requests := [][]byte{realistic(t, sig, 37), realistic(t, sig, 1), nil}
		for seed := range uint64(3) {
			b := fullRequest(t, sig, seed, 6)
			requests = append(requests, append(b, "\xf2\x06\x03abc\x28\x05"...))
		}
		for _, b := range requests {
			want := liveItems(sig, b)
			var leaves [][]byte
			var bisect func(b []byte)
			bisect = func(b []byte) {
				left, right, ok := checkHalve(t, sig, b)
				if !ok {
					leaves = append(leaves, liveItems(sig, b)...)
					if n := len(liveItems(sig, b)); n > 1 {
						t.Fatalf("%s %x: a leaf of %d items", sig, b, n)
					}
					return
				}
				bisect(left)
				bisect(right)
			}
			bisect(b)
			if !slices.EqualFunc(leaves, want, bytes.Equal) {
				t.Fatalf("%s %x: leaves hold %x, want %x", sig, b, leaves, want)
			}
		}
	}
}

func TestHalveByHand(t *testing.T) {
	res := lenField(1, lenField(1, lenField(1, "host")))
	scope := lenField(1, lenField(1, "lib"))
	url, odd := lenField(3, "url"), "\x7d\x01\x02\x03\x04"
	s1, s2, s3 := lenField(2, lenField(5, "one")), lenField(2, lenField(5, "two")), lenField(2, lenField(5, "three"))
	empty := lenField(2, lenField(1, lenField(1, "empty")))
	metric := func(parts ...string) string { return lenField(2, lenField(1, "m"), strings.Join(parts, "")) }
	in := func(parts ...string) string { return lenField(1, lenField(2, parts...)) }
	for _, c := range []struct {
		name              string
		sig               Signal
		in                string
		wantLeft, wantRgt string
	}{
		{"between resources", Traces, lenField(1, lenField(2, s1)) + odd + lenField(1, lenField(2, s2)),
			lenField(1, lenField(2, s1)) + odd, lenField(1, lenField(2, s2))},
		{"between scopes", Traces, lenField(1, res, lenField(2, scope, s1), url, lenField(2, s2)),
			lenField(1, res, lenField(2, scope, s1), url), lenField(1, res, url, lenField(2, s2))},
		{"between spans, the odd one left, fields in their order", Traces, lenField(1, res, lenField(2, s1, scope, s2, odd, s3, url), odd),
			lenField(1, res, lenField(2, s1, scope, s2, odd, url), odd), lenField(1, res, lenField(2, scope, odd, s3, url), odd)},
		{"what has no items goes with the one before", Traces, lenField(1, empty, lenField(2, s1), empty, lenField(2, s2), empty),
			lenField(1, empty, lenField(2, s1), empty), lenField(1, lenField(2, s2), empty)},
		{"between points", Metrics, in(metric(lenField(7, data(7, 1, 2, 3)[2:], "\x10\x02"))),
			in(metric(lenField(7, data(7, 1, 2)[2:], "\x10\x02"))), in(metric(lenField(7, data(7, 3)[2:], "\x10\x02")))},
		{"data that is merged", Metrics, in(metric(data(5, 1), data(5, 2))),
			in(metric(data(5, 1), data(5))), in(metric(data(5), data(5, 2)))},
		{"data that is forgotten", Metrics, in(metric(data(5, 1), data(7, 8, 9), data(5, 2, 3))),
			in(metric(data(5, 2))), in(metric(data(5, 3)))},
		{"forgotten data where nothing is cut", Metrics, in(metric(data(5, 1), data(7, 8)), metric(data(5, 2))),
			in(metric(data(5, 1), data(7, 8))), in(metric(data(5, 2)))},
		{"a metric without points", Metrics, in(metric(data(5, 1)), metric(data(5)), metric(), metric(data(5, 2))),
			in(metric(data(5, 1)), metric(data(5)), metric()), in(metric(data(5, 2)))},
	} {
		t.Run(c.name, func(t *testing.T) {
			left, right, ok := checkHalve(t, c.sig, []byte(c.in))
			if !ok || string(left) != c.wantLeft || string(right) != c.wantRgt {
				t.Errorf("halves, %v\n%q\n%q\nwant\n%q\n%q", ok, left, right, c.wantLeft, c.wantRgt)
			}
		})
	}
}

// A cut repeats a resource of 64 KiB once, however many items there are, and each
// single item has it once.
func TestHalveWithAHugeEnvelope(t *testing.T) {
	const items, envelope = 64, 64 << 10
	spans := strings.Repeat(lenField(2, lenField(5, "a")), items)
	b := []byte(lenField(1, lenField(1, lenField(1, lenField(1, strings.Repeat("h", envelope)))), lenField(2, spans)))
	left, right, _ := checkHalve(t, Traces, b)
	if grown := len(left) + len(right) - len(b); grown > envelope+64 {
		t.Errorf("grown by %d bytes, want one envelope of %d", grown, envelope)
	}
	deep := 0
	for ok := true; ok; deep++ {
		b = right
		_, right, ok = checkHalve(t, Traces, b)
	}
	if deep != 6 || len(b) > envelope+64 {
		t.Errorf("%d bytes with one item after %d halvings", len(b), deep)
	}
}

func TestHalveRefusesWhatCheckRefuses(t *testing.T) {
	var m *Malformed
	for _, bad := range []string{"\x0a\x05", lenField(1, lenField(3, "\xff"))} {
		if l, r, ok, err := Halve(Logs, []byte(bad)); !errors.As(err, &m) || ok || l.Bytes != nil || r.Bytes != nil {
			t.Errorf("%q: %v %v", bad, ok, err)
		}
	}
}

func TestHalveOfMutatedRequests(t *testing.T) {
	m := mutator{rand.New(rand.NewPCG(20260103, 2))}
	all := seeds(t)
	halved := 0
	for range mutations / 16 {
		s := all[m.r.IntN(len(all))]
		b := m.structure(schemas[s.sig], m.structure(schemas[s.sig], s.b))
		if _, err := Check(s.sig, b, CheckOptions{RejectUTF8: true}); err != nil {
			continue
		}
		if _, right, ok := checkHalve(t, s.sig, b); ok {
			halved++
			checkHalve(t, s.sig, right)
		}
	}
	if halved < mutations/200 {
		t.Errorf("%d of %d mutated requests were halved", halved, mutations/16)
	}
}
