package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// MaxValueBytes is the largest value of a Store.
const MaxValueBytes = 256 << 10

// AnyRevision lets Save and Remove act on whatever is there.
const AnyRevision = ^uint64(0)

// ErrConflict: another has changed the value, or added to the stream, since it was
// read. Read it again.
var ErrConflict = errors.New("changed by another")

// Value is what a Store has under a key. Data is the caller's.
type Value struct {
	Key      string
	Data     []byte
	Revision uint64 // rises with each change
}

// Store keeps small values of all processes beside the streams, as durable as
// they are. It is for what changes in seconds, not for each message. Keys are
// those of CheckKey; keys that are listed together share the parts before a '/',
// so that List need not look at others.
//
// Load and Save act on the last value. List sees at least all that this process
// has saved or loaded before, and what others have changed after a moment: in a
// cluster it may be answered by a server that lags.
type Store interface {
	// Load answers ErrNotFound when there is none.
	Load(ctx context.Context, key string) (Value, error)
	// List returns the values whose key begins with prefix, by key. A value that
	// is there all the time is always in it, whatever others write meanwhile.
	List(ctx context.Context, prefix string) ([]Value, error)
	// Save stores data and returns the new revision. revision is that of the
	// value which was read, 0 when there must be none, or AnyRevision;
	// ErrConflict when that does not hold, ErrTooLarge above MaxValueBytes,
	// ErrFull when the store is. After ErrUnavailable the outcome is unknown.
	Save(ctx context.Context, key string, data []byte, revision uint64) (uint64, error)
	// Remove deletes a value, with the revisions of Save. One that is not there
	// is no error.
	Remove(ctx context.Context, key string, revision uint64) error
}

// CheckKey says what is wrong with a key: it is 1 to 256 of A-Z, a-z, 0-9, _, -,
// / and '.', of which the last two neither begin nor end it, nor stand together.
func CheckKey(key string) error {
	if len(key) > 256 || !cleanKey(key) || strings.ContainsAny(key[len(key)-1:], "/.") {
		return fmt.Errorf("queue: key %q: use 1 to 256 of A-Z, a-z, 0-9, _ and -, in parts joined by single / or '.'", key)
	}
	return nil
}

// CheckPrefix says what is wrong with the beginning of a key, which may be "".
func CheckPrefix(prefix string) error {
	if prefix != "" && (len(prefix) > 256 || !cleanKey(prefix)) {
		return fmt.Errorf("queue: prefix %q is not the beginning of a key: use A-Z, a-z, 0-9, _ and -, in parts joined by single / or '.'", prefix)
	}
	return nil
}

func cleanKey(s string) bool {
	apart := false // at a separator nothing may be one again
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '/' || c == '.':
			if !apart {
				return false
			}
			apart = false
		case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-':
			apart = true
		default:
			return false
		}
	}
	return s != ""
}
