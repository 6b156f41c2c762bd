package conformance

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Encodings that are offered to an endpoint, by their names in HTTP and gRPC.
// gzip is the one that every server has to read.
var (
	httpEncodings = []string{"gzip", "zstd", "br", "deflate", "snappy", "x-snappy-framed"}
	grpcEncodings = []string{"gzip", "zstd", "snappy"}
)

// compress gives what src has in the encoding. The result is held in memory,
// src is not.
func compress(encoding string, src io.Reader) ([]byte, error) {
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	case "br":
		w = brotli.NewWriterLevel(&out, 5)
	case "deflate": // RFC 9110, 8.4.1.2: the zlib format
		w = zlib.NewWriter(&out)
	case "raw deflate":
		w, err = flate.NewWriter(&out, flate.DefaultCompression)
	case "x-snappy-framed":
		w = snappy.NewBufferedWriter(&out)
	case "snappy":
		b, err := io.ReadAll(src)
		return snappy.Encode(nil, b), err
	default:
		return nil, fmt.Errorf("no encoder for %q", encoding)
	}
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, src); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// packed is compress for what is known to work.
func packed(encoding string, src []byte) []byte {
	out, err := compress(encoding, bytes.NewReader(src))
	if err != nil {
		panic(fmt.Sprintf("BUG: %d bytes cannot be compressed with %s: %v", len(src), encoding, err))
	}
	return out
}

// unpack decompresses at most limit bytes, of gzip, zstd or snappy in either
// format, as clients send them.
func unpack(encoding string, b []byte, limit int) ([]byte, error) {
	var r io.Reader
	switch encoding {
	case "", "identity", "none":
		return b, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	case "br":
		r = brotli.NewReader(bytes.NewReader(b))
	case "deflate", "zlib":
		z, err := zlib.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		r = z
	case "snappy", "x-snappy-framed":
		if !bytes.HasPrefix(b, []byte("\xff\x06\x00\x00sNaPpY")) {
			if n, err := snappy.DecodedLen(b); err != nil || n > limit {
				return nil, fmt.Errorf("snappy of %d bytes: %d decoded, limit %d: %w", len(b), n, limit, err)
			}
			return snappy.Decode(nil, b)
		}
		r = snappy.NewReader(bytes.NewReader(b))
	default:
		return nil, fmt.Errorf("encoding %q is not known to this suite", encoding)
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(out) > limit {
		return nil, fmt.Errorf("more than %d bytes after decompression", limit)
	}
	return out, err
}
