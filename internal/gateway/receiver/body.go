package receiver

import (
	"errors"
	"io"
	"net/http"

	"google.golang.org/grpc/mem"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// firstRead is how much of a body is believed of its declared length: a client
// that declares much and sends little holds this much.
const firstRead = 1 << 20

// inflation is the first guess of how much a body grows by decompression.
const inflation = 8

// body is a request body in pooled buffers, charged to its claim.
type body struct {
	pool mem.BufferPool
	buf  *[]byte
}

func (b *body) free() {
	if b.buf != nil {
		b.pool.Put(b.buf)
		b.buf = nil
	}
}

// grow replaces the buffer by one of at least n bytes, keeping the first used.
func (b *body) grow(n, used int) {
	next := b.pool.Get(n)
	if b.buf != nil {
		copy(*next, (*b.buf)[:used])
		b.pool.Put(b.buf)
	}
	b.buf = next
}

// readBody reads all of a body of at most limit bytes. The result lives in b.
func readBody(r *http.Request, b *body, c *claim, limit int) ([]byte, *otlp.Refusal) {
	if r.ContentLength > int64(limit) {
		return nil, tooLarge(limit, "the body")
	}
	size := 32 << 10
	if r.ContentLength >= 0 {
		size = int(min(r.ContentLength, firstRead)) + 1 // one more, to see the end without growing
	}
	used := 0
	for {
		if refusal := c.grow(size); refusal != nil {
			return nil, refusal
		}
		b.grow(size, used)
		for used < size {
			n, err := r.Body.Read((*b.buf)[used:size])
			used += n
			switch {
			case errors.Is(err, io.EOF):
				return (*b.buf)[:used], nil
			case err != nil:
				return nil, otlp.Refuse(otlp.ReasonMalformed, err, "the body ended after %d bytes: %v", used, err)
			}
		}
		if used > limit {
			return nil, tooLarge(limit, "the body")
		}
		size = min(2*size, limit+1)
	}
}

// inflate decompresses src of the encoding into b, charged to c beside the
// bytes that c already holds.
func inflate(encoding string, src []byte, b *body, c *claim, limit int) ([]byte, *otlp.Refusal) {
	base := c.held
	for room := min(limit, max(inflation*len(src), 64<<10)); ; room = min(limit, 4*room) {
		if refusal := c.grow(base + room); refusal != nil {
			return nil, refusal
		}
		b.grow(room, 0)
		out, err := codec.Decode((*b.buf)[:0], encoding, src, room)
		switch {
		case err == nil:
			if len(out) > 0 && &out[0] != &(*b.buf)[0] { // the codec needed a buffer of its own
				b.free()
				b.buf = &out
			}
			return out, nil
		case !errors.Is(err, codec.ErrTooLarge):
			return nil, otlp.Refuse(otlp.ReasonMalformed, err, "the body is not valid %s: %v", encoding, err)
		case room >= limit:
			return nil, tooLarge(limit, "the body after decompression")
		}
	}
}

func tooLarge(limit int, what string) *otlp.Refusal {
	return otlp.Refuse(otlp.ReasonTooLarge, nil, "%s is larger than gateway.limits.max_request_bytes of %d: send smaller batches", what, limit)
}
