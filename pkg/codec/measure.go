package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Measure is the number of bytes that src decodes to, found by decoding it into
// nothing: it costs the time of Decode and none of its memory, so that what turns
// out to be a bomb never had any. It stops at limit with ErrTooLarge; damage that
// it sees is ErrCorrupt, a checksum may be left to Decode. Sizes that headers
// state and blocks can hold are believed.
//
// A zstd frame that does not say its size is read with a window of up to 8 MiB,
// the most that the content coding may have (RFC 9659); more is ErrCorrupt.
func Measure(name string, src []byte, limit int) (int, error) {
	return MeasurePaced(name, src, limit, nil)
}

// MeasurePaced is Measure at the pace of the caller, which may be nil. What pace
// returns is returned as it is. What headers say takes no time, and no pace.
func MeasurePaced(name string, src []byte, limit int, pace Pace) (int, error) {
	canonical, ok := Canonical(name)
	if !ok {
		return 0, unknown(name)
	}
	var n int64
	var err error
	pace, stop := pace.watched()
	switch canonical {
	case Gzip:
		n, err = measureGzip(src, limit, pace)
	case Deflate:
		n, err = measureDeflate(src, limit, pace)
	case Brotli:
		n, err = measureBrotli(src, limit, pace)
	case Zstd:
		n, err = measureZstd(src, limit, pace)
	default:
		if n = int64(DeclaredSize(canonical, src)); n < 0 {
			return 0, corrupt(canonical, len(src), "its headers are damaged")
		}
	}
	if *stop != nil {
		return 0, *stop
	}
	if err != nil {
		return 0, corrupt(canonical, len(src), err)
	}
	if n > int64(limit) {
		return 0, tooLarge(canonical, uint64(n), limit)
	}
	return int(n), nil
}

// count reads all of r, which reads s, but no more than one byte beyond limit.
// Others may have the core after each piece: the scheduler would take it only after
// 10 ms, and a bomb is all work.
func (s *source) count(r io.Reader, limit int, pace Pace) (n int64, err error) {
	for most := int64(limit) + 1; n < most; runtime.Gosched() {
		k, err := io.CopyN(io.Discard, r, min(breath, most-n))
		n += k
		if err == io.EOF {
			break
		} else if err != nil {
			return n, err
		}
		if pace != nil && n < most {
			if err := pace(s.taken(), int(n)); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// taken is how much of the source was read.
func (s *source) taken() int { return int(s.in.Size()) - s.in.Len() }

func measureGzip(src []byte, limit int, pace Pace) (int64, error) {
	s, _ := gzipStates.Get().(*gzipState)
	if s == nil {
		s = new(gzipState)
	}
	s.in.Reset(src)
	defer s.in.Reset(nil)
	if err := s.r.Reset(&s.in); err != nil {
		return 0, truncated(err)
	}
	n, err := s.count(&s.r, limit, pace)
	if err == nil {
		gzipStates.Put(s)
	}
	return n, err
}

// measureDeflate decides between zlib and raw deflate as decodeDeflate does.
func measureDeflate(src []byte, limit int, pace Pace) (int64, error) {
	if zlibHead(src) {
		sum := adler32.New()
		n, err := measureFlate(src[2:len(src)-4], limit, sum, pace)
		if err == nil && (n > int64(limit) || sum.Sum32() == binary.BigEndian.Uint32(src[len(src)-4:])) {
			return n, nil
		}
	}
	return measureFlate(src, limit, nil, pace)
}

// zlibHead is true for what begins as RFC 1950 has it, and may be zlib.
func zlibHead(src []byte) bool {
	return len(src) >= 6 && src[0]&0x0f == 8 && src[0]>>4 <= 7 && src[1]&0x20 == 0 && binary.BigEndian.Uint16(src)%31 == 0
}

func measureFlate(src []byte, limit int, sum io.Writer, pace Pace) (int64, error) {
	s, _ := flateStates.Get().(*flateState)
	if s == nil {
		s = new(flateState)
		s.r = flate.NewReader(&s.in)
	}
	s.in.Reset(src)
	defer s.in.Reset(nil)
	if err := s.r.(flate.Resetter).Reset(&s.in, nil); err != nil {
		return 0, err
	}
	var r io.Reader = s.r
	if sum != nil {
		r = io.TeeReader(r, sum)
	}
	n, err := s.count(r, limit, pace)
	if err == nil && n <= int64(limit) && s.in.Len() > 0 {
		err = errTrailing
	}
	if err == nil {
		flateStates.Put(s)
	}
	return n, err
}

func measureBrotli(src []byte, limit int, pace Pace) (int64, error) {
	brotliSlots <- struct{}{}
	defer func() { <-brotliSlots }()
	s, _ := brotliStates.Get().(*brotliState)
	if s == nil {
		s = new(brotliState)
	}
	s.in.Reset(src)
	defer s.in.Reset(nil)
	if err := s.r.Reset(&s.in); err != nil {
		return 0, err
	}
	n, err := s.count(&s.r, limit, pace)
	if n > int64(limit) { // its window goes too
		return n, err
	}
	if err == nil && s.in.Len() > 0 {
		err = errTrailing
	}
	if err == nil {
		brotliStates.Put(s)
	}
	return n, err
}

// zstdStreams are decoders with a window, no more of them than cores, and one.
var zstdStreams = make(chan *zstd.Decoder, runtime.GOMAXPROCS(0)+1)

var fillZstdStreams = sync.OnceFunc(func() {
	for range cap(zstdStreams) {
		zstdStreams <- nil // made when it is needed
	}
})

const zstdStreamWindow = 8 << 20

func measureZstd(src []byte, limit int, pace Pace) (n int64, err error) {
	size, exact, err := zstdSize(src)
	if err != nil || exact {
		return int64(min(size, 1<<62)), err
	}
	fillZstdStreams()
	d := <-zstdStreams
	defer func() { zstdStreams <- d }()
	if d == nil {
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdStreamWindow)); err != nil {
			return 0, fmt.Errorf("making a zstd decoder: %w", err)
		}
	}
	var in source
	in.in.Reset(src)
	if err := d.Reset(&in.in); err != nil {
		return 0, err
	}
	n, err = in.count(d, limit, pace)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		err = fmt.Errorf("a frame that does not say its size has a window of more than %d MiB (RFC 9659): %w", zstdStreamWindow>>20, err)
	}
	if reset := d.Reset(nil); err == nil { // lets go of src
		err = reset
	}
	return n, err
}
