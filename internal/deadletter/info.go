package deadletter

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// ErrForeign marks a message of the dead-letter stream whose headers are not
// those of a letter. What could be read of it is still told.
var ErrForeign = errors.New("not the headers of a dead letter")

// Info is what is known of a letter without its payload. Text is printable
// ASCII of bounded length, whatever lay in the queue.
type Info struct {
	Sequence uint64    `json:"sequence"`          // of the letter, in the dead-letter stream
	LetterID string    `json:"letter_id"`         // of the letter
	KeptAt   time.Time `json:"kept_at,omitzero"`  // when the dead-letter stream took it
	Problem  string    `json:"problem,omitempty"` // what is wrong with its headers

	Reason      string    `json:"reason"`
	Code        string    `json:"code,omitempty"`
	Detail      string    `json:"detail,omitempty"`
	Destination string    `json:"destination"`
	Attempts    int       `json:"attempts"`
	Redrives    int       `json:"redrives"`
	FirstAt     time.Time `json:"first_at,omitzero"` // zero: not known
	DiedAt      time.Time `json:"died_at,omitzero"`

	ID             string    `json:"id"`                 // of the message in its stream
	Stream         string    `json:"stream"`             // where it lay
	OriginSequence uint64    `json:"origin_sequence"`    // and at which position
	StoredAt       time.Time `json:"stored_at,omitzero"` // and since when
	Part           string    `json:"part,omitempty"`     // items of the message, empty: all

	Signal   string    `json:"signal"`
	Tenant   string    `json:"tenant,omitempty"`
	Codec    string    `json:"codec"`
	Items    int       `json:"items"`     // 0 when a damaged message does not say
	RawBytes int       `json:"raw_bytes"` // of the payload, once decompressed
	Size     int       `json:"size"`      // of the payload as stored, in bytes
	MinTime  time.Time `json:"min_time,omitzero"`
	MaxTime  time.Time `json:"max_time,omitzero"`
}

// Decode reads the headers of a letter, of this version of the format or any
// before it; the body is not looked at. Of what is not a letter, or a damaged
// one, it tells what can be read, with an error of ErrForeign, the text of which
// is the Problem. Headers of the message itself are not held against a letter of
// ReasonDamaged.
func Decode(e queue.Entry) (Info, error) {
	m := e.Message
	d := headers{h: m.Header}
	i := Info{
		Sequence: e.Sequence, LetterID: clean(m.ID, maxText), KeptAt: e.StoredAt.UTC(), Size: e.Size,
		Reason: d.required(HeaderReason), Code: d.text(HeaderCode), Detail: d.text(HeaderDetail), Destination: d.required(HeaderDestination),
		Attempts: d.count(HeaderAttempts), FirstAt: d.optionalTime(HeaderFirstAt), DiedAt: d.time(HeaderDiedAt),
		ID: d.text(HeaderID), Stream: d.required(HeaderStream), OriginSequence: d.sequence(HeaderSequence), StoredAt: d.time(HeaderStoredAt),
		Part: d.text(HeaderPart), Signal: d.text(record.HeaderSignal), Tenant: d.text(record.HeaderTenant), Codec: d.text(record.HeaderCodec),
	}
	if _, redriven := d.h[HeaderRedrives]; redriven {
		i.Redrives = d.count(HeaderRedrives)
	}
	whole := d.err
	if _, err := otlp.ParseSignal(i.Signal); err != nil {
		d.fail("%s: %v", record.HeaderSignal, err)
	}
	i.Items, i.RawBytes = d.count(record.HeaderItems), d.count(record.HeaderRawBytes)
	i.MinTime, i.MaxTime = d.event(record.HeaderMinTime), d.event(record.HeaderMaxTime)
	if i.Reason == ReasonDamaged {
		d.err = whole
	}
	if d.err != nil {
		i.Problem = d.err.Error()
	}
	return i, d.err
}

// maxText bounds a text in an Info, in bytes: what is written is never longer.
const maxText = 1024

// headers reads them and keeps the first problem.
type headers struct {
	h   map[string]string
	err error
}

func (d *headers) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrForeign}, args...)...)
	}
}

func (d *headers) text(name string) string { return clean(d.h[name], maxText) }

func (d *headers) required(name string) string {
	s := d.text(name)
	if s == "" {
		d.fail("%s is missing", name)
	}
	return s
}

func (d *headers) count(name string) int {
	n, err := strconv.Atoi(d.h[name])
	if err != nil || n < 0 {
		d.fail("%s is %q, want a whole number", name, d.text(name))
		return 0
	}
	return n
}

func (d *headers) sequence(name string) uint64 {
	n, err := strconv.ParseUint(d.h[name], 10, 64)
	if err != nil {
		d.fail("%s is %q, want a sequence", name, d.text(name))
	}
	return n
}

func (d *headers) time(name string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, d.h[name])
	if t = t.UTC(); err != nil || t.Year() < 1 || t.Year() > 9999 { // else it cannot be written as JSON
		d.fail("%s is %q, want a time as in RFC 3339", name, d.text(name))
		return time.Time{}
	}
	return t
}

func (d *headers) optionalTime(name string) time.Time {
	if _, ok := d.h[name]; !ok {
		return time.Time{}
	}
	return d.time(name)
}

// event is a time in Unix ns, zero when it is not known.
func (d *headers) event(name string) time.Time {
	s, ok := d.h[name]
	if !ok {
		return time.Time{}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		d.fail("%s is %q, want Unix nanoseconds", name, d.text(name))
	}
	if err != nil || n > math.MaxInt64 {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}
