package codec

import (
	"errors"
	"strings"
	"testing"
)

func FuzzDecode(f *testing.F) {
	for name, enc := range everyFormat(f, payload(1<<10, 20)[:3<<10]) {
		codecName, _, _ := strings.Cut(name, " ")
		f.Add(codecName, enc, uint16(60000))
	}
	for what, bomb := range claims() {
		codecName, _, _ := strings.Cut(what, " ")
		f.Add(codecName, bomb, uint16(1000))
	}
	f.Fuzz(func(t *testing.T, name string, src []byte, limit uint16) {
		declared := DeclaredSize(name, src)
		out, err := Decode([]byte("head"), name, src, int(limit))
		most := MaxDecodedLen(name, src)
		switch {
		case err == nil && most >= 0 && most < len(out)-4:
			t.Errorf("%s holds at most %d bytes and has %d", name, most, len(out)-4)
		case err == nil && len(out) > 4+int(limit):
			t.Errorf("%s: %d bytes, limit %d", name, len(out)-4, limit)
		case err == nil && string(out[:4]) != "head":
			t.Error("dst changed")
		case err == nil && declared >= 0 && declared < len(out)-4 && !strings.HasSuffix(strings.ToLower(name), Gzip):
			t.Errorf("%s declares %d bytes and has %d", name, declared, len(out)-4)
		case err != nil && string(out) != "head":
			t.Errorf("%s: dst has %d bytes after %v", name, len(out), err)
		case err != nil && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnknown):
			t.Errorf("%s: an error of no kind: %v", name, err)
		}
	})
}

// FuzzMeasure: what Decode yields has the measured size, and what is measured as
// too large is.
func FuzzMeasure(f *testing.F) {
	names := []string{None, S2, Zstd, Gzip, Brotli, Deflate, Snappy, SnappyFramed}
	for i, name := range names {
		for _, size := range []int{0, 10, 5000} {
			if e, err := NewEncoder(name, 0); err == nil {
				src, err := e.Append(nil, make([]byte, size))
				if err != nil {
					f.Fatal(err)
				}
				f.Add(uint8(i), src)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, src []byte) {
		const limit = 4096
		name := names[int(which)%len(names)]
		n, err := Measure(name, src, limit)
		out, wrong := Decode(nil, name, src, limit)
		switch {
		case wrong == nil && err == nil && n != len(out):
			t.Errorf("%s: measured %d, decoded %d", name, n, len(out))
		case wrong == nil && errors.Is(err, ErrTooLarge):
			t.Errorf("%s: too large when measured (%v), %d bytes when decoded", name, err, len(out))
		case wrong == nil && err != nil && name != Zstd: // of zstd a wide window is enough
			t.Errorf("%s: %v when measured, %d bytes when decoded", name, err, len(out))
		case n > limit:
			t.Errorf("%s: measured %d, beyond the limit", name, n)
		}
	})
}
