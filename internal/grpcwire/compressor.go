package grpcwire

import (
	"bytes"
	"crypto/rand"
	"io"
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/penstock-otel/penstock/pkg/codec"
)

// encodings are the compressions that gRPC peers may use, by grpc-encoding. For
// snappy that is the framing format: what golang/snappy's buffered writer, as
// the Collector uses it, sends; the block format is understood too.
var encodings = [...]struct{ name, codec string }{
	{"gzip", codec.Gzip},
	{"zstd", codec.Zstd},
	{"snappy", codec.SnappyFramed},
}

var register = sync.OnceFunc(func() {
	protoCodec = encoding.GetCodecV2("proto")
	encoding.RegisterCodecV2(Codec{})
	for i, e := range encodings {
		enc, err := codec.NewEncoder(e.codec, 0)
		if err != nil {
			panic("grpcwire: " + err.Error())
		}
		encoding.RegisterCompressor(&compressor{name: e.name, enc: enc, index: byte(i)})
	}
})

// Register puts Codec and the compressors gzip, zstd and snappy into gRPC's
// registry. Importing the package has done so; calling it again does nothing.
func Register() { register() }

func init() { Register() }

// compressor is an encoding.Compressor. It keeps no compressor state: payloads
// are compressed whole when the writer is closed.
type compressor struct {
	name  string
	enc   codec.Encoder
	index byte
}

func (c *compressor) Name() string { return c.name }

func (c *compressor) Compress(w io.Writer) (io.WriteCloser, error) {
	g, _ := gatherers.Get().(*gatherer)
	if g == nil {
		g = new(gatherer)
	}
	g.w, g.enc = w, c.enc
	return g, nil
}

// gatherers is the pool of writers. One leaves it in Compress and returns in a
// successful Close, once: after Close it has no writer, and refuses.
var gatherers sync.Pool

// maxGather is the most memory that a pooled gatherer may keep in each buffer.
const maxGather = 8 << 20

type gatherer struct {
	w        io.Writer
	enc      codec.Encoder
	raw, out []byte
}

func (g *gatherer) Write(p []byte) (int, error) {
	if g.w == nil {
		return 0, io.ErrClosedPipe
	}
	g.raw = append(g.raw, p...)
	return len(p), nil
}

func (g *gatherer) Close() error {
	w := g.w
	if w == nil {
		return io.ErrClosedPipe
	}
	g.w = nil
	var err error
	if g.out, err = g.enc.Append(g.out[:0], g.raw); err != nil {
		return err
	}
	if _, err = w.Write(g.out); err != nil {
		return err
	}
	if cap(g.raw) <= maxGather && cap(g.out) <= maxGather {
		g.raw, g.out = g.raw[:0], g.out[:0]
		gatherers.Put(g)
	}
	return nil
}

// mark begins what Decompress hands to Codec: bytes that no peer knows, then the
// index of the encoding. The first is no protobuf tag, so that a decoder that is
// not ours fails.
var mark = func() (m [16]byte) {
	rand.Read(m[:])
	m[0] = 0x07
	return m
}()

const markLen = len(mark) + 1

// Decompress does not: it passes the compressed bytes on, marked, to Codec.
func (c *compressor) Decompress(r io.Reader) (io.Reader, error) {
	m := &markedReader{r: r}
	copy(m.head[:], mark[:])
	m.head[len(mark)] = c.index
	m.rest = m.head[:]
	return m, nil
}

type markedReader struct {
	head [markLen]byte
	rest []byte // of head, not yet read
	r    io.Reader
}

func (m *markedReader) Read(p []byte) (int, error) {
	if len(m.rest) > 0 {
		n := copy(p, m.rest)
		m.rest = m.rest[n:]
		return n, nil
	}
	return m.r.Read(p)
}

// unwrap returns references to the buffers of data, without the mark if it has
// one, and the encoding that the mark names.
func unwrap(data mem.BufferSlice) (mem.BufferSlice, string) {
	if len(data) > 0 {
		// gRPC fills buffers of 32 KiB, so that the mark is in one piece.
		if first := data[0].ReadOnlyData(); len(first) >= markLen && bytes.Equal(first[:len(mark)], mark[:]) {
			e := encodings[first[len(mark)]]
			body := make(mem.BufferSlice, len(data))
			body[0] = data[0].Slice(markLen, len(first))
			copy(body[1:], data[1:])
			body[1:].Ref()
			return body, e.name
		}
	}
	data.Ref()
	return data, ""
}
