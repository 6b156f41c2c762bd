package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"io"
	"runtime"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// The decoders below read from a stream. One is held by one call from Reset to
// the end of the data; after an error it is thrown away, so that no broken
// state is ever reused.

// source is where a pooled decoder reads from, and the byte with which the end
// of the data is probed when the limit is reached.
type source struct {
	in    bytes.Reader
	probe [1]byte
}

type gzipState struct {
	source
	r gzip.Reader
}

type flateState struct {
	source
	r io.ReadCloser // also a flate.Resetter
}

type brotliState struct {
	source
	r brotli.Reader
}

var gzipStates, flateStates, brotliStates sync.Pool

// gzipMinLen is a header, an empty block and a trailer.
const gzipMinLen = 10 + 2 + 8

// errOver is readAll's: there is more data than the limit.
var errOver = errors.New("over the limit")

func decodeGzip(dst, src []byte, limit int, pace Pace) ([]byte, error) {
	s, _ := gzipStates.Get().(*gzipState)
	if s == nil {
		s = new(gzipState)
	}
	s.in.Reset(src)
	if err := s.r.Reset(&s.in); err != nil {
		return dst, corrupt(Gzip, len(src), truncated(err))
	}
	hint := 0
	if len(src) >= gzipMinLen {
		hint = int(min(binary.LittleEndian.Uint32(src[len(src)-4:]), 1<<30))
	}
	out, err := s.readAll(dst, &s.r, len(src), hint, limit, pace)
	s.in.Reset(nil)
	if err != nil {
		return out, streamError(Gzip, err, len(src), limit)
	}
	gzipStates.Put(s)
	return out, nil
}

// brotliSlots bounds how many brotli streams are decoded at once. Beside its
// output a decoder has a window that a few bytes can make 16 MiB (RFC 7932
// section 9.1); decoding is bound by the CPU, so waiting costs nothing. One more
// than cores, for one whose Pace rests has its slot all the while.
var brotliSlots = make(chan struct{}, runtime.GOMAXPROCS(0)+1)

func decodeBrotli(dst, src []byte, limit int, pace Pace) ([]byte, error) {
	brotliSlots <- struct{}{}
	defer func() { <-brotliSlots }()
	s, _ := brotliStates.Get().(*brotliState)
	if s == nil {
		s = new(brotliState)
	}
	s.in.Reset(src)
	if err := s.r.Reset(&s.in); err != nil {
		return dst, corrupt(Brotli, len(src), err)
	}
	out, err := s.readAll(dst, &s.r, len(src), 0, limit, pace)
	if err == nil && s.in.Len() > 0 {
		err = errTrailing
	}
	s.in.Reset(nil)
	if err != nil {
		return out, streamError(Brotli, err, len(src), limit)
	}
	brotliStates.Put(s)
	return out, nil
}

var errTrailing = errors.New("bytes after the end of the data")

// decodeDeflate takes what RFC 9110 calls deflate (zlib), and the raw deflate
// that many clients send under that name.
func decodeDeflate(dst, src []byte, limit int, pace Pace) ([]byte, error) {
	if zlibHead(src) {
		out, err := inflate(dst, src[2:len(src)-4], limit, pace)
		if err == nil && adler32.Checksum(out[len(dst):]) == binary.BigEndian.Uint32(src[len(src)-4:]) {
			return out, nil
		}
		if errors.Is(err, ErrTooLarge) {
			return out, err
		}
		// One raw stream in about 500 begins like zlib: try that too.
	}
	return inflate(dst, src, limit, pace)
}

func inflate(dst, src []byte, limit int, pace Pace) ([]byte, error) {
	s, _ := flateStates.Get().(*flateState)
	if s == nil {
		s = new(flateState)
		s.r = flate.NewReader(&s.in)
	}
	s.in.Reset(src)
	if err := s.r.(flate.Resetter).Reset(&s.in, nil); err != nil {
		return dst, corrupt(Deflate, len(src), err)
	}
	out, err := s.readAll(dst, s.r, len(src), 0, limit, pace)
	if err == nil && s.in.Len() > 0 { // it reads byte by byte, never ahead
		err = errTrailing
	}
	s.in.Reset(nil)
	if err != nil {
		return out, streamError(Deflate, err, len(src), limit)
	}
	flateStates.Put(s)
	return out, nil
}

// readAll appends what r yields to dst, at most limit bytes. hint is the
// claimed size, 0 for none: it is believed up to 16 times the compressed size,
// beyond that memory is taken only as data arrives.
func (s *source) readAll(dst []byte, r io.Reader, compressed, hint, limit int, pace Pace) ([]byte, error) {
	base := len(dst)
	first := min(hint, max(16*compressed, 4<<10), limit)
	if hint == 0 {
		first = min(max(4*compressed, 4<<10), limit)
	}
	dst = room(dst, first)
	for {
		free := dst[len(dst):min(cap(dst), base+limit)]
		if len(free) == 0 && len(dst)-base < limit {
			have := len(dst) - base
			dst = room(dst, min(max(have, 4<<10), limit-have))
			continue
		}
		atLimit := len(free) == 0
		if atLimit {
			free = s.probe[:]
		}
		if pace != nil {
			free = free[:min(len(free), breath)]
		}
		n, err := r.Read(free)
		if atLimit && n > 0 {
			return dst, errOver
		}
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err == nil && pace != nil {
			err = pace(s.taken(), len(dst)-base)
		}
		if err != nil {
			return dst, err
		}
	}
}

func truncated(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func streamError(name string, err error, n, limit int) error {
	if err == errOver {
		return tooLarge(name, uint64(limit)+1, limit)
	}
	return corrupt(name, n, err)
}
