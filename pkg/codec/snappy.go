package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
)

// snappyMaxRatio is the most bytes that one byte of a snappy block yields: a
// copy of 64 bytes takes 3. A block that declares more is a lie.
const snappyMaxRatio = 22

var errSnappyClaim = errors.New("the declared length is more than a snappy block of this size can hold")

func decodeSnappyBlock(dst, src []byte, limit int) ([]byte, error) {
	n, err := snappyBlockLen(src)
	if err != nil {
		return dst, corrupt(Snappy, len(src), err)
	}
	if n > limit {
		return dst, tooLarge(Snappy, uint64(n), limit)
	}
	dst = room(dst, n)
	if err := snappyBlock(dst[len(dst):len(dst)+n:len(dst)+n], src); err != nil {
		return dst, corrupt(Snappy, len(src), err)
	}
	return dst[:len(dst)+n], nil
}

func snappyBlockLen(src []byte) (int, error) {
	n, err := s2.DecodedLen(src)
	if err == nil && n > snappyMaxRatio*len(src) {
		return 0, errSnappyClaim
	}
	return n, err
}

// snappyBlock decodes src, whose declared length is len(dst), into dst.
func snappyBlock(dst, src []byte) error {
	_, err := snappy.Decode(dst, src)
	return err
}

// The framing format, https://github.com/google/snappy/blob/main/framing_format.txt.
// It is decoded here, without state, rather than by a pooled reader: chunks are
// independent blocks, and all of the input is in memory.
var snappyStreamID = []byte("\xff\x06\x00\x00sNaPpY")

const (
	snappyCompressed   = 0x00
	snappyUncompressed = 0x01
	snappySkippable    = 0x80 // and above, up to padding 0xfe
	snappyIdentifier   = 0xff
	snappyChunk        = 64 << 10 // most uncompressed bytes of a chunk
)

var (
	errSnappyChunk    = errors.New("a chunk is larger than 64 KiB uncompressed")
	errSnappyReserved = errors.New("reserved chunk type")
	errSnappyID       = errors.New("no stream identifier at the start")
	errSnappyCRC      = errors.New("checksum of a chunk does not match")
)

// isSnappyFramed takes no bytes for no data: the usual writers of the format
// write nothing when they are given nothing.
func isSnappyFramed(src []byte) bool {
	return len(src) == 0 || bytes.HasPrefix(src, snappyStreamID)
}

// snappyNext cuts the first chunk off src and says how many bytes it decodes to.
func snappyNext(src []byte) (kind byte, body, rest []byte, n int, err error) {
	if len(src) < 4 {
		return 0, nil, nil, 0, io.ErrUnexpectedEOF
	}
	kind = src[0]
	size := int(src[1]) | int(src[2])<<8 | int(src[3])<<16
	if len(src)-4 < size {
		return 0, nil, nil, 0, io.ErrUnexpectedEOF
	}
	body, rest = src[4:4+size], src[4+size:]
	switch {
	case kind == snappyCompressed || kind == snappyUncompressed:
		if size < 4 {
			return 0, nil, nil, 0, io.ErrUnexpectedEOF
		}
		n = size - 4
		if kind == snappyCompressed {
			if n, err = snappyBlockLen(body[4:]); err != nil {
				return 0, nil, nil, 0, err
			}
		}
		if n > snappyChunk {
			return 0, nil, nil, 0, errSnappyChunk
		}
	case kind == snappyIdentifier:
		if !bytes.Equal(body, snappyStreamID[4:]) {
			return 0, nil, nil, 0, errSnappyID
		}
	case kind < snappySkippable:
		return 0, nil, nil, 0, errSnappyReserved
	}
	return kind, body, rest, n, nil
}

// snappyFramedSize adds up what the chunks declare.
func snappyFramedSize(src []byte) (size uint64, err error) {
	for len(src) > 0 {
		_, _, rest, n, err := snappyNext(src)
		if err != nil {
			return 0, err
		}
		size += uint64(n)
		src = rest
	}
	return size, nil
}

func decodeSnappyFramed(dst, src []byte, limit int, pace Pace) ([]byte, error) {
	if !isSnappyFramed(src) {
		return dst, corrupt(SnappyFramed, len(src), errSnappyID)
	}
	size, err := snappyFramedSize(src)
	if err != nil {
		return dst, corrupt(SnappyFramed, len(src), err)
	}
	if size > uint64(limit) {
		return dst, tooLarge(SnappyFramed, size, limit)
	}
	dst = room(dst, int(size))
	base := len(dst)
	for rest := src; len(rest) > 0; {
		kind, body, next, n, _ := snappyNext(rest) // checked by snappyFramedSize
		rest = next
		if kind != snappyCompressed && kind != snappyUncompressed {
			continue
		}
		sum, body := binary.LittleEndian.Uint32(body), body[4:]
		chunk := dst[len(dst) : len(dst)+n : len(dst)+n]
		if kind == snappyUncompressed {
			copy(chunk, body)
		} else if err := snappyBlock(chunk, body); err != nil {
			return dst, corrupt(SnappyFramed, len(src), err)
		}
		if snappyMask(Checksum(chunk)) != sum {
			return dst, corrupt(SnappyFramed, len(src), errSnappyCRC)
		}
		dst = dst[:len(dst)+n]
		if pace != nil {
			if err := pace(len(src)-len(rest), len(dst)-base); err != nil {
				return dst, err
			}
		}
	}
	return dst, nil
}

// snappyFramedEncoder writes the framing format: what gRPC peers call snappy.
type snappyFramedEncoder struct{}

func (snappyFramedEncoder) Name() string { return SnappyFramed }

func (snappyFramedEncoder) Append(dst, src []byte) ([]byte, error) {
	dst = room(dst, MaxEncodedLen(SnappyFramed, len(src)))
	dst = append(dst, snappyStreamID...)
	for len(src) > 0 {
		chunk := src[:min(len(src), snappyChunk)]
		src = src[len(chunk):]
		at := len(dst) // header of 4 bytes, checksum of 4
		body := s2.EncodeSnappy(dst[at+8:cap(dst)], chunk)
		kind := byte(snappyCompressed)
		if len(body) >= len(chunk) {
			kind = snappyUncompressed
			body = append(dst[at+8:at+8], chunk...)
		}
		dst = dst[:at+8+len(body)]
		size := 4 + len(body)
		dst[at], dst[at+1], dst[at+2], dst[at+3] = kind, byte(size), byte(size>>8), byte(size>>16)
		binary.LittleEndian.PutUint32(dst[at+4:], snappyMask(Checksum(chunk)))
	}
	return dst, nil
}

// snappyMask is the format's own: a checksum of data that holds checksums.
func snappyMask(c uint32) uint32 { return (c>>15 | c<<17) + 0xa282ead8 }
