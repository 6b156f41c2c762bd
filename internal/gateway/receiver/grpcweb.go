package receiver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// gRPC-Web (github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md) is gRPC for
// clients that see no HTTP/2 frames and no trailers: browsers. The body is the
// frames of gRPC, the trailers are a last frame of the answer, and -text is the
// same in base64.
const (
	typeWeb          = "application/grpc-web"
	typeWebProto     = "application/grpc-web+proto"
	typeWebText      = "application/grpc-web-text"
	typeWebTextProto = "application/grpc-web-text+proto"
)

// A frame is a byte of flags, four of length, big endian, and as many bytes.
const (
	webHead       = 5
	webCompressed = 0x01
	webTrailers   = 0x80
)

// webEncodings are the values of grpc-encoding, as in package grpcwire. The
// codec's snappy is block or framing format, whichever comes.
var webEncodings = []string{codec.Gzip, codec.Zstd, codec.Snappy}

// webForm is the form of a gRPC-Web content type.
func webForm(mediaType string) (form, bool) {
	switch mediaType {
	case typeWeb, typeWebProto:
		return formWeb, true
	case typeWebText, typeWebTextProto:
		return formWebText, true
	}
	return 0, false
}

// webSignal is the signal of a path that is an Export method's.
func webSignal(path string) (otlp.Signal, bool) {
	for _, s := range otlp.Signals {
		if path == grpcwire.Method(s) {
			return s, true
		}
	}
	return 0, false
}

// serveWeb is one call of gRPC-Web, under the deadline that its client set.
func (h *HTTP) serveWeb(w http.ResponseWriter, r *http.Request, s otlp.Signal) {
	timeout, refusal := webTimeout(r)
	if refusal != nil {
		refuse(w, r, h.intake.refused(s, transportHTTP, 0, refusal))
		return
	}
	if timeout > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		r = r.WithContext(ctx)
	}
	h.serve(w, r, s, true)
}

// readableWeb refuses what is no gRPC-Web call that can be read.
func readableWeb(r *http.Request) (form, *otlp.Refusal) {
	f, ok := webForm(mediaType(r))
	if !ok {
		return f, otlp.Refuse(otlp.ReasonUnsupportedMediaType, nil,
			"Content-Type is %q: this path of the HTTP listener takes gRPC-Web, %s or %s; gRPC itself is at gateway.grpc.listen", r.Header.Get("Content-Type"), typeWeb, typeWebText)
	}
	if e := contentEncoding(r); !plain(e) {
		return f, otlp.Refuse(otlp.ReasonUnsupportedEncoding, nil, "Content-Encoding is %q: gRPC-Web compresses messages, with Grpc-Encoding", e)
	}
	if e := webEncoding(r); !plain(e) && !slices.Contains(webEncodings, e) {
		return f, otlp.Refuse(otlp.ReasonUnsupportedEncoding, nil, "Grpc-Encoding is %q: want one of %s", e, webOffered)
	}
	return f, nil
}

var webOffered = strings.Join(webEncodings, ", ") + ", identity"

func webEncoding(r *http.Request) string { return strings.ToLower(r.Header.Get("Grpc-Encoding")) }

// webPayload is the message of a gRPC-Web body, in raw. The limit is that of the
// message: its frame and base64 come on top.
func (h *HTTP) webPayload(r *http.Request, raw *body, v *visit, f form) ([]byte, *otlp.Refusal) {
	limit, held := v.limit(), &v.held
	most := limit + webHead
	if f == formWebText {
		most = base64.StdEncoding.EncodedLen(most)
	}
	packed := body{pool: h.pool}
	defer packed.free()
	b, refusal := readBody(r, &packed, held, most)
	if refusal != nil {
		return nil, refusal
	}
	if f == formWebText {
		n, err := decodeWebText(b)
		if err != nil {
			return nil, otlp.Refuse(otlp.ReasonMalformed, err, "the body of %s is not base64: %v", typeWebText, err)
		}
		b = b[:n]
	}
	message, compressed, err := webMessage(b)
	switch {
	case err != nil:
		return nil, otlp.Refuse(otlp.ReasonMalformed, err, "the body is not the frame of one gRPC-Web message: %v", err)
	case len(message) > limit:
		return nil, tooLarge(limit, "the message")
	case !compressed:
		*raw, packed = packed, body{pool: h.pool} // the message lives on in it
		return message, nil
	}
	e := webEncoding(r)
	if plain(e) {
		return nil, otlp.Refuse(otlp.ReasonMalformed, nil, "the message is flagged as compressed and Grpc-Encoding is %q", e)
	}
	return v.inflate(r.Context(), e, message, raw, limit)
}

// webMessage is the message of a unary call: one data frame, and nothing behind
// it but a frame of trailers, in which no client has said anything yet.
func webMessage(b []byte) (message []byte, compressed bool, err error) {
	flags, message, rest, err := webFrame(b)
	switch {
	case err != nil:
		return nil, false, err
	case flags&^webCompressed != 0:
		return nil, false, fmt.Errorf("the first frame has the flags %#02x, want 0x00 or 0x01", flags)
	}
	if len(rest) > 0 {
		flags, _, rest, err := webFrame(rest)
		switch {
		case err != nil:
			return nil, false, fmt.Errorf("behind the message: %w", err)
		case flags&webTrailers == 0 || len(rest) > 0:
			return nil, false, errors.New("there is more than one message: Export takes one")
		}
	}
	return message, flags&webCompressed != 0, nil
}

// webFrame cuts the first frame off b.
func webFrame(b []byte) (flags byte, data, rest []byte, err error) {
	if len(b) < webHead {
		return 0, nil, nil, fmt.Errorf("%d bytes, a frame has at least %d", len(b), webHead)
	}
	n := uint64(binary.BigEndian.Uint32(b[1:]))
	if have := uint64(len(b) - webHead); n > have {
		return 0, nil, nil, fmt.Errorf("a frame declares %d bytes and %d follow", n, have)
	}
	return b[0], b[webHead : webHead+n], b[webHead+n:], nil
}

// decodeWebText decodes b in place and returns the length. A sender may encode
// in pieces, each with its own padding; a piece ends at a multiple of four.
func decodeWebText(b []byte) (int, error) {
	done := 0
	for at := 0; at < len(b); {
		end := len(b)
		if i := bytes.IndexByte(b[at:], '='); i >= 0 {
			end = min(at+(i|3)+1, len(b))
		}
		// In place: Decode writes behind where it reads, three bytes for four.
		n, err := base64.StdEncoding.Decode(b[done:], b[at:end])
		if err != nil {
			return 0, err
		}
		done, at = done+n, end
	}
	return done, nil
}

// webTimeout is the time that the client gives the call, 0 for none. The form is
// gRPC's: at most eight digits and a unit.
func webTimeout(r *http.Request) (time.Duration, *otlp.Refusal) {
	text := r.Header.Get("Grpc-Timeout")
	if text == "" {
		return 0, nil
	}
	digits, unit := text[:len(text)-1], text[len(text)-1]
	n, err := strconv.ParseUint(digits, 10, 64)
	per, ok := webUnits[unit]
	if err != nil || !ok || len(digits) > 8 {
		return 0, otlp.Refuse(otlp.ReasonMalformed, err, "Grpc-Timeout is %q: want at most eight digits and one of H, M, S, m, u, n", text)
	}
	const forEver = 24 * time.Hour // and no product beyond its type
	if time.Duration(n) > forEver/per {
		return forEver, nil
	}
	return time.Duration(n) * per, nil
}

var webUnits = map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': 1}
