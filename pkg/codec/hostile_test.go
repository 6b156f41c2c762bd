package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// Where a format may end early and still be whole (between gzip members, zstd
// frames, snappy chunks) nothing can tell; formats in one piece are tested.
func TestTruncationAtEveryByte(t *testing.T) {
	in := payload(1<<10, 11)[:2<<10]
	for name, enc := range everyFormat(t, in) {
		codecName, word, _ := strings.Cut(name, " ")
		if codecName == None || codecName == "identity" {
			continue
		}
		for n := range enc {
			if n == 0 && (codecName == Snappy || codecName == SnappyFramed) {
				continue // no bytes are no data, see isSnappyFramed
			}
			out, err := Decode(nil, codecName, enc[:n], 1<<20)
			if err == nil && (word == "members" || word == "frames" || strings.HasPrefix(name, "x-snappy") || word == "framed") && len(out) < len(in) {
				continue // a whole stream in itself
			}
			if err == nil && word == "frames" && n >= len(enc)-len(skippable) {
				continue // the last frame holds nothing
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s cut to %d of %d bytes: %d bytes, %v; want ErrCorrupt", name, n, len(enc), len(out), err)
			}
		}
	}
}

func TestTrailingBytes(t *testing.T) {
	in := payload(40<<10, 12)
	for name, enc := range everyFormat(t, in) {
		codecName, _, _ := strings.Cut(name, " ")
		if codecName == None || codecName == "identity" {
			continue
		}
		for _, tail := range []string{"\x00", "x", "xy", "xyz", "trailing garbage", strings.Repeat("\x00", 512), strings.Repeat("z", 80<<10)} {
			out, err := Decode([]byte("head"), codecName, slices.Concat(enc, []byte(tail)), 1<<20)
			if !errors.Is(err, ErrCorrupt) || string(out) != "head" {
				t.Errorf("%s and %d more bytes: %d bytes, %v; want ErrCorrupt", name, len(tail), len(out), err)
			}
		}
	}
}

// A flipped bit never gives other data where the format has a checksum, and
// never breaks anything.
func TestDamage(t *testing.T) {
	in := payload(1<<10, 13)[:1<<10]
	for name, enc := range everyFormat(t, in) {
		codecName, word, _ := strings.Cut(name, " ")
		sum := codecName == Gzip || codecName == Zstd || codecName == SnappyFramed || word == "zlib"
		for i := range enc {
			bad := slices.Clone(enc)
			bad[i] ^= 1 << (i % 8)
			out, err := Decode(nil, codecName, bad, 1<<20)
			if err == nil && sum && !bytes.Equal(out, in) && name != "x-snappy-framed joined" && name != "zstd frames" {
				t.Errorf("%s with byte %d of %d changed: no error, %d bytes", name, i, len(enc), len(out))
			}
		}
	}
}

// bombs are small inputs with large contents, or large claims. The first word
// of the key is the codec.
var bombs = sync.OnceValue(func() map[string][]byte {
	const unit = 4 << 20
	const gib10 = 10 << 30
	zeros := make([]byte, unit)
	must := func(b []byte, err error) []byte {
		if err != nil {
			panic(err)
		}
		return b
	}
	encode := func(name string) []byte {
		e, err := NewEncoder(name, 1)
		if err != nil {
			e, err = NewEncoder(name, 0)
		}
		must(nil, err)
		return must(e.Append(nil, zeros))
	}
	deflated := encode(Gzip)[10:]
	deflated = deflated[:len(deflated)-8]
	var streamed, wide bytes.Buffer
	z, err := zstd.NewWriter(&streamed, zstd.WithEncoderConcurrency(1))
	must(nil, err)
	br := brotli.NewWriterOptions(&wide, brotli.WriterOptions{Quality: 1, LGWin: 24})
	for range 8 {
		for _, w := range []io.Writer{z, br} {
			_, err := w.Write(zeros)
			must(nil, err)
		}
	}
	must(nil, z.Close())
	must(nil, br.Close())
	all := claims()
	maps.Copy(all, map[string][]byte{
		"gzip 10 GiB in members": bytes.Repeat(encode(Gzip), gib10/unit),
		"zstd 10 GiB in frames":  bytes.Repeat(encode(Zstd), gib10/unit),
		"zstd streamed 32 MiB":   streamed.Bytes(),
		"br 32 MiB, window 16":   wide.Bytes(),
		"deflate 4 MiB":          slices.Concat([]byte{0x78, 0x01}, deflated, binary.BigEndian.AppendUint32(nil, adler32.Checksum(zeros))),
		"deflate 4 MiB, raw":     deflated,
		"s2 4 MiB":               encode(S2),
		"snappy 4 MiB":           snappy.Encode(nil, zeros),
		"x-snappy-framed 4 MiB":  encode(SnappyFramed),
	})
	return all
})

