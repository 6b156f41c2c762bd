// Package deadletter keeps what no retry can deliver: the message, or the part
// of it that a destination will not take, with why, where and since when, in a
// stream of its own. It writes such letters, and reads, counts and removes them
// for an operator.
//
//	worker  ──Publish──▶ dead-letter stream ──List, Summarize, Show──▶ operator
//	redrive ──Renew───▶                     ──Purge──▶ Recorder, then removed
//
// A letter is stored before its message is settled, and its removal is recorded
// before it is removed: whatever dies in between, it is in one place at least.
// No letter is ever removed but by Purge and by a redrive that was confirmed.
package deadletter

import (
	"fmt"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Reasons. Stable: they are metric labels and filters.
const (
	ReasonDamaged  = "damaged"   // checksum or headers do not hold
	ReasonRejected = "rejected"  // the destination will never take it
	ReasonTooLarge = "too_large" // more than the destination takes in one request
	ReasonExpired  = "expired"   // retry.max_elapsed has passed
)

// Reasons lists them.
func Reasons() []string {
	return []string{ReasonDamaged, ReasonRejected, ReasonTooLarge, ReasonExpired}
}

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
	HeaderFirstAt     = "Penstock-Dead-First-At"    // when it failed first, RFC 3339, absent: not known
	HeaderPart        = "Penstock-Dead-Part"        // items of the message, absent: all
	HeaderRedrives    = "Penstock-Dead-Redrives"    // times it was redriven and died again, absent: 0
)

// Headers lists them.
func Headers() []string {
	return []string{HeaderReason, HeaderCode, HeaderDetail, HeaderID, HeaderDestination, HeaderAttempts, HeaderStream, HeaderSequence,
		HeaderStoredAt, HeaderDiedAt, HeaderFirstAt, HeaderPart, HeaderRedrives}
}

// Letter is why a message died.
type Letter struct {
	Reason, Code, Detail string
	Destination          string
	// FirstAt is when it failed first; zero when that is not known.
	FirstAt time.Time
	// Redrives is how often it was redriven and died again.
	Redrives int
}

// Origin is where a message lay, and how often it was delivered from there.
type Origin struct {
	Stream   string
	Sequence uint64
	ID       string // the message's own
	Attempts int    // deliveries to the destination, the last one included
	StoredAt time.Time
}

// OriginOf is the origin of a delivery.
func OriginOf(d queue.Delivery) Origin {
	return Origin{Stream: d.Stream(), Sequence: d.Sequence(), ID: d.Message().ID, Attempts: d.Attempt(), StoredAt: d.StoredAt()}
}

// ID of the letter of a message, or of a part of it. It is the same whenever the
// same dies for the same destination, another after each redrive: the letter
// that a redrive publishes again is no repetition of the one it replaces.
func ID(o Origin, part string, l Letter) string {
	id := strings.TrimRight(fmt.Sprintf("dead-%s-%s-%d-%s", l.Destination, o.Stream, o.Sequence, clean(o.ID, 64)), "-")
	if part != "" {
		id += "-p" + part
	}
	if l.Redrives > 0 {
		id += fmt.Sprintf("-r%d", l.Redrives)
	}
	return clean(id, len(id))
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
