package codec

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestRoundTripAtEveryLevel(t *testing.T) {
	inputs := map[string][]byte{
		"empty":    {},
		"one byte": {7},
		"zeros":    make([]byte, 150<<10),
		"noise":    noise(70<<10, 1),
		"otlp":     payload(40<<10, 1),
		"64 KiB":   payload(64<<10, 2)[:64<<10],
	}
	for _, name := range written {
		for level := 0; level <= levels[name]; level++ {
			e, err := NewEncoder(name, level)
			if err != nil {
				t.Fatal(err)
			}
			for what, in := range inputs {
				t.Run(fmt.Sprintf("%s %d %s", name, level, what), func(t *testing.T) {
					enc, err := e.Append([]byte("before"), in)
					if err != nil {
						t.Fatal(err)
					}
					if got, most := len(enc)-6, MaxEncodedLen(name, len(in)); got > most {
						t.Errorf("%d bytes became %d, MaxEncodedLen says %d", len(in), got, most)
					}
					if string(enc[:6]) != "before" || e.Name() != name {
						t.Error("Append changed what was in dst, or its name")
					}
					for _, dst := range [][]byte{nil, []byte("head"), make([]byte, 4, 4+len(in)), make([]byte, 4, 4+2*len(in)+100)} {
						n := copy(dst, "head")
						out, err := Decode(dst, name, enc[6:], len(in))
						if err != nil {
							t.Fatal(err)
						}
						if string(out[:n]) != "head"[:n] || !bytes.Equal(out[n:], in) {
							t.Error("decoded data differs")
						}
					}
				})
			}
		}
	}
}

func TestLimitIsExact(t *testing.T) {
	in := payload(100<<10, 3)
	for name, enc := range everyFormat(t, in) {
		codecName, _, _ := strings.Cut(name, " ")
		for _, limit := range []int{len(in) - 1, 1, 0, -1} {
			dst := []byte("head")
			out, err := Decode(dst, codecName, enc, limit)
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s with limit %d of %d: got %v, want ErrTooLarge", name, limit, len(in), err)
			}
			if string(out) != "head" {
				t.Errorf("%s: dst has %d bytes after an error, want it as it was", name, len(out))
			}
		}
		if _, err := Decode(nil, codecName, enc, len(in)); err != nil {
			t.Errorf("%s with limit %d, its size: %v", name, len(in), err)
		}
	}
}

func TestDeclaredSize(t *testing.T) {
	in := payload(200<<10, 4)
	want := func(name string, enc []byte, want int) {
		t.Helper()
		if got := DeclaredSize(name, enc); got != want {
			t.Errorf("DeclaredSize(%s) = %d, want %d", name, got, want)
		}
	}
	for name, enc := range everyFormat(t, in) {
		codecName, _, _ := strings.Cut(name, " ")
		switch {
		case name == "zstd streamed":
			want(codecName, enc, -1)
			if got := MaxDecodedLen(codecName, enc); got < len(in) || got > len(in)+128<<10 {
				t.Errorf("MaxDecodedLen(%s) = %d, want up to 128 KiB over %d", name, got, len(in))
			}
		case name == "gzip members":
			want(codecName, enc, len(in)-len(in)/2)
		case codecName == Brotli || codecName == Deflate:
			want(codecName, enc, -1)
		default:
			want(codecName, enc, len(in))
		}
		switch got := MaxDecodedLen(codecName, enc); codecName {
		case Gzip, Deflate, Brotli:
			if got != -1 {
				t.Errorf("MaxDecodedLen(%s) = %d, want -1: it is not bounded", name, got)
			}
		default:
			if got < len(in) {
				t.Errorf("MaxDecodedLen(%s) = %d, and it holds %d", name, got, len(in))
			}
		}
	}
	want("lz4", in, -1)
	if MaxDecodedLen("lz4", in) != -1 || MaxDecodedLen(Zstd, in) != -1 {
		t.Error("MaxDecodedLen bounds what it cannot read")
	}
	for _, name := range []string{S2, Zstd, Gzip} {
		want(name, nil, -1)
	}
	want(Snappy, []byte{0xff}, -1)
	want(SnappyFramed, []byte{1, 2}, -1)
	want(SnappyFramed, append(slices.Clone(snappyStreamID), 1), -1)
}

