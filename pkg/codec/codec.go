// Package codec compresses and decompresses whole payloads in memory, behind
// one small interface.
//
// # Guarantees
//
//   - What Encoder.Append wrote under a name, Decode returns byte for byte
//     under that name, in this and every later release (golden files in
//     testdata).
//   - Decode never produces more than its limit and never allocates for a size
//     that the input merely claims: a claim is checked against the limit, and
//     against what the format can hold in so many bytes, before memory is taken.
//     Only brotli needs memory beside its output, and then for no more streams
//     at once than there are cores.
//   - Truncated, damaged or trailing bytes are errors, never shorter data, as
//     far as the format can tell: s2 and brotli have no checksum, and input that
//     ends between two gzip members, zstd frames or snappy chunks is whole.
//   - Everything is safe for concurrent use. Pooled state is held by one call
//     from start to end, is not kept after an error, and never refers to the
//     caller's slices once the call returned.
//
// Formats: zstd RFC 8878, gzip RFC 1952, zlib RFC 1950, deflate RFC 1951,
// brotli RFC 7932, snappy block and framing format (google/snappy 1.2),
// s2 block format (klauspost/compress).
package codec

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// Names of codecs that Penstock writes. They are stored beside every message,
// so they never change their meaning.
const (
	None   = "none" // the bytes as they are
	S2     = "s2"   // s2 block format; not an HTTP or gRPC encoding
	Zstd   = "zstd" // one frame with its content size
	Gzip   = "gzip" // one member
	Brotli = "br"
)

// Names that Decode knows beside those of the constants: content codings which
// clients send.
const (
	Deflate      = "deflate"         // zlib, or raw deflate as many clients send it
	Snappy       = "snappy"          // block format or framing format, told apart by the stream identifier
	SnappyFramed = "x-snappy-framed" // framing format only
)

// Errors of this package; returned ones wrap them and add the numbers.
var (
	// ErrTooLarge: the decoded data would exceed the caller's limit.
	ErrTooLarge = errors.New("decompressed data is larger than the limit")
	// ErrCorrupt: the input is not a complete, undamaged stream of its codec.
	ErrCorrupt = errors.New("compressed data is corrupt")
	// ErrUnknown: no such codec.
	ErrUnknown = errors.New("unknown compression")
)

// Canonical gives the name under which this package knows a content coding:
// case does not matter, "" and "identity" are None, "x-gzip" is Gzip
// (RFC 9110 section 8.4.1), "brotli" is Brotli. It is false for what Decode
// does not know.
func Canonical(name string) (string, bool) {
	switch name {
	case None, S2, Zstd, Gzip, Brotli, Deflate, Snappy, SnappyFramed:
		return name, true
	case "", "identity":
		return None, true
	case "brotli":
		return Brotli, true
	case "x-gzip":
		return Gzip, true
	}
	if low := strings.ToLower(name); low != name {
		return Canonical(low)
	}
	return "", false
}

// Known reports whether Decode knows name, in any spelling of Canonical.
func Known(name string) bool {
	_, ok := Canonical(name)
	return ok
}

// ContentEncodings lists the content codings to offer over HTTP, best first.
// s2 is not among them: it is Penstock's own.
func ContentEncodings() []string {
	return []string{Zstd, Gzip, Snappy, SnappyFramed, Deflate, Brotli, "identity"}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C (Castagnoli) of b, by the CPU's instruction where it
// has one.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func unknown(name string) error {
	return fmt.Errorf("%w %q: want one of none, s2, zstd, gzip, br, deflate, snappy, x-snappy-framed", ErrUnknown, name)
}

func tooLarge(name string, got uint64, limit int) error {
	return fmt.Errorf("%w: %s data of at least %d bytes, limit %d bytes", ErrTooLarge, name, got, limit)
}

func corrupt(name string, n int, why any) error {
	return fmt.Errorf("%w: %d bytes of %s: %v", ErrCorrupt, n, name, why)
}
