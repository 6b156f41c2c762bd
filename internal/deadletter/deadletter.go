// Package deadletter keeps what no retry can deliver: the message as it lay in
// the queue, with why, where and since when, in a stream of its own.
package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Reasons. Stable: they are metric labels and filters.
const (
	ReasonDamaged  = "damaged"   // checksum or headers do not hold
	ReasonRejected = "rejected"  // the destination will never take it
	ReasonTooLarge = "too_large" // more than the destination takes in one request
)

// Headers added to those of the message. Part of the message format, see
// docs/reference/message-format.md: never renamed.
const (
	HeaderReason      = "Penstock-Dead-Reason"      // one of the Reasons
	HeaderCode        = "Penstock-Dead-Code"        // the destination's, absent: none
	HeaderDetail      = "Penstock-Dead-Detail"      // the destination's words, shortened
	HeaderID          = "Penstock-Dead-Id"          // of the message in its stream
	HeaderDestination = "Penstock-Dead-Destination" // that did not get it
	HeaderAttempts    = "Penstock-Dead-Attempts"    // deliveries to it, the last one included
	HeaderStream      = "Penstock-Dead-Stream"      // where the message lay
	HeaderSequence    = "Penstock-Dead-Sequence"    // and at which position
	HeaderStoredAt    = "Penstock-Dead-Stored-At"   // when the queue took it, RFC 3339
	HeaderDiedAt      = "Penstock-Dead-Died-At"     // when it was given up, RFC 3339
)

// Headers lists them.
func Headers() []string {
	return []string{HeaderReason, HeaderCode, HeaderDetail, HeaderID, HeaderDestination, HeaderAttempts, HeaderStream, HeaderSequence, HeaderStoredAt, HeaderDiedAt}
}

// Letter is why a delivery died.
type Letter struct {
	Reason, Code, Detail string
	Destination          string
}

// Publish stores the delivery on stream and returns when that is confirmed. The
// id is made of the message's place and id and of the destination, so that a
// repetition after a lost answer, or after a lost ack once the message came
// again, stores nothing twice within the dedup window of the stream; package
// topology makes that longer than the ack wait. The delivery is not settled. A detail that makes the message larger than the queue takes is left
// out: the payload is worth more.
func Publish(ctx context.Context, p queue.Publisher, stream string, d queue.Delivery, l Letter) error {
	m := &queue.Message{ID: ID(d, l.Destination), Header: header(d, l), Body: d.Message().Body}
	_, err := p.Publish(ctx, stream, m)
	if errors.Is(err, queue.ErrTooLarge) {
		delete(m.Header, HeaderDetail)
		_, err = p.Publish(ctx, stream, m)
	}
	if err != nil {
		return fmt.Errorf("dead-letter message %d of %s: %w", d.Sequence(), d.Stream(), err)
	}
	return nil
}

// ID of the dead letter of a delivery to a destination.
func ID(d queue.Delivery, destination string) string {
	return strings.TrimRight(fmt.Sprintf("dead-%s-%s-%d-%s", destination, d.Stream(), d.Sequence(), clean(d.Message().ID, 64)), "-")
}

// header is the message's own and those of the letter. What the queue would
// refuse, of a message that somebody else wrote, is made printable or dropped:
// a message that cannot be dead-lettered would come again for ever.
func header(d queue.Delivery, l Letter) map[string]string {
	h := make(map[string]string, len(d.Message().Header)+10)
	for name, value := range d.Message().Header {
		if name != "" && clean(name, len(name)) == name && !strings.ContainsAny(name, ": ") && name != "Status" && name != "Description" {
			h[name] = clean(value, 1024)
		}
	}
	h[HeaderReason] = l.Reason
	set := func(name, value string) {
		if value != "" {
			h[name] = value
		}
	}
	set(HeaderCode, clean(l.Code, 64))
	set(HeaderDetail, clean(l.Detail, 512))
	set(HeaderID, clean(d.Message().ID, 64))
	h[HeaderDestination] = l.Destination
	h[HeaderAttempts] = strconv.Itoa(d.Attempt())
	h[HeaderStream] = d.Stream()
	h[HeaderSequence] = strconv.FormatUint(d.Sequence(), 10)
	h[HeaderStoredAt] = d.StoredAt().UTC().Format(time.RFC3339Nano)
	h[HeaderDiedAt] = time.Now().UTC().Format(time.RFC3339Nano)
	return h
}

// clean makes a header value: printable ASCII of at most n bytes, without space
// at its ends.
func clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r > '~' || r < ' ' {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[:min(len(s), n)])
}
