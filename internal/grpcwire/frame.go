package grpcwire

import (
	"fmt"

	"google.golang.org/grpc/mem"

	"github.com/penstock-otel/penstock/internal/copies"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// DefaultLimit is the most bytes that a message may have when decompressed,
// unless its Frame says otherwise: 64 MiB, as OTLP recommends.
const DefaultLimit = 64 << 20

// Frame is one gRPC message as bytes. The zero value is ready to receive into.
// It is used by one goroutine at a time.
type Frame struct {
	// Data is the message. The frame holds one reference to each buffer, from
	// Unmarshal or NewFrame until Free.
	Data mem.BufferSlice
	// Encoding is the compression that Data still has: "gzip", "zstd" or
	// "snappy" in a frame received with KeepCompressed, else "".
	Encoding string

	// KeepCompressed is set by a receiver that calls Decompress itself, after it
	// reserved the memory. Otherwise receiving decompresses.
	KeepCompressed bool
	// Limit is the most bytes the message may have when decompressed as it is
	// received; 0 means DefaultLimit. The limit on the wire is gRPC's
	// MaxRecvMsgSize, less 17 bytes of mark for a compressed message.
	Limit int
	// Pool is where buffers for decompressed data come from; nil means
	// mem.DefaultBufferPool.
	Pool mem.BufferPool

	// Pace, unless nil, is that of Measure and Decompress. Its error is wrapped in
	// theirs.
	Pace codec.Pace

	deferred bool // ServiceDesc decompresses after RecvMsg
}

// NewFrame makes a message of b, without a copy. gRPC may read b until the call
// is over and beyond, when it ended early by a deadline: b must never change
// again. For memory that is used again see NewFrameRelease.
func NewFrame(b []byte) *Frame {
	return &Frame{Data: mem.BufferSlice{mem.SliceBuffer(b)}}
}

// NewFrameRelease makes a message of b, and calls release exactly once: when
// the frame is freed and gRPC has let go of b, from the goroutine that was last.
// Only then may b be used again.
func NewFrameRelease(b []byte, release func()) *Frame {
	if mem.IsBelowBufferPoolingThreshold(cap(b)) { // gRPC counts no references to small buffers
		f := NewFrame(append([]byte(nil), b...))
		release()
		return f
	}
	return &Frame{Data: mem.BufferSlice{mem.NewBuffer(&b, releasePool(release))}}
}

// releasePool is a pool whose Put is a function.
type releasePool func()

func (releasePool) Get(n int) *[]byte { b := make([]byte, n); return &b }
func (r releasePool) Put(*[]byte)     { r() }

// Len is the number of bytes in Data.
func (f *Frame) Len() int { return f.Data.Len() }

// Free lets go of the data and empties the frame. It may be called again.
func (f *Frame) Free() {
	f.Data.Free()
	f.Data, f.Encoding = nil, ""
}

// Bytes is Data in one piece: the buffer itself when it is one, else a copy from
// pool (nil means Pool). The bytes live until release is called, once, also if
// the frame is freed before. Those of a frame that was received belong to no one
// else once it is freed, and may then be changed in place.
func (f *Frame) Bytes(pool mem.BufferPool) (b []byte, release func()) {
	if pool == nil {
		pool = f.pool()
	}
	f.countPieces()
	buf := f.Data.MaterializeToBuffer(pool)
	return buf.ReadOnlyData(), buf.Free
}

// DeclaredLen is the size that the message claims to have when decompressed: a
// claim, see codec.DeclaredSize, or -1 when it does not say. It is Len for a
// message that is not compressed.
func (f *Frame) DeclaredLen() int {
	if f.Encoding == "" {
		return f.Len()
	}
	return codec.DeclaredSize(f.Encoding, f.onePiece())
}

// MaxLen is the most bytes that the message can have when decompressed, or -1
// when its form does not bound it (gzip): what to reserve when DeclaredLen does
// not say. See codec.MaxDecodedLen.
func (f *Frame) MaxLen() int {
	if f.Encoding == "" {
		return f.Len()
	}
	return codec.MaxDecodedLen(f.Encoding, f.onePiece())
}

// Measure is the exact size of the message when decompressed, at the cost of
// decompressing it into nothing; see codec.Measure. More than limit is an error,
// for ReceiveProblem as those of Decompress.
func (f *Frame) Measure(limit int) (int, error) {
	if f.Encoding == "" {
		return f.Len(), nil
	}
	n, err := codec.MeasurePaced(f.Encoding, f.onePiece(), limit, f.Pace)
	if err != nil {
		return 0, &receiveError{err: fmt.Errorf("message in grpc-encoding %q: %w", f.Encoding, err)}
	}
	return n, nil
}

// Decompress replaces Data by its decompressed form, at most limit bytes (0
// means Limit). It does nothing when there is no Encoding. The error is for
// ReceiveProblem and carries the gRPC status that OTLP asks for; the data is
// then still compressed, so that another limit may be tried.
func (f *Frame) Decompress(limit int) error {
	if f.Encoding == "" {
		return nil
	}
	if limit == 0 {
		limit = f.Limit
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	src := f.onePiece()
	size := codec.DeclaredSize(f.Encoding, src)
	if size < 0 {
		size = codec.MaxDecodedLen(f.Encoding, src)
	}
	if size < 0 {
		size = 8 * len(src)
	}
	// Claims beyond 32 times the compressed size are honoured as data arrives.
	size = min(size, limit, max(32*len(src), 64<<10))
	pool := f.pool()
	buf := pool.Get(max(size, 1))
	out, err := codec.DecodePaced((*buf)[:0], f.Encoding, src, limit, f.Pace)
	if err != nil {
		pool.Put(buf)
		return &receiveError{err: fmt.Errorf("message in grpc-encoding %q: %w", f.Encoding, err)}
	}
	copies.Count(copies.Inflated, len(out))
	if cap(out) != cap(*buf) { // it outgrew the claim: out is not of the pool
		pool.Put(buf)
		buf = pool.Get(len(out))
		copy(*buf, out)
		copies.Count(copies.Pieces, len(out))
	} else {
		*buf = out
	}
	f.Free()
	f.Data = mem.BufferSlice{mem.NewBuffer(buf, pool)}
	return nil
}

// onePiece makes Data one buffer and returns its bytes.
func (f *Frame) onePiece() []byte {
	if len(f.Data) != 1 {
		f.countPieces()
		buf := f.Data.MaterializeToBuffer(f.pool())
		f.Data.Free()
		f.Data = mem.BufferSlice{buf}
	}
	return f.Data[0].ReadOnlyData()
}

// countPieces is before Data is made one buffer, which copies it unless it is one.
func (f *Frame) countPieces() {
	if len(f.Data) > 1 {
		copies.Count(copies.Pieces, f.Len())
	}
}

func (f *Frame) pool() mem.BufferPool {
	if f.Pool != nil {
		return f.Pool
	}
	return mem.DefaultBufferPool()
}
