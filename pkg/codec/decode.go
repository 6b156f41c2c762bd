package codec

import (
	"encoding/binary"

	"github.com/klauspost/compress/s2"
)

// Decode appends the decompressed src to dst and returns the longer slice. name
// is any spelling that Canonical knows. No more than limit bytes are produced:
// larger data is ErrTooLarge, damaged, truncated or trailing data ErrCorrupt,
// an unknown name ErrUnknown; on an error dst is returned with its length
// unchanged, what lies behind that length is undefined. Several gzip members or
// zstd frames in a row are decoded as one.
//
// With MaxDecodedLen of room in dst nothing is allocated by none, s2, snappy
// and zstd. It keeps neither slice, they must not overlap, and it is safe for
// concurrent use.
func Decode(dst []byte, name string, src []byte, limit int) ([]byte, error) {
	return DecodePaced(dst, name, src, limit, nil)
}

// DecodePaced is Decode at the pace of the caller, which may be nil. What pace
// returns is returned as it is. Blocks of snappy and s2, and zstd, are decoded in
// one go all the same, which takes tens of milliseconds at most for 64 MiB.
func DecodePaced(dst []byte, name string, src []byte, limit int, pace Pace) ([]byte, error) {
	canonical, ok := Canonical(name)
	if !ok {
		return dst, unknown(name)
	}
	limit = max(limit, 0)
	var out []byte
	var err error
	pace, stop := pace.watched()
	switch canonical {
	case None:
		if len(src) > limit {
			return dst, tooLarge(None, uint64(len(src)), limit)
		}
		return append(dst, src...), nil
	case S2:
		out, err = decodeS2(dst, src, limit)
	case Zstd:
		out, err = decodeZstd(dst, src, limit)
	case Gzip:
		out, err = decodeGzip(dst, src, limit, pace)
	case Deflate:
		out, err = decodeDeflate(dst, src, limit, pace)
	case Brotli:
		out, err = decodeBrotli(dst, src, limit, pace)
	case Snappy:
		if isSnappyFramed(src) {
			out, err = decodeSnappyFramed(dst, src, limit, pace)
		} else {
			out, err = decodeSnappyBlock(dst, src, limit)
		}
	case SnappyFramed:
		out, err = decodeSnappyFramed(dst, src, limit, pace)
	}
	if *stop != nil {
		err = *stop
	}
	if err != nil {
		return out[:len(dst)], err
	}
	return out, nil
}

// Window is the number of bytes that decoding src may fill at one go, where its header
// says so and that can be much: for br, 64 KiB to 16 MiB (RFC 7932, 9.1). It is 0 for
// others, which give what they have by the block.
func Window(name string, src []byte) int {
	if canonical, _ := Canonical(name); canonical != Brotli || len(src) == 0 {
		return 0
	}
	switch b := src[0]; {
	case b&1 == 0:
		return 1<<16 - 16
	case b>>1&7 != 0:
		return 1<<(17+(b>>1&7)) - 16
	case b>>4&7 > 1:
		return 1<<(8+(b>>4&7)) - 16
	default:
		return 1<<17 - 16 // 1 is the header of a large window, which is refused
	}
}

// DeclaredSize is the number of bytes that src claims to hold when decoded, or
// -1 when it does not say (br, deflate, a zstd frame without content size), src
// is damaged, or name is unknown. It reads headers only. It is a claim, good for
// sizing a buffer or reserving memory before Decode, never to be believed: pass
// it as the limit to hold a client to its word. For gzip it is the size of the
// last member, which is the only one in practice.
func DeclaredSize(name string, src []byte) int {
	canonical, _ := Canonical(name)
	switch canonical {
	case None:
		return len(src)
	case S2:
		if n, err := s2.DecodedLen(src); err == nil {
			return n
		}
	case Zstd:
		if n, exact, err := zstdSize(src); err == nil && exact && n <= 1<<62 {
			return int(n)
		}
	case Gzip:
		if len(src) >= gzipMinLen {
			return int(binary.LittleEndian.Uint32(src[len(src)-4:]))
		}
	case Snappy, SnappyFramed:
		if isSnappyFramed(src) {
			if n, err := snappyFramedSize(src); err == nil && n <= 1<<62 {
				return int(n)
			}
		} else if canonical == Snappy {
			if n, err := s2.DecodedLen(src); err == nil {
				return n
			}
		}
	}
	return -1
}

// MaxDecodedLen is the most bytes that src can hold when decoded, or -1 when its
// format does not bound it (gzip, deflate, br), src is damaged, or name is
// unknown. It reads headers only. For a zstd frame of a streaming encoder, which
// has no declared size, it is mostly within 128 KiB of the truth, and far above
// it when the encoder was flushed often.
func MaxDecodedLen(name string, src []byte) int {
	switch canonical, _ := Canonical(name); canonical {
	case None, S2, Snappy, SnappyFramed:
		return DeclaredSize(canonical, src)
	case Zstd:
		if n, _, err := zstdSize(src); err == nil && n <= 1<<62 {
			return int(n)
		}
	}
	return -1
}

// decodeS2 trusts the declared length up to the limit: an s2 block may hold
// millions of bytes in five, so that no claim within the limit is absurd.
func decodeS2(dst, src []byte, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return dst, corrupt(S2, len(src), err)
	}
	if n > limit {
		return dst, tooLarge(S2, uint64(n), limit)
	}
	dst = room(dst, n)
	if _, err := s2.Decode(dst[len(dst):len(dst)+n:len(dst)+n], src); err != nil {
		return dst, corrupt(S2, len(src), err)
	}
	return dst[:len(dst)+n], nil
}
