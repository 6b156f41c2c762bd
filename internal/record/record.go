// Package record is the form in which a group of telemetry lies in the queue:
// the body is the compressed payload and nothing else, all that is known of it
// stands in headers, so that a body can be shipped as it is and anyone with a
// NATS client can read a message.
//
// The form is a public promise (invariant I7): docs/reference/message-format.md
// describes it, testdata keeps a message of every version.
package record

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Version is what Encode writes. Decode reads every version ever written.
const Version = 1

// Headers of a message. Part of the format: never renamed.
const (
	HeaderVersion  = "Penstock-Version"
	HeaderSignal   = "Penstock-Signal"
	HeaderTenant   = "Penstock-Tenant"    // absent: no tenant
	HeaderCodec    = "Penstock-Codec"     // none, s2, zstd, gzip, br
	HeaderItems    = "Penstock-Items"     // spans, points or log records
	HeaderRawBytes = "Penstock-Raw-Bytes" // of the payload before compression
	HeaderCRC32C   = "Penstock-Crc32c"    // of the body as stored, 8 hex digits
	HeaderMinTime  = "Penstock-Min-Time"  // event time, Unix ns; absent: unknown
	HeaderMaxTime  = "Penstock-Max-Time"
)

// Headers lists them.
func Headers() []string {
	return []string{HeaderVersion, HeaderSignal, HeaderTenant, HeaderCodec, HeaderItems, HeaderRawBytes, HeaderCRC32C, HeaderMinTime, HeaderMaxTime}
}

// Errors of Decode.
var (
	// ErrDamaged marks a message whose headers or body are not what was
	// written. It can never be exported as it is.
	ErrDamaged = errors.New("message is damaged")
	// ErrNewer marks a message of a version that this program does not know
	// yet. It is whole for a newer program.
	ErrNewer = errors.New("message is of a newer version")
)

// codecs are those that version 1 may name.
var codecs = []string{codec.None, codec.S2, codec.Zstd, codec.Gzip, codec.Brotli}

// Record is a group: many requests of one signal and tenant, joined and
// compressed.
type Record struct {
	ID       string // ULID, the queue's message id
	Signal   otlp.Signal
	Tenant   string
	Codec    string
	Items    int
	RawBytes int
	// MinTime and MaxTime bound the event times in Unix ns; 0 when unknown.
	MinTime, MaxTime uint64
	// Body is the compressed payload. Encode and Decode share it, not copy.
	Body []byte
}

// Encode makes the queue message of r. It shares r.Body.
func Encode(r *Record) *queue.Message {
	h := make(map[string]string, 10)
	h[HeaderVersion] = strconv.Itoa(Version)
	h[HeaderSignal] = r.Signal.String()
	if r.Tenant != "" {
		h[HeaderTenant] = r.Tenant
	}
	h[HeaderCodec] = r.Codec
	h[HeaderItems] = strconv.Itoa(r.Items)
	h[HeaderRawBytes] = strconv.Itoa(r.RawBytes)
	h[HeaderCRC32C] = checksum(r.Body)
	if r.MaxTime != 0 {
		h[HeaderMinTime] = strconv.FormatUint(r.MinTime, 10)
		h[HeaderMaxTime] = strconv.FormatUint(r.MaxTime, 10)
	}
	return &queue.Message{ID: r.ID, Header: h, Body: r.Body}
}

// checksum is that of HeaderCRC32C.
func checksum(body []byte) string {
	var b [8]byte
	return string(hex.AppendEncode(b[:0], binary.BigEndian.AppendUint32(nil, codec.Checksum(body))))
}

// Decode reads a message and checks its body against its checksum. The record
// shares the message's body. Every error is ErrDamaged or ErrNewer; what could
// be read is returned beside it, for the dead-letter stream.
func Decode(m *queue.Message) (*Record, error) {
	d := decoder{h: m.Header}
	switch v := d.int(HeaderVersion); {
	case d.err == nil && v > Version:
		return &Record{ID: m.ID, Body: m.Body}, fmt.Errorf("%w: %s is %d and this program reads up to %d: upgrade it", ErrNewer, HeaderVersion, v, Version)
	case v < 1:
		d.fail("%s is %q, want 1 to %d", HeaderVersion, m.Header[HeaderVersion], Version)
	}
	r := &Record{ID: m.ID, Tenant: m.Header[HeaderTenant], Codec: m.Header[HeaderCodec], Body: m.Body}
	sig, err := otlp.ParseSignal(m.Header[HeaderSignal])
	if err != nil {
		d.fail("%s: %v", HeaderSignal, err)
	}
	r.Signal = sig
	if !slices.Contains(codecs, r.Codec) {
		d.fail("%s is %q, want one of %s", HeaderCodec, r.Codec, strings.Join(codecs, ", "))
	}
	r.Items = d.int(HeaderItems)
	r.RawBytes = d.int(HeaderRawBytes)
	r.MinTime = d.time(HeaderMinTime)
	r.MaxTime = d.time(HeaderMaxTime)
	if got, want := checksum(m.Body), m.Header[HeaderCRC32C]; got != want {
		d.fail("checksum of %d body bytes is %s and %s is %q", len(m.Body), got, HeaderCRC32C, want)
	}
	return r, d.err
}

// EventTimes are MinTime and MaxTime; the zero time when unknown.
func (r *Record) EventTimes() (first, last time.Time) {
	if r.MaxTime == 0 {
		return time.Time{}, time.Time{}
	}
	return time.Unix(0, int64(r.MinTime)), time.Unix(0, int64(r.MaxTime))
}

type decoder struct {
	h   map[string]string
	err error
}

// fail keeps the first problem.
func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
	}
}

func (d *decoder) int(name string) int {
	n, err := strconv.Atoi(d.h[name])
	if err != nil || n < 0 {
		d.fail("%s is %q, want a whole number", name, d.h[name])
		return 0
	}
	return n
}

func (d *decoder) time(name string) uint64 {
	s, ok := d.h[name]
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		d.fail("%s is %q, want Unix nanoseconds", name, s)
	}
	return n
}
