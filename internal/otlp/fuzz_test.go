package otlp

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
	"unicode/utf8"
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

// FuzzResponse reads what a server may answer: never more than the bounds, and what
// Penstock itself would answer reads back.
func FuzzResponse(f *testing.F) {
	for _, sig := range Signals {
		f.Add(AppendResponse(nil, sig, 3, "some"), false)
		f.Add(AppendResponseJSON(nil, sig, 3, "some"), true)
	}
	f.Add([]byte(`{"partialSuccess":{"rejectedSpans":1e3,"errorMessage":"\ud800"}}`), true)
	f.Add([]byte{0x0a, 0x02, 0x08, 0xff, 0x0a, 0x02, 0x10, 0x01}, false)
	f.Fuzz(func(t *testing.T, b []byte, isJSON bool) {
		parse, answer := ParseResponse, AppendResponse
		if isJSON {
			parse, answer = ParseResponseJSON, AppendResponseJSON
		}
		rejected, message, err := parse(b)
		if rejected < 0 || len(message) > maxMessage || !utf8.ValidString(message) || err != nil && (rejected != 0 || message != "") {
			t.Fatalf("%d, %q, %v", rejected, message, err)
		}
		if err != nil {
			return
		}
		again, text, err := parse(answer(nil, Traces, rejected, message))
		if again != rejected || text != message || err != nil {
			t.Fatalf("%d %q reads back as %d %q, %v", rejected, message, again, text, err)
		}
	})
}

// FuzzRetryAfter: whatever a server asks for, the wait is within its bounds.
func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, text := range []string{"", "5", " 7 ", "-1", "99999999999999999999", "Fri, 02 Jan 2026 03:04:35 GMT", "Friday, 02-Jan-26 03:04:35 GMT", "soon"} {
		f.Add(503, text)
	}
	f.Fuzz(func(t *testing.T, code int, text string) {
		verdict, wait := JudgeHTTP(code, http.Header{"Retry-After": {text}}, now)
		if wait < 0 || wait > maxRetryAfter || wait > 0 && verdict != Retry {
			t.Errorf("%d %q: %s, %s", code, text, verdict, wait)
		}
	})
}
