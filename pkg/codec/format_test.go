package codec

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"slices"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// everyFormat is in, in every form that Decode takes, made by other libraries
// where there is one. The key is the name, and a word on the form.
func everyFormat(t testing.TB, in []byte) map[string][]byte {
	half := len(in) / 2
	stream := func(new func(io.Writer) io.WriteCloser) []byte {
		var b bytes.Buffer
		w := new(&b)
		if _, err := w.Write(in); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	out := map[string][]byte{
		"none":                in,
		"identity":            in,
		"deflate zlib":        stream(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }),
		"deflate raw":         stream(func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 5); return f }),
		"gzip std":            stream(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
		"snappy block":        snappy.Encode(nil, in),
		"snappy framed":       stream(func(w io.Writer) io.WriteCloser { return snappy.NewBufferedWriter(w) }),
		"x-snappy-framed lib": stream(func(w io.Writer) io.WriteCloser { return snappy.NewBufferedWriter(w) }),
		"zstd streamed": stream(func(w io.Writer) io.WriteCloser {
			z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
			return z
		}),
		"zstd frames":  slices.Concat(skippable, encode(t, Zstd, 1, in[:half]), skippable, encode(t, Zstd, 9, in[half:]), skippable),
		"gzip members": slices.Concat(encode(t, Gzip, 1, in[:half]), encode(t, Gzip, 9, in[half:])),
		"x-snappy-framed joined": slices.Concat(encode(t, SnappyFramed, 0, in[:half]), []byte("\xfe\x02\x00\x00pp\x80\x01\x00\x00s"),
			encode(t, SnappyFramed, 0, in[half:])),
	}
	for _, name := range written {
		out[name] = encode(t, name, 0, in)
	}
	return out
}

// skippable is a zstd frame that holds no data (RFC 8878 section 3.1.2).
var skippable = []byte("\x5a\x2a\x4d\x18\x05\x00\x00\x00hello")

func TestDecodesWhatOthersWrite(t *testing.T) {
	for _, in := range [][]byte{payload(200<<10, 6), payload(1<<10, 7), make([]byte, 600<<10), noise(70<<10, 8), nil} {
		for name, enc := range everyFormat(t, in) {
			codecName, _, _ := bytes.Cut([]byte(name), []byte(" "))
			for _, dst := range [][]byte{nil, make([]byte, 0, len(in)+1<<10)} {
				out, err := Decode(dst, string(codecName), enc, 4<<20)
				if err != nil || !bytes.Equal(out, in) {
					t.Errorf("%s of %d bytes: %d bytes, %v", name, len(in), len(out), err)
				}
			}
		}
	}
}

func TestOthersDecodeWhatWeWrite(t *testing.T) {
	in := payload(100<<10, 9)
	f := func(name string, open func(io.Reader) (io.Reader, error)) {
		t.Helper()
		for level := 0; level <= levels[name]; level++ {
			r, err := open(bytes.NewReader(encode(t, name, level, in)))
			if err != nil {
				t.Fatal(err)
			}
			if out, err := io.ReadAll(r); err != nil || !bytes.Equal(out, in) {
				t.Errorf("%s %d: %d bytes, %v", name, level, len(out), err)
			}
		}
	}
	f(Gzip, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })
	f(SnappyFramed, func(r io.Reader) (io.Reader, error) { return snappy.NewReader(r), nil })
	f(Zstd, func(r io.Reader) (io.Reader, error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		return d, err
	})
}

// A block that is snappy by its tags may use the s2 repeat; others do not write
// it under this name, and the claim check still holds.
func TestSnappyTakesSnappyOnly(t *testing.T) {
	in := payload(50<<10, 10)
	if out, err := Decode(nil, Snappy, s2.EncodeSnappyBetter(nil, in), len(in)); err != nil || !bytes.Equal(out, in) {
		t.Errorf("snappy by s2: %v", err)
	}
}
