package queue

import (
	"context"
	"errors"
)

// MaxValueBytes is the largest value of a Store.
const MaxValueBytes = 256 << 10

// AnyRevision lets Save and Remove act on whatever is there.
const AnyRevision = ^uint64(0)

// ErrConflict: another has changed the value since it was read. Read it again.
var ErrConflict = errors.New("value was changed by another")

// Value is what a Store has under a key. Data is the caller's.
type Value struct {
	Key      string
	Data     []byte
	Revision uint64 // rises with each change
}

// Store keeps small values of all processes beside the streams, as durable as
// they are. Keys are 1 to 256 of A-Z, a-z, 0-9, _, -, / and '.', which neither
// begins nor ends one. It is for what changes in seconds, not for each message.
type Store interface {
	// Load answers ErrNotFound when there is none.
	Load(ctx context.Context, key string) (Value, error)
	// List returns the values whose key begins with prefix, by key.
	List(ctx context.Context, prefix string) ([]Value, error)
	// Save stores data and returns the new revision. revision is that of the
	// value which was read, 0 when there must be none, or AnyRevision;
	// ErrConflict when that does not hold. After ErrUnavailable the outcome is
	// unknown.
	Save(ctx context.Context, key string, data []byte, revision uint64) (uint64, error)
	// Remove deletes a value, with the revisions of Save. One that is not there
	// is no error.
	Remove(ctx context.Context, key string, revision uint64) error
}
