package codec

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdWindow bounds the memory of an encoder. A larger window finds little more
// in telemetry: payloads are a few MiB and repeat themselves within KiB.
const zstdWindow = 1 << 20

// zstdMaxWindow is the largest window that a frame may declare: that of zstd
// --ultra -22. It costs nothing, for whole frames are decoded in place.
const zstdMaxWindow = 128 << 20

type zstdEncoder struct{ enc *zstd.Encoder }

// zstdEncoders are shared by all users of a level: EncodeAll takes one of
// GOMAXPROCS states for the time of the call.
var zstdEncoders [zstd.SpeedBestCompression + 1]struct {
	once sync.Once
	enc  *zstd.Encoder
	err  error
}

func newZstdEncoder(level int) (Encoder, error) {
	speed := zstdSpeed(level)
	e := &zstdEncoders[speed]
	e.once.Do(func() {
		e.enc, e.err = zstd.NewWriter(nil,
			zstd.WithEncoderLevel(speed),
			zstd.WithEncoderConcurrency(0), // GOMAXPROCS
			zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true),
			zstd.WithZeroFrames(true))
	})
	if e.err != nil {
		return nil, fmt.Errorf("making the zstd encoder of level %d: %w", level, e.err)
	}
	return zstdEncoder{e.enc}, nil
}

func zstdSpeed(level int) zstd.EncoderLevel {
	switch {
	case level <= 2:
		return zstd.SpeedFastest
	case level <= 5:
		return zstd.SpeedDefault
	case level <= 8:
		return zstd.SpeedBetterCompression
	}
	return zstd.SpeedBestCompression
}

func (zstdEncoder) Name() string { return Zstd }

func (e zstdEncoder) Append(dst, src []byte) ([]byte, error) {
	return e.enc.EncodeAll(src, room(dst, MaxEncodedLen(Zstd, len(src)))), nil
}

// zstdDecoder is shared: DecodeAll keeps nothing between calls, and with
// DecodeAllCapLimit writes within the capacity it is given.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0), // GOMAXPROCS
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdMaxWindow),
		zstd.WithDecodeAllCapLimit(true))
})

func decodeZstd(dst, src []byte, limit int) ([]byte, error) {
	dec, err := zstdDecoder()
	if err != nil {
		return dst, fmt.Errorf("making the zstd decoder: %w", err)
	}
	size, exact, err := zstdSize(src)
	if err != nil {
		return dst, corrupt(Zstd, len(src), err)
	}
	if exact && size > uint64(limit) {
		return dst, tooLarge(Zstd, size, limit)
	}
	if exact || size <= uint64(min(limit, cap(dst)-len(dst))) { // one try, room for all it can hold
		dst = room(dst, int(size))
		out, err := dec.DecodeAll(src, dst[:len(dst):len(dst)+int(size)])
		if err != nil {
			return dst, corrupt(Zstd, len(src), err)
		}
		return dst[:len(out)], nil
	}
	// A frame of a streaming encoder: size is only what its blocks can hold.
	// Begin with the room there is, or a usual ratio; each further try is four
	// times larger.
	most := int(min(size, uint64(limit)))
	guess := min(most, max(8*len(src), 64<<10, cap(dst)-len(dst)-zstdMargin))
	for {
		dst = room(dst, guess+zstdMargin)
		out, err := dec.DecodeAll(src, dst[:len(dst):len(dst)+guess+zstdMargin])
		switch got := len(out) - len(dst); {
		case got > limit:
			return dst, tooLarge(Zstd, uint64(got), limit)
		case err == nil:
			return dst[:len(out)], nil
		case got <= guess: // there was room for another block
			return dst, corrupt(Zstd, len(src), err)
		case guess == most:
			return dst, corrupt(Zstd, len(src), "more data than its blocks can hold")
		}
		guess = min(most, 4*guess)
	}
}

// zstdMargin is room for one more block behind what is expected. The decoder
// has no error of its own for want of room: as long as a block fits, an error is
// one of the data.
const zstdMargin = zstdBlock + 64

// zstdBlock is the most that one block may hold (RFC 8878 section 3.1.1.2.4).
const zstdBlock = 128 << 10

var errZstdClaim = errors.New("a frame declares a larger content than its blocks can hold")

// zstdSize walks the headers of all frames and blocks and adds up what they
// hold: exactly where frames declare their content size, else an upper bound. A
// size that the frame's blocks cannot hold is an error, so that a few bytes
// cannot claim much memory.
func zstdSize(src []byte) (size uint64, exact bool, err error) {
	if len(src) == 0 {
		return 0, false, io.ErrUnexpectedEOF
	}
	exact = true
	for len(src) > 0 {
		var h zstd.Header
		rest, err := h.DecodeAndStrip(src)
		if err != nil {
			return 0, false, err
		}
		if h.Skippable {
			if uint64(len(rest)) < uint64(h.SkippableSize) {
				return 0, false, io.ErrUnexpectedEOF
			}
			src = rest[h.SkippableSize:]
			continue
		}
		held, rest, err := zstdBlocks(rest)
		if err != nil {
			return 0, false, err
		}
		if h.HasCheckSum {
			if len(rest) < 4 {
				return 0, false, io.ErrUnexpectedEOF
			}
			rest = rest[4:]
		}
		if !h.HasFCS {
			exact = false
		} else if h.FrameContentSize > held {
			return 0, false, errZstdClaim
		} else {
			held = h.FrameContentSize
		}
		size += held
		src = rest
	}
	return size, exact, nil
}

// zstdBlocks passes over the blocks of one frame (RFC 8878 section 3.1.1.2) and
// returns the most they can hold, and what follows them.
func zstdBlocks(src []byte) (held uint64, rest []byte, err error) {
	for {
		if len(src) < 3 {
			return 0, nil, io.ErrUnexpectedEOF
		}
		header := uint32(src[0]) | uint32(src[1])<<8 | uint32(src[2])<<16
		src = src[3:]
		size := int(header >> 3)
		stored := size
		switch header >> 1 & 3 {
		case 0: // raw
			held += uint64(size)
		case 1: // one byte repeated
			held += uint64(size)
			stored = 1
		case 2: // compressed
			held += zstdBlock
		default:
			return 0, nil, errors.New("reserved block type")
		}
		if len(src) < stored {
			return 0, nil, io.ErrUnexpectedEOF
		}
		src = src[stored:]
		if header&1 != 0 {
			return held, src, nil
		}
	}
}
