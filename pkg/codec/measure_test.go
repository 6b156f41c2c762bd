package codec

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
)

// Measure and Decode agree.
func TestMeasureIsTheDecodedSize(t *testing.T) {
	for _, name := range []string{None, S2, Zstd, Gzip, Brotli} {
		e, err := NewEncoder(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 1000, 300_000} {
			src, err := e.Append(nil, bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n])
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Measure(name, src, n); err != nil || got != n {
				t.Errorf("%s of %d bytes: measured %d, %v", name, n, got, err)
			}
			if n == 0 {
				continue
			}
			if _, err := Measure(name, src, n-1); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s of %d bytes, one more than the limit: %v", name, n, err)
			}
			if name == None || name == S2 { // headers are all that is read
				continue
			}
			if _, err := Measure(name, src[:len(src)/2], n); !errors.Is(err, ErrCorrupt) {
				t.Errorf("half of %s of %d bytes: %v", name, n, err)
			}
		}
	}
	if _, err := Measure("lzma", nil, 1); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// A bomb has no memory while it is measured.
func TestMeasureTakesNoMemory(t *testing.T) {
	const size = 256 << 20
	bombs := map[string][]byte{}
	for _, name := range []string{Gzip, Brotli} {
		e, err := NewEncoder(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		if bombs[name], err = e.Append(nil, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	bombs[Deflate] = bombs[Gzip][10 : len(bombs[Gzip])-8]
	run := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x58} // no content size, window of 2 MiB
	for i := range size >> 17 {
		last := byte(0)
		if i == size>>17-1 {
			last = 1
		}
		run = append(run, 1<<1|last, 0, 0x10, 0)
	}
	bombs[Zstd] = run
	for name, src := range bombs {
		measure := func() {
			if _, err := Measure(name, src, size-1); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s: %v", name, err)
			}
		}
		measure() // pools are filled
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		measure()
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 40<<20 { // the window of brotli, 16 MiB
			t.Errorf("%s: %d bytes are allocated", name, n)
		}
		if n, err := Measure(name, src, size); err != nil || n != size {
			t.Errorf("%s: %d %v", name, n, err)
		}
	}
	wide := bytes.Clone(run)
	wide[5] = 0x98 // a window of 512 MiB
	if _, err := Measure(Zstd, wide, size); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a wide window: %v", err)
	}
}
