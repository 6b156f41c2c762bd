// Package outgoing is what the exporters that speak OTLP share: the body of a
// request in the compression of the wire, and headers that keep their values to
// themselves.
package outgoing

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/penstock-otel/penstock/internal/copies"
	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// DefaultMaxRequestBytes is the limit that the specification recommends to
// clients, before compression (OTLP 1.11, "Size limits").
const DefaultMaxRequestBytes = 64 << 20

// What is kept for reuse, for each destination: small buffers, and large ones for a
// few seconds.
const (
	maxIdle   = 8 << 20
	maxLarge  = 32 << 20
	keepLarge = 5 * time.Second
)

// Bodies makes request bodies for one wire compression. Safe for concurrent
// use.
type Bodies struct {
	wire string
	enc  codec.Encoder
	max  int
	pool *grpcwire.MeteredPool
}

// NewBodies takes the name of a codec and its level, and the limit on the bytes
// of a request before compression; 0 means DefaultMaxRequestBytes.
func NewBodies(wire string, level, maxRequestBytes int) (*Bodies, error) {
	enc, err := codec.NewEncoder(wire, level)
	if err != nil {
		return nil, err
	}
	if maxRequestBytes < 0 {
		return nil, fmt.Errorf("max_request_bytes: %d, want 1 or more", maxRequestBytes)
	}
	if maxRequestBytes == 0 {
		maxRequestBytes = DefaultMaxRequestBytes
	}
	return &Bodies{wire: wire, enc: enc, max: maxRequestBytes, pool: grpcwire.NewMeteredPool(maxIdle).WithLarge(grpcwire.NewLarge(maxLarge, keepLarge))}, nil
}

// Body is the bytes of one request as they go over the wire.
type Body struct {
	Data []byte
	// Stored means that Data is the body of the exporter.Request itself: it is
	// not to be read after Export returned.
	Stored bool

	buf  *[]byte
	pool *grpcwire.MeteredPool
}

// Release gives Data up. It is called once.
func (b Body) Release() {
	if b.buf != nil {
		b.pool.Put(b.buf)
	}
}

// Of gives the body of r: the stored bytes themselves if they have the wire's
// compression, else a compression of their decompressed form in a pooled
// buffer. The error is an *exporter.Error.
func (b *Bodies) Of(r *exporter.Request) (Body, error) {
	if r.RawBytes > b.max {
		return Body{}, b.tooLarge(fmt.Errorf("%d bytes before compression", r.RawBytes))
	}
	if r.Codec == b.wire && r.Codec != codec.None {
		return Body{Data: r.Body, Stored: true}, nil
	}
	raw, err := b.decode(r)
	if err != nil {
		return Body{}, err
	}
	if b.wire == codec.None {
		return raw, nil
	}
	defer raw.Release()
	buf := b.pool.Get(codec.MaxEncodedLen(b.wire, len(raw.Data)))
	out, err := b.enc.Append((*buf)[:0], raw.Data)
	if err != nil {
		b.pool.Put(buf)
		return Body{}, &exporter.Error{Kind: exporter.Permanent, Code: "undecodable", Err: fmt.Errorf("compress %d bytes with %s: %w", len(raw.Data), b.wire, err)}
	}
	return b.own(buf, out), nil
}

// decode copies where nothing is compressed, so that the bytes may outlive the
// request.
func (b *Bodies) decode(r *exporter.Request) (Body, error) {
	if r.Codec == codec.None && len(r.Body) > b.max {
		return Body{}, b.tooLarge(fmt.Errorf("%d bytes", len(r.Body)))
	}
	buf := b.pool.Get(max(r.RawBytes, 1))
	out, err := codec.Decode((*buf)[:0], r.Codec, r.Body, b.max)
	switch {
	case errors.Is(err, codec.ErrTooLarge):
		b.pool.Put(buf)
		return Body{}, b.tooLarge(err)
	case err != nil:
		b.pool.Put(buf)
		return Body{}, &exporter.Error{Kind: exporter.Permanent, Code: "undecodable",
			Err: fmt.Errorf("queued request %s of %d bytes: %w", r.ID, len(r.Body), err)}
	}
	if r.Codec == codec.None {
		copies.Count(copies.Owned, len(out))
	} else {
		copies.Count(copies.Decoded, len(out))
	}
	return b.own(buf, out), nil
}

// own makes a body of out, which was appended to buf and may have left it.
func (b *Bodies) own(buf *[]byte, out []byte) Body {
	if cap(out) != cap(*buf) {
		b.pool.Put(buf)
		return Body{Data: out}
	}
	return Body{Data: out, buf: buf, pool: b.pool}
}

func (b *Bodies) tooLarge(err error) error {
	return &exporter.Error{Kind: exporter.TooLarge, Code: "too_large",
		Err: fmt.Errorf("not sent, max_request_bytes of the destination is %d: %w", b.max, err)}
}

// InUse is the number of bytes in bodies that were not released.
func (b *Bodies) InUse() int64 { return b.pool.InUse() }

// Pool is where replies may be read into.
func (b *Bodies) Pool() mem.BufferPool { return b.pool }
