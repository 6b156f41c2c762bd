package deadletter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Bounds of Show, in bytes.
const (
	// maxRaw is the largest payload that is decompressed: the largest group that
	// a gateway makes.
	maxRaw = 64 << 20
	// maxShown and maxShownItems bound what of it is decoded: as objects and as
	// JSON it is many times that.
	maxShown      = 4 << 20
	maxShownItems = 200_000
	// maxExcerpt is how much is shown of a body that is not decoded.
	maxExcerpt = 4 << 10
)

// Shown is a letter with what it holds.
type Shown struct {
	Info
	// Payload is the OTLP JSON of it, or of its first items when it is large; nil
	// when it was not asked for or cannot be had. It is safe to print.
	Payload json.RawMessage `json:"payload,omitempty"`
	// ShownItems is how many items Payload has.
	ShownItems int `json:"shown_items,omitempty"`
	// Undecoded says why there is no payload. Headers, and the begin of the body
	// as it is stored, are there then.
	Undecoded string            `json:"undecoded,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Body      []byte            `json:"body,omitempty"`       // base64 in JSON
	BodyShort bool              `json:"body_short,omitempty"` // the body is longer
}

// Show reads one letter, with its payload as OTLP JSON when that is asked for.
// queue.ErrNotFound when it is not there, or no more. Whatever lies in the queue
// is shown as far as it goes, in bounded memory: of a payload of more than 4 MiB
// the first half of the items, or half of these, and so on; what is damaged by
// its headers and the first 4 KiB of its body.
func Show(ctx context.Context, q Reader, stream string, seq uint64, payload bool) (Shown, error) {
	m, at, err := q.Get(ctx, stream, seq)
	if errors.Is(err, queue.ErrNotFound) {
		return Shown{}, fmt.Errorf("dead letter %d: %w: it was redriven or purged, or never was", seq, err)
	}
	if err != nil {
		return Shown{}, fmt.Errorf("dead letter %d: %w", seq, err)
	}
	i, _ := Decode(queue.Entry{Message: m, Sequence: seq, StoredAt: at, Size: len(m.Body)}) // the problem is in it
	s := Shown{Info: i}
	if !payload {
		return s, nil
	}
	if s.Payload, s.ShownItems, err = decodePayload(m); err != nil {
		s.raw(m, err)
	}
	return s, nil
}

func decodePayload(m *queue.Message) (out json.RawMessage, items int, err error) {
	r, err := record.Decode(m)
	if err != nil {
		return nil, 0, err
	}
	if r.RawBytes > maxRaw {
		return nil, 0, fmt.Errorf("the payload is %d bytes decompressed: up to %d are read", r.RawBytes, maxRaw)
	}
	raw, err := codec.Decode(nil, r.Codec, r.Body, r.RawBytes)
	if err != nil {
		return nil, 0, err
	}
	info, err := otlp.Check(r.Signal, raw, otlp.CheckOptions{RejectUTF8: true})
	if err != nil {
		return nil, 0, err
	}
	for items = info.Items; len(raw) > maxShown || items > maxShownItems; {
		left, _, ok, err := otlp.Halve(r.Signal, raw)
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			return nil, 0, fmt.Errorf("the first item has %d bytes: up to %d are shown", len(raw), maxShown)
		}
		raw, items = left.Bytes, left.Info.Items
	}
	if out, err = otlp.AppendJSONFromProto(nil, r.Signal, raw); err != nil {
		return nil, 0, err
	}
	if !json.Valid(out) {
		return nil, 0, errors.New("the payload has no form in JSON")
	}
	return printable(out), items, nil
}

// printable is JSON that means the same, in which what a terminal could take for
// an order (DEL, the control characters from U+0080 on, what turns the direction
// of text) is in escaped form. Such is in strings alone.
func printable(b []byte) []byte {
	unsafe := func(r rune) bool { return r >= 0x7f && !unicode.IsPrint(r) || r == utf8.RuneError }
	if bytes.IndexFunc(b, unsafe) < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+len(b)/8)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case !unsafe(r):
			out = append(out, b[:n]...)
		case r >= 0x10000:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out
}

// raw shows what there is.
func (s *Shown) raw(m *queue.Message, why error) {
	s.Undecoded = clean(why.Error(), maxText)
	s.Headers = make(map[string]string, len(m.Header))
	for name, value := range m.Header {
		s.Headers[clean(name, maxText)] = clean(value, maxText)
	}
	s.Body = m.Body[:min(len(m.Body), maxExcerpt)]
	s.BodyShort = len(m.Body) > maxExcerpt
}