// claims are the bombs that are quickly made: those that lie.
func claims() map[string][]byte {
	rle := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x38} // a frame without a content size, window 128 KiB
	for range 255 {
		rle = append(rle, 0x02, 0x00, 0x10, 'a') // 128 KiB of one byte, in 4
	}
	// Single segment, content size of 8 bytes, one raw block of one byte.
	claim := func(n uint64) []byte {
		return append(binary.LittleEndian.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, n), 0x09, 0, 0, 'a')
	}
	return map[string][]byte{
		"gzip claims 4 GiB":     append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x03\x00\x00\x00\x00\x00"), 0xff, 0xff, 0xff, 0xff),
		"zstd 32 MiB in 1 KiB":  append(rle, 0x03, 0x00, 0x10, 'a'),
		"zstd claims 10 GiB":    claim(10 << 30),
		"zstd claims 500 KiB":   claim(500 << 10),
		"s2 claims 4 GiB":       append(binary.AppendUvarint(nil, 0xffffffff), 0, 'a'),
		"snappy claims 4 GiB":   append(binary.AppendUvarint(nil, 0xffffffff), 0, 'a'),
		"snappy claims 500 KiB": append(binary.AppendUvarint(nil, 500<<10), 0, 'a'),
	}
}

func TestBombsTakeNoMoreThanTheLimit(t *testing.T) {
	const limit = 1 << 20
	all := bombs()
	for _, name := range []string{None, Zstd, Gzip, Brotli, Deflate} { // decoder states are made once
		Decode(nil, name, []byte("x"), 0)
	}
	for what, bomb := range all {
		codecName, _, _ := strings.Cut(what, " ")
		decode := func() uint64 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Decode(nil, codecName, bomb, limit)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s in %d bytes, limit 1 MiB: %v, want an error", what, len(bomb), err)
			}
			return after.TotalAlloc - before.TotalAlloc
		}
		// Growing by doubling allocates a few times the limit in all, and a
		// decoder's own tables up to 1 MiB. brotli has a window beside its output,
		// of up to 16 MiB and as much again while it grows: brotliSlots bounds it.
		most := uint64(5 * limit)
		if codecName == Brotli {
			most += 36 << 20
		}
		if got := decode(); got > most {
			t.Errorf("%s in %d bytes, limit 1 MiB: allocated %d bytes", what, len(bomb), got)
		}
		if strings.Contains(what, "claims") {
			if got := decode(); got > 300<<10 {
				t.Errorf("%s: allocated %d bytes for a claim", what, got)
			}
		}
	}
}

