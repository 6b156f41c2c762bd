package otlp

import (
	"bytes"
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
