package alertstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Log is an alerts.Log in memory. Entries go through their stored form, as those of
// any other.
type Log struct {
	mu      sync.Mutex // guards everything below
	entries []stored
	changed chan struct{}
	fail    []error
}

type stored struct {
	at   time.Time
	body []byte
}

var _ alerts.Log = (*Log)(nil)

// NewLog makes an empty one. Its clock is time.Now, so that a synctest has it.
func NewLog() *Log { return &Log{changed: make(chan struct{})} }

// Fail lets the next calls of Append fail with these errors, one each; a nil stores
// as usual. alerts.ErrUnavailable stores and fails, as the outcome is unknown then.
func (l *Log) Fail(errs ...error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = append(l.fail, errs...)
}

// End implements alerts.Log.
func (l *Log) End(context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.entries)), nil
}

// Append implements alerts.Log.
func (l *Log) Append(ctx context.Context, last uint64, events []alerts.Event) (uint64, error) {
	body, err := alerts.EncodeEvents(events)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", alerts.ErrUnavailable, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.fail) > 0 {
		err, l.fail = l.fail[0], l.fail[1:]
		if err != nil && !errors.Is(err, alerts.ErrUnavailable) {
			return 0, err
		}
	}
	if n := uint64(len(l.entries)); n != last {
		return 0, fmt.Errorf("%w: it is at %d, not %d", alerts.ErrConflict, n, last)
	}
	l.entries = append(l.entries, stored{time.Now(), body})
	close(l.changed)
	l.changed = make(chan struct{})
	return last + 1, err
}

// Follow implements alerts.Log.
func (l *Log) Follow(ctx context.Context, after uint64, give func(alerts.Entry) error) error {
	if _, caught, _ := l.behind(after); caught {
		if err := give(alerts.Entry{At: after, CaughtUp: true}); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		batch, _, changed := l.behind(after)
		for n, x := range batch {
			events, bad, err := alerts.DecodeEvents(x.body)
			if err != nil || bad > 0 {
				return fmt.Errorf("entry %d: %d events cannot be read: %w", after+1, bad, err)
			}
			after++
			if err := give(alerts.Entry{At: after, StoredAt: x.at, Events: events, CaughtUp: n == len(batch)-1}); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}

func (l *Log) behind(after uint64) (batch []stored, none bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch = slices.Clone(l.entries[min(after, uint64(len(l.entries))):])
	return batch, len(batch) == 0, l.changed
}

// Events are all that were appended, in order.
func (l *Log) Events() (events []alerts.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.entries {
		e, _, err := alerts.DecodeEvents(x.body)
		if err != nil {
			panic(err) // it was encoded here
		}
		events = append(events, e...)
	}
	return events
}
