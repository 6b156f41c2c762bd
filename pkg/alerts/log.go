package alerts

import (
	"context"
	"errors"
	"time"
)

// Errors of a Log.
var (
	// ErrConflict: another has appended since. Follow on, decide anew.
	ErrConflict = errors.New("the log has gone on")
	// ErrUnavailable: the outcome is unknown. Follow on to see it.
	ErrUnavailable = errors.New("the log is unavailable")
	// ErrFull: nothing is stored before the log was tidied.
	ErrFull = errors.New("the log is full")
	// ErrTooLarge: the events are more than one entry may have, and never stored so.
	ErrTooLarge = errors.New("more than an entry of the log may have")
)

// MaxEvents and MaxEntryBytes, of its JSON, bound one entry.
const (
	MaxEvents     = 256
	MaxEntryBytes = 512 << 10
)

// Log is the truth about alerts. Positions rise; 0 is before the first entry.
type Log interface {
	// Append stores 1 to MaxEvents events as one entry, directly behind the entry
	// at last, or not at all.
	Append(ctx context.Context, last uint64, events []Event) (at uint64, err error)
	// Follow gives every entry behind a position, in order, and then what comes,
	// until ctx ends (nil) or give fails (its error). It waits out what passes, and
	// ErrUnavailable is never its answer. An entry belongs to give. Where there is
	// nothing behind the position it gives that at once, empty and CaughtUp. Where
	// entries were removed before they were given, a Snapshot comes in their place.
	Follow(ctx context.Context, after uint64, give func(Entry) error) error
	// End is the position of the last entry; 0: there is none.
	End(ctx context.Context) (at uint64, err error)
}

// Entry is what was appended at once, or the state at a position in place of all
// that was before it.
type Entry struct {
	At       uint64
	StoredAt time.Time // by the log's clock
	Events   []Event
	Snapshot *Snapshot
	// CaughtUp: it was the last one when it was read.
	CaughtUp bool
	// Anew: the log was lost and begins again, with this entry. All that was before
	// is void, and positions are smaller than they were.
	Anew bool
}

// Snapshot is all that holds at a position.
type Snapshot struct {
	Alerts    []Alert    `json:"alerts,omitempty"`
	Incidents []Incident `json:"incidents,omitempty"`
	Silences  []Silence  `json:"silences,omitempty"`
	Sent      []SentTo   `json:"sent,omitempty"`
}

// SentTo is the last notification of a group to a receiver.
type SentTo struct {
	Key  ClaimKey `json:"key"`
	Sent Sent     `json:"sent"`
}