func TestCanonical(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		got, ok := Canonical(name)
		if got != want || ok != (want != "") || ok != Known(name) {
			t.Errorf("Canonical(%q) = %q, %v; want %q", name, got, ok, want)
		}
	}
	f("", None)
	f("identity", None)
	f("Identity", None)
	f("none", None)
	f("GZIP", Gzip)
	f("x-gzip", Gzip)
	f("brotli", Brotli)
	f("br", Brotli)
	f("zstd", Zstd)
	f("s2", S2)
	f("deflate", Deflate)
	f("snappy", Snappy)
	f("X-Snappy-Framed", SnappyFramed)
	f("lz4", "")
	f("gzip, br", "")
	for _, name := range ContentEncodings() {
		if !Known(name) {
			t.Errorf("offers %q and does not know it", name)
		}
	}
}

func TestNewEncoderSaysWhatIsAllowed(t *testing.T) {
	f := func(name string, level int, want string) {
		t.Helper()
		if _, err := NewEncoder(name, level); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewEncoder(%q, %d): %v, want an error with %q", name, level, err, want)
		}
	}
	f("lz4", 1, `unknown compression "lz4": can compress with none, s2, zstd, gzip or br`)
	f("deflate", 0, "can compress with")
	f("none", 1, "compression none at level 1: it has no levels")
	f("s2", 3, "compression s2 at level 3: want 1 to 2, or 0 for the default")
	f("zstd", -1, "zstd at level -1: want 1 to 9")
	f("brotli", 10, "br at level 10: want 1 to 9")
	if e, err := NewEncoder("brotli", 4); err != nil || e.Name() != Brotli {
		t.Errorf("NewEncoder(brotli): %v, %v", e, err)
	}
	if _, err := Decode(nil, "lz4", nil, 1); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), `"lz4"`) {
		t.Errorf("Decode(lz4): %v", err)
	}
	if got := MaxEncodedLen("deflate", 1); got != -1 {
		t.Errorf("MaxEncodedLen(deflate) = %d, want -1: it cannot be written", got)
	}
}

func TestPolicy(t *testing.T) {
	f := func(name string, level, minBytes int, src []byte, want string) {
		t.Helper()
		p, err := NewPolicy(name, level, minBytes)
		if err != nil {
			t.Fatal(err)
		}
		out, got, err := p.Append([]byte("head"), src)
		if err != nil || got != want {
			t.Fatalf("%s, minimum %d, %d bytes: codec %q, %v; want %q", name, minBytes, len(src), got, err, want)
		}
		if back, err := Decode(nil, got, out[4:], len(src)); err != nil || !bytes.Equal(back, src) || string(out[:4]) != "head" {
			t.Fatalf("%s: does not come back: %v", name, err)
		}
		if most := p.MaxEncodedLen(len(src)); len(out)-4 > most {
			t.Errorf("%s: %d bytes, MaxEncodedLen says %d", name, len(out)-4, most)
		}
		if p.Name() != name {
			t.Errorf("Name() = %q, want %q", p.Name(), name)
		}
	}
	text := payload(8<<10, 5)
	for _, name := range []string{S2, Zstd, Gzip, Brotli} {
		f(name, 0, 0, text, name)
		f(name, 1, 0, text[:DefaultMinBytes-1], None)
		f(name, 1, 0, make([]byte, DefaultMinBytes), name)
		f(name, 1, len(text)+1, text, None)
		f(name, 1, 1, make([]byte, 100), name)
		f(name, 1, 1, []byte("x"), None) // grows
		f(name, 1, 0, noise(64<<10, 3), None)
		f(name, 1, -1, nil, None)
	}
	f(None, 0, 0, text, None)
	if _, err := NewPolicy("zip", 0, 0); !errors.Is(err, ErrUnknown) {
		t.Errorf("NewPolicy(zip): %v", err)
	}
}

func TestChecksum(t *testing.T) {
	// The check value of CRC-32C in the catalogue of parametrised CRC algorithms.
	if got := Checksum([]byte("123456789")); got != 0xe3069283 {
		t.Errorf("Checksum = %#x, want 0xe3069283", got)
	}
}
