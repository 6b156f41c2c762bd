package tap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Kind says what an Item is.
type Kind string

// Kinds. Stable: they are in the JSON that people write programs for.
const (
	KindItem    Kind = "item"    // a span, a data point or a log record
	KindSkipped Kind = "skipped" // Messages messages, from Sequence on, were not shown
	KindDamaged Kind = "damaged" // a message that is not what was written
	KindRefused Kind = "refused" // a message that is whole, and not for this program
)

// Item is what a tap shows. All texts are as they were sent, cut to a bounded
// length but otherwise unchanged: write them to a terminal by Line or AppendJSON
// alone. It can be kept in JSON and read back.
type Item struct {
	Kind     Kind        `json:"kind"`
	Signal   otlp.Signal `json:"signal"`
	Tenant   string      `json:"tenant,omitempty"`
	Stream   string      `json:"stream"`
	Sequence uint64      `json:"sequence"`
	StoredAt time.Time   `json:"stored_at,omitzero"`

	// Time is when it happened, zero when it does not say.
	Time    time.Time `json:"time,omitzero"`
	Service string    `json:"service,omitempty"`
	// Name of the span, the metric, or the event that a log record is.
	Name string `json:"name,omitempty"`
	// Type is the kind of a span, the type of a metric, the severity of a log
	// record.
	Type string `json:"type,omitempty"`
	// Value is the duration and status of a span, the value of a point, the body
	// of a log record.
	Value        string      `json:"value,omitempty"`
	TraceID      string      `json:"trace_id,omitempty"` // hex
	SpanID       string      `json:"span_id,omitempty"`
	ParentSpanID string      `json:"parent_span_id,omitempty"`
	Attributes   []Attribute `json:"attributes,omitempty"` // the first 16

	// Messages that a KindSkipped stands for.
	Messages uint64 `json:"messages,omitempty"`
	// Problem says why there is not more, and what to do.
	Problem string `json:"problem,omitempty"`
	// OTLP is the whole item as an OTLP JSON request, with its resource, scope
	// and metric. Only with Options.Full.
	OTLP json.RawMessage `json:"otlp,omitempty"`
}

// Attribute of an item, with the text of its value.
type Attribute struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Bounds of the texts of an Item, in bytes. OTLP has all of it.
const (
	maxAttributes = 16
	maxName       = 256
	maxValue      = 256
	maxBody       = 4096
)

// bound cuts s to about max bytes of whole characters.
func bound(s string, max int) string {
	if len(s) <= max {
		return s
	}
	cut := max
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// AppendJSON appends the item as one line of JSON, without its end. What a
// terminal could take for more than text is in escaped form, which means the
// same to a reader of JSON.
func (i Item) AppendJSON(dst []byte) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(i); err != nil {
		return dst, fmt.Errorf("item of stream %s, sequence %d, as JSON: %w", i.Stream, i.Sequence, err)
	}
	return appendSafeJSON(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}
