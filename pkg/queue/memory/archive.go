package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// browser reads nothing in advance, so that its bounds bound nothing.
type browser struct {
	q       *Queue
	stream  string
	headers bool
	next    uint64

	once sync.Once
	stop chan struct{}
}

// Browse implements queue.Archive.
func (q *Queue) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	if o.MaxBytes < 0 || o.MaxMessages < 0 {
		return nil, fmt.Errorf("queue: browsing stream %s: max bytes %d and max messages %d must not be negative", stream, o.MaxBytes, o.MaxMessages)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, err := q.streamLocked(ctx, stream); err != nil {
		return nil, err
	}
	return &browser{q: q, stream: stream, headers: o.HeadersOnly, next: o.From, stop: make(chan struct{})}, nil
}

// Close implements queue.Browser.
func (b *browser) Close() error {
	b.once.Do(func() { close(b.stop) })
	return nil
}

// Next implements queue.Browser.
func (b *browser) Next(ctx context.Context) (queue.Entry, error) {
	for {
		select {
		case <-b.stop:
			return queue.Entry{}, fmt.Errorf("queue: browsing stream %s: %w", b.stream, queue.ErrClosed)
		default:
		}
		if err := ctx.Err(); err != nil {
			return queue.Entry{}, err
		}
		e, changed, err := b.take()
		if err != nil || e.Message != nil {
			return e, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-b.stop:
		}
	}
}

// take gives a copy of the next message, or what to wait for.
func (b *browser) take() (queue.Entry, <-chan struct{}, error) {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	s, err := b.q.streamLocked(context.Background(), b.stream)
	if err != nil {
		return queue.Entry{}, nil, fmt.Errorf("queue: browsing stream %s: %w", b.stream, err)
	}
	e, seq := s.from(b.next)
	if e == nil {
		return queue.Entry{}, b.q.changed, nil
	}
	b.next = seq + 1
	m := &queue.Message{ID: e.msg.ID, Header: maps.Clone(e.msg.Header)}
	if !b.headers {
		m.Body = slices.Clone(e.msg.Body)
	}
	return queue.Entry{Message: m, Sequence: seq, StoredAt: e.at, Size: len(e.msg.Body)}, nil, nil
}

// SequenceAt implements queue.Archive.
func (q *Queue) SequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.streamLocked(ctx, stream)
	if err != nil {
		return 0, err
	}
	for i, e := range s.log {
		if e.msg != nil && !e.at.Before(t) {
			return s.first + uint64(i), nil
		}
	}
	return s.last() + 1, nil
}
