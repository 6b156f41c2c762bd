// Package deadletter keeps what no retry can deliver: the message as it lay in
// the queue, with why, where and since when, in a stream of its own.
package deadletter

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Reasons. Stable: they are metric labels and filters.
const (
	ReasonDamaged  = "damaged"  // checksum or headers do not hold
	ReasonRejected = "rejected" // the destination will never take it
	ReasonTooLarge = "too_large"
)

// Headers added to those of the message. Part of the message format.
const (
	HeaderReason      = "Penstock-Dead-Reason"
	HeaderDetail      = "Penstock-Dead-Detail" // the destination's words, shortened
	HeaderCode        = "Penstock-Dead-Code"
	HeaderDestination = "Penstock-Dead-Destination"
	HeaderAttempts    = "Penstock-Dead-Attempts"
	HeaderStream      = "Penstock-Dead-Stream"
	HeaderSequence    = "Penstock-Dead-Sequence"
	HeaderStoredAt    = "Penstock-Dead-Stored-At" // when the queue took it, RFC 3339
	HeaderDiedAt      = "Penstock-Dead-Died-At"
)

// Letter is why a delivery died.
type Letter struct {
	Reason, Code, Detail string
	Destination          string
}

// Publish stores the delivery on stream and returns when that is confirmed. The
// id is made of the message's and the destination's, so that a repetition after
// a lost answer stores nothing twice. The delivery is not settled.
func Publish(ctx context.Context, p queue.Publisher, stream string, d queue.Delivery, l Letter) error {
	m := d.Message()
	h := maps.Clone(m.Header)
	if h == nil {
		h = map[string]string{}
	}
	h[HeaderReason] = l.Reason
	h[HeaderCode] = clean(l.Code, 64)
	h[HeaderDetail] = clean(l.Detail, 512)
	h[HeaderDestination] = l.Destination
	h[HeaderAttempts] = strconv.Itoa(d.Attempt())
	h[HeaderStream] = d.Stream()
	h[HeaderSequence] = strconv.FormatUint(d.Sequence(), 10)
	h[HeaderStoredAt] = d.StoredAt().UTC().Format(time.RFC3339Nano)
	h[HeaderDiedAt] = time.Now().UTC().Format(time.RFC3339Nano)
	id := fmt.Sprintf("dead-%s-%s-%d", l.Destination, d.Stream(), d.Sequence())
	if _, err := p.Publish(ctx, stream, &queue.Message{ID: id, Header: h, Body: m.Body}); err != nil {
		return fmt.Errorf("dead-letter message %d of %s: %w", d.Sequence(), d.Stream(), err)
	}
	return nil
}

// clean makes a header value: printable ASCII of at most n bytes.
func clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > n {
		s = s[:n]
	}
	return strings.TrimSpace(s)
}
