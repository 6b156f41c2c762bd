package receiver

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/penstock-otel/penstock/internal/copies"
	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// Sizes of the first buffer of a body.
const (
	// firstRead is how much is believed of a declared length: a client that
	// declares much and sends little holds this much.
	firstRead = 64 << 10
	// unknownRead is for a body without a declared length.
	unknownRead = 32 << 10
)

// readChunk is the most that is read at once. A system call that fills megabytes of
// fresh memory keeps its core from all other requests for as long.
const readChunk = 256 << 10

// body is a buffer from the pool that holds a request body. It has one owner,
// and what is read from it must not be used after free.
type body struct {
	pool *grpcwire.MeteredPool
	buf  *[]byte
}

// free gives the buffer back; it may be called again.
func (b *body) free() {
	if b.buf != nil {
		b.pool.Put(b.buf)
		b.buf = nil
	}
}

// give makes the buffer somebody else's, who calls the result when done.
func (b *body) give() (free func()) {
	given := *b
	b.buf = nil
	return given.free
}

// grow replaces the buffer by one of n bytes, keeping the first used.
func (b *body) grow(n, used int) {
	next := b.pool.Get(n)
	if b.buf != nil {
		copy(*next, (*b.buf)[:used])
		copies.Count(copies.Body, used)
		b.pool.Put(b.buf)
	}
	b.buf = next
}

// readBody reads all of a body of at most limit bytes. The result lives in b,
// and is charged to c before there is memory for it.
func readBody(r *http.Request, b *body, c *claim, limit int) ([]byte, *otlp.Refusal) {
	if r.ContentLength > int64(limit) {
		return nil, tooLarge(limit, "the body")
	}
	size := unknownRead
	if r.ContentLength >= 0 {
		size = int(min(r.ContentLength+1, firstRead)) // one more, to see the end without growing
	}
	used := 0
	for {
		size = min(size, limit+1)
		if refusal := c.grow(size); refusal != nil {
			return nil, refusal
		}
		b.grow(size, used)
		for used < size {
			n, err := r.Body.Read((*b.buf)[used:min(size, used+readChunk)])
			used += n
			switch {
			case err == io.EOF && used <= limit:
				return (*b.buf)[:used], nil
			case err != nil && err != io.EOF:
				return nil, unread(r, used, err)
			case used > limit:
				return nil, tooLarge(limit, "the body")
			}
		}
		if r.ContentLength < 0 {
			size *= 2
			continue
		}
		// A client that sent as much as it was believed is believed four times
		// that. Buffers of a large body are left behind, so that few are better.
		size = min(4*size, int(r.ContentLength)+1)
	}
}

// unread is the answer to a body that ended early. Only a client at fault gets
// one that is final: a slow or cut connection may be better the next time.
func unread(r *http.Request, used int, err error) *otlp.Refusal {
	var cut net.Error
	switch {
	case errors.Is(err, errPressure):
		return underPressure(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return otlp.Refuse(otlp.ReasonDeadlineExceeded, err, "of the body %d bytes arrived within gateway.http.read_timeout", used)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &cut):
		return otlp.Refuse(otlp.ReasonCanceled, err, "the connection ended after %d bytes of the body", used)
	case r.Context().Err() != nil:
		return otlp.AsRefusal(r.Context().Err())
	}
	return otlp.Refuse(otlp.ReasonMalformed, err, "the body cannot be read after %d bytes: %v", used, err)
}

func tooLarge(limit int, what string) *otlp.Refusal {
	return otlp.Refuse(otlp.ReasonTooLarge, nil, "%s is larger than the limit of %d bytes (gateway.limits.max_request_bytes, or that of the tenant): send smaller batches", what, limit)
}
