package queue

import (
	"context"
	"time"
)

// Entry is one stored message as Browse reads it.
type Entry struct {
	// Message is the caller's until the next call of Next; its Body is nil when
	// only headers were asked for.
	Message  *Message
	Sequence uint64
	StoredAt time.Time
	// Size is the length of the body, also when it was not asked for.
	Size int
}

// BrowseOptions say where to begin and what to read.
type BrowseOptions struct {
	// From is the first sequence wanted; 0 is the oldest message. Beyond the last
	// message it waits for what comes. What is purged is passed over: the first
	// entry then has a larger sequence.
	From uint64
	// HeadersOnly leaves the bodies where they are.
	HeadersOnly bool
	// MaxBytes bounds the bodies read in advance of Next, and is larger than the
	// largest message. 0: 16 MiB.
	MaxBytes int
	// MaxMessages bounds their number. 0: 64, and 32 with HeadersOnly, for which
	// a server may hold the bodies too.
	MaxMessages int
}

// Browser reads a stream in order.
type Browser interface {
	// Next returns the next message of the stream, by rising sequence. It waits
	// until there is one, ctx ends (ctx.Err()), or the browser is closed
	// (ErrClosed). Reconnects and leader changes are overcome inside: nothing
	// is returned twice, and nothing that is still stored is left out. It is
	// ErrNotFound when the stream is gone. Not safe for concurrent use.
	Next(ctx context.Context) (Entry, error)
	// Close ends reading. It is idempotent.
	Close() error
}

// Archive reads what a stream holds without disturbing any consumer, and
// without leaving anything behind: how far a reader has come is the reader's.
type Archive interface {
	// Browse opens a reader; ErrNotFound when there is no such stream. Bounds
	// must not be negative.
	Browse(ctx context.Context, stream string, o BrowseOptions) (Browser, error)
	// SequenceAt is the sequence of the first message stored at or after t, by
	// the queue's clock; the last one plus 1 when there is none.
	SequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error)
}
