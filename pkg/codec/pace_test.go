package codec

import (
	"bytes"
	"compress/zlib"
	"errors"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// paced are data that is unpacked piece by piece.
func paced(t *testing.T, raw []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, name := range []string{Gzip, Brotli, SnappyFramed} {
		e, err := NewEncoder(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		if out[name], err = e.Append(nil, raw); err != nil {
			t.Fatal(err)
		}
	}
	var z, s bytes.Buffer
	zw := zlib.NewWriter(&z)
	sw, err := zstd.NewWriter(&s)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []func() error{
		func() error { _, err := zw.Write(raw); return err }, zw.Close,
		func() error { _, err := sw.Write(raw); return err }, sw.Close, // a stream does not say its size
	} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	out[Deflate], out[Zstd] = z.Bytes(), s.Bytes()
	return out
}

func TestPace(t *testing.T) {
	raw := bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16)
	halt := errors.New("halt")
	for name, src := range paced(t, raw) {
		for what, work := range map[string]func(Pace) (int, error){
			"Measure": func(p Pace) (int, error) { return MeasurePaced(name, src, 2<<20, p) },
			"Decode": func(p Pace) (int, error) {
				dst, err := DecodePaced([]byte("kept"), name, src, 2<<20, p)
				if string(dst[:4]) != "kept" || err != nil && len(dst) != 4 || err == nil && !bytes.Equal(dst[4:], raw) {
					t.Errorf("%s: Decode returned %d bytes, %v", name, len(dst), err)
				}
				return len(dst) - 4, err
			},
		} {
			if name == SnappyFramed && what == "Measure" || name == Zstd && what == "Decode" {
				continue // at once
			}
			calls, before := 0, 0
			n, err := work(func(in, out int) error {
				calls++
				if in <= 0 || in > len(src) || out-before > breath {
					t.Errorf("%s %s: %d bytes of %d make %d, it was %d before", name, what, in, len(src), out, before)
				}
				before = out
				return nil
			})
			if n != len(raw) || err != nil || calls < len(raw)/breath-1 {
				t.Errorf("%s %s: %d, %v after %d pieces", name, what, n, err, calls)
			}
			calls = 0
			_, err = work(func(int, int) error {
				if calls++; calls >= 3 {
					return halt
				}
				return nil
			})
			if !errors.Is(err, halt) || errors.Is(err, ErrCorrupt) || calls != 3 {
				t.Errorf("%s %s: %v after %d pieces, want to be halted at the third", name, what, err, calls)
			}
			if n, err := work(nil); n != len(raw) || err != nil {
				t.Errorf("%s %s, when it was halted before: %d, %v", name, what, n, err)
			}
		}
	}
}
