package otlp

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// The first byte of an input chooses the signal. Run one at a time:
//
//	go test -run '^$' -fuzz '^FuzzCheck$' -fuzztime 60s -parallel 1 ./internal/otlp

func addSeeds(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(byte(s.sig), s.b)
	}
}

func FuzzCheck(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, sig byte, b []byte) {
		differ(t, Signal(sig%NumSignals), b)
	})
}

func FuzzSplit(f *testing.F) {
	for i, s := range seeds(f) {
		f.Add(byte(s.sig), uint16(i*37), s.b)
	}
	f.Fuzz(func(t *testing.T, sig byte, max uint16, b []byte) {
		s := Signal(sig % NumSignals)
		own := bytes.Clone(b)
		if _, err := Check(s, own, CheckOptions{}); err == nil { // repaired
			checkSplit(t, s, own, int(max))
		}
	})
}

// FuzzCuts holds Halve, Filter, the looking into requests and the adding of an
// attribute against the official types.
func FuzzCuts(f *testing.F) {
	for i, s := range seeds(f) {
		f.Add(byte(s.sig), uint64(i*37), s.b)
	}
	conditions, err := ParseConditions([]string{"service.name"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, sig byte, seed uint64, b []byte) {
		s := Signal(sig % NumSignals)
		own := bytes.Clone(b)
		if _, err := Check(s, own, CheckOptions{}); err != nil { // repaired
			return
		}
		r := rand.New(rand.NewPCG(seed, 1))
		checkHalve(t, s, own)
		filterRandomly(t, r, s, own, conditions)
		checkLooking(t, s, own)
		checkAdd(t, s, own, texts[r.IntN(len(texts))], texts[r.IntN(len(texts))])
	})
}

func FuzzCondition(f *testing.F) {
	for _, text := range []string{"a", "a=b", "a=b|c", "a=~b.*", "a!=b", "=", "a=~("} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCondition(text)
		if err != nil {
			return
		}
		if again, err := ParseCondition(c.String()); err != nil || again.Key() != c.Key() || c.Key() == "" {
			t.Fatalf("%q: %q, %v", text, again.Key(), err)
		}
		c.Match(Attributes{})
	})
}

func FuzzJSON(f *testing.F) {
	for _, sig := range Signals {
		for _, b := range [][]byte{realistic(f, sig, 1), fullRequest(f, sig, 1, 6)} {
			j, err := AppendJSONFromProto(nil, sig, b)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(sig), j)
		}
	}
	f.Add(byte(Traces), []byte(nestedJSON(50)))
	f.Add(byte(Traces), []byte(inSpan(`"name":"\ud800","traceId":"0102030405060708090A0b0C0d0E0fFf","attributes":[{"key":"k","value":{"bytesValue":"AQI="}}]`)))
	f.Fuzz(func(t *testing.T, sig byte, in []byte) {
		checkJSON(t, Signal(sig%NumSignals), in)
	})
}