// A frame without a content size is too large exactly when it is, and never
// taken for damaged because room ran out in the middle of a block.
func TestZstdWithoutSizeAtAnyLimit(t *testing.T) {
	in := append(payload(200<<10, 14), bytes.Repeat([]byte("the same again "), 50<<10)...)
	enc := everyFormat(t, in)["zstd streamed"]
	for _, dst := range [][]byte{nil, make([]byte, 0, 100<<10), make([]byte, 0, len(in)), make([]byte, 0, 4<<20)} {
		for limit := 0; limit < len(in)+200<<10; limit += 97_011 {
			out, err := Decode(dst, Zstd, enc, limit)
			if limit < len(in) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("limit %d of %d: %v, want ErrTooLarge", limit, len(in), err)
			}
			if limit >= len(in) && (err != nil || !bytes.Equal(out, in)) {
				t.Fatalf("limit %d of %d: %d bytes, %v", limit, len(in), len(out), err)
			}
		}
		if _, err := Decode(dst, Zstd, enc[:len(enc)-len(enc)/3], 4<<20); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut: %v, want ErrCorrupt", err)
		}
	}
}

func TestZstdDamagedHeaders(t *testing.T) {
	f := func(what string, src ...byte) {
		t.Helper()
		if out, err := Decode(nil, Zstd, src, 1<<20); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %d bytes, %v; want ErrCorrupt", what, len(out), err)
		}
	}
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	f("reserved block", append(magic, 0x20, 1, 0x07, 0, 0)...)
	f("reserved bit", append(magic, 0x28, 1, 0x09, 0, 0, 'a')...)
	f("window of 3.75 TB", append(magic, 0, 0xff, 0x09, 0, 0, 'a')...)
	f("dictionary that nobody has", append(magic, 0x21, 7, 1, 0x09, 0, 0, 'a')...)
	f("smaller content size than content", append(magic, 0x20, 1, 0x11, 0, 0, 'a', 'b')...)
	f("no checksum where one is declared", append(magic, 0x24, 1, 0x09, 0, 0, 'a')...)
	f("skippable frame cut", skippable[:10]...)
	f("block larger than it may be", append(append(magic, 0, 0x38, 0x03, 0, 0x20), 'a')...)
}

func TestSnappyDamagedChunks(t *testing.T) {
	f := func(what, chunks string) {
		t.Helper()
		out, err := Decode(nil, Snappy, []byte(string(snappyStreamID)+chunks), 1<<20)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %d bytes, %v; want ErrCorrupt", what, len(out), err)
		}
	}
	f("reserved chunk", "\x02\x00\x00\x00")
	f("other identifier", "\xff\x06\x00\x00S2sTwO")
	f("chunk without checksum", "\x01\x03\x00\x00abc")
	f("wrong checksum", "\x01\x05\x00\x00abcdx")
	f("wrong checksum of a block", "\x00\x07\x00\x00abcd\x01\x00x")
	f("damaged block", "\x00\x07\x00\x00abcd\x02\x00x")
	f("claim that cannot be", "\x00\x08\x00\x00abcd\xff\xff\x03x")
	f("more than 64 KiB", "\x01\x05\x00\x01abcd"+strings.Repeat("x", 64<<10+1))
	if _, err := Decode(nil, SnappyFramed, []byte("no identifier"), 100); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no identifier: %v", err)
	}
}

// TestWindow holds the header that Window reads against that which encoders write, and
// against RFC 7932, 9.1.
func TestWindow(t *testing.T) {
	for bits := 16; bits <= 24; bits++ {
		var b bytes.Buffer
		w := brotli.NewWriterOptions(&b, brotli.WriterOptions{Quality: 5, LGWin: bits})
		if _, err := w.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if n := Window("br", b.Bytes()); n != 1<<bits-16 {
			t.Errorf("of %d bits: %d", bits, n)
		}
	}
	for first, bits := range map[byte]int{0b0000001: 17, 0b0100001: 10, 0b1110001: 15, 0b0001111: 24} {
		if n := Window("br", []byte{first}); n != 1<<bits-16 {
			t.Errorf("%07b: %d, want that of %d bits", first, n, bits)
		}
	}
	if Window("br", nil) != 0 || Window("gzip", []byte{0x0f}) != 0 {
		t.Error("there is a window where there is none to know of")
	}
}
