package codec

import (
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"
)

// Encoder compresses payloads with one codec at one level.
type Encoder interface {
	// Name is one of the constants of this package.
	Name() string
	// Append appends the compressed src to dst and returns the longer slice. It
	// keeps neither, and they must not overlap. With MaxEncodedLen(Name(),
	// len(src)) bytes of room in dst nothing is allocated by none, s2 and zstd.
	// Safe for concurrent use.
	Append(dst, src []byte) ([]byte, error)
}

// NewEncoder makes the encoder of a codec. Level 0 is the codec's default, the
// fastest; otherwise
//
//	none  0
//	s2    1 fast, 2 better
//	zstd  1-9: 1-2 fastest, 3-5 default, 6-8 better, 9 best (klauspost/compress;
//	      about zstd 1, 3, 7 and 11 of the reference implementation)
//	gzip  1-9
//	br    1-9
//	x-snappy-framed  0, for peers that want snappy
//
// Encoders of one codec and level share their state: making many is cheap. An
// encoder keeps for each core, for payloads of a few MiB: s2 nothing, gzip under
// 2 MiB, zstd 1.5 MiB (1-2), 2.5 (3-5), 5.5 (6-8), 36 (9), br 4 to 50 MiB. That
// of gzip and br goes with the garbage when unused.
func NewEncoder(name string, level int) (Encoder, error) {
	canonical, _ := Canonical(name)
	highest, ok := levels[canonical]
	if !ok {
		return nil, fmt.Errorf("%w %q: can compress with none, s2, zstd, gzip or br", ErrUnknown, name)
	}
	if level < 0 || level > highest {
		if highest == 0 {
			return nil, fmt.Errorf("compression %s at level %d: it has no levels, leave the level at 0", canonical, level)
		}
		return nil, fmt.Errorf("compression %s at level %d: want 1 to %d, or 0 for the default", canonical, level, highest)
	}
	level = max(level, 1)
	switch canonical {
	case S2:
		return s2Encoder{better: level == 2}, nil
	case Zstd:
		return newZstdEncoder(level)
	case Gzip:
		return &gzipEncoders[level-1], nil
	case Brotli:
		return &brotliEncoders[level-1], nil
	case SnappyFramed:
		return snappyFramedEncoder{}, nil
	}
	return noneEncoder{}, nil
}

// levels is the highest level of each codec that can be written.
var levels = map[string]int{None: 0, S2: 2, Zstd: 9, Gzip: 9, Brotli: 9, SnappyFramed: 0}

// MaxEncodedLen is an upper bound for the compressed size of n bytes at any
// level, or -1 for a codec that Encoder cannot write.
func MaxEncodedLen(name string, n int) int {
	canonical, _ := Canonical(name)
	switch canonical {
	case None:
		return n
	case S2:
		return s2.MaxEncodedLen(n)
	case Zstd:
		// RFC 8878: 18 bytes of frame header and checksum, 3 bytes a block, and
		// no block of ours but the last is under 64 KiB.
		return n + 3*(n>>16+1) + 18
	case Gzip:
		// Stored blocks, 5 bytes each; the compressor may cut them short.
		return n + n>>10 + 64
	case Brotli:
		return n + n>>10 + 64
	case SnappyFramed:
		// Every chunk is encoded in place, which needs room for the worst case.
		return 10 + n + (n>>16+1)*(8+s2.MaxEncodedLen(snappyChunk)-snappyChunk)
	}
	return -1
}

// room returns dst with space for n more bytes.
func room(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	if len(dst) == 0 {
		return make([]byte, 0, n)
	}
	return slices.Grow(dst, n)
}

type noneEncoder struct{}

func (noneEncoder) Name() string { return None }

func (noneEncoder) Append(dst, src []byte) ([]byte, error) { return append(dst, src...), nil }

type s2Encoder struct{ better bool }

func (s2Encoder) Name() string { return S2 }

func (e s2Encoder) Append(dst, src []byte) ([]byte, error) {
	most := s2.MaxEncodedLen(len(src))
	if most < 0 {
		return dst, fmt.Errorf("s2 cannot hold %d bytes in one block: its limit is 4 GiB", len(src))
	}
	dst = room(dst, most)
	free := dst[len(dst):cap(dst)]
	var out []byte
	if e.better {
		out = s2.EncodeBetter(free, src)
	} else {
		out = s2.Encode(free, src)
	}
	return dst[:len(dst)+len(out)], nil // out lies in free, which is large enough
}
