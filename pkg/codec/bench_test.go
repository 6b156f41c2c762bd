package codec

import (
	"fmt"
	"testing"
)

// benchPayload is a group commit: 3.5 MiB.
var benchPayload = payload(3500<<10, 1)

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: counted without it")
		return
	}
	src := benchPayload[:256<<10]
	f := func(name string, enc []byte) {
		t.Helper()
		dst := make([]byte, 0, len(src)+1<<10)
		if n := testing.AllocsPerRun(20, func() {
			if _, err := Decode(dst, name, enc, len(src)); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("Decode %s: %v allocations, want none", name, n)
		}
	}
	for _, name := range []string{None, S2, Zstd, SnappyFramed} {
		e, err := NewEncoder(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, 0, MaxEncodedLen(name, len(src)))
		for range 50 { // encoder states, one a core, grow to their size
			if _, err := e.Append(dst, src); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(20, func() {
			if _, err := e.Append(dst, src); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("Append %s: %v allocations, want none", name, n)
		}
		f(name, encode(t, name, 0, src))
	}
	f(Snappy, everyFormat(t, src)["snappy block"])
	p, err := NewPolicy(S2, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, p.MaxEncodedLen(len(src)))
	if n := testing.AllocsPerRun(20, func() {
		if _, _, err := p.Append(dst, src); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Policy.Append: %v allocations, want none", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, name := range written {
		for _, level := range []int{1, 2, 3, 6, 9} {
			if level > max(levels[name], 1) {
				continue
			}
			b.Run(fmt.Sprintf("%s-%d", name, level), func(b *testing.B) {
				e, err := NewEncoder(name, min(level, levels[name]))
				if err != nil {
					b.Fatal(err)
				}
				dst := make([]byte, 0, MaxEncodedLen(name, len(benchPayload)))
				b.SetBytes(int64(len(benchPayload)))
				b.ReportAllocs()
				var out []byte
				for b.Loop() {
					if out, err = e.Append(dst, benchPayload); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(100-100*float64(len(out))/float64(len(benchPayload)), "%saved")
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"none", "s2", "zstd", "zstd streamed", "gzip", "br", "deflate zlib", "snappy block", "x-snappy-framed"} {
		b.Run(name, func(b *testing.B) {
			enc := everyFormat(b, benchPayload)[name]
			var codecName string
			fmt.Sscan(name, &codecName)
			dst := make([]byte, 0, len(benchPayload)+1<<10)
			b.SetBytes(int64(len(benchPayload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(dst, codecName, enc, len(benchPayload)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkChecksum(b *testing.B) {
	b.SetBytes(int64(len(benchPayload)))
	for b.Loop() {
		Checksum(benchPayload)
	}
}
