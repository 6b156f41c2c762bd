package deadletter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// ReadOptions say what Read reads.
type ReadOptions struct {
	After  uint64 // only letters with a larger sequence
	Bodies bool   // else Message.Body is nil
}

// Found is a letter that was read. The message is the caller's until the next
// step of the loop.
type Found struct {
	Info
	Message *queue.Message
}

// Read goes through the letters of a stream that a filter picks, oldest first.
// It ends at the last one that was stored before it began, and does not wait for
// more: letters that are removed meanwhile may or may not be seen. What is not a
// letter is told as it is (see Info.Problem). An error ends the loop.
func Read(ctx context.Context, q Reader, stream string, f Filter, o ReadOptions) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		if err := f.Validate(); err != nil {
			yield(Found{}, err)
			return
		}
		for e, err := range entries(ctx, q, stream, f, o) {
			if err != nil {
				yield(Found{}, fmt.Errorf("read dead letters of %s: %w", stream, err))
				return
			}
			i, _ := Decode(e) // the problem is in it
			if f.Match(i) && !yield(Found{i, e.Message}, nil) {
				return
			}
		}
	}
}

// entries are the messages among which the filter picks.
func entries(ctx context.Context, q Reader, stream string, f Filter, o ReadOptions) iter.Seq2[queue.Entry, error] {
	if len(f.Sequences) > 0 {
		return named(ctx, q, stream, f.Sequences, o)
	}
	return func(yield func(queue.Entry, error) bool) {
		s, err := bounds(ctx, q, stream, f, o.After)
		if err != nil {
			yield(queue.Entry{}, err)
			return
		}
		browse(ctx, q, stream, s, o.Bodies)(yield)
	}
}

// named gets single letters; those that are not there are left out.
func named(ctx context.Context, q Reader, stream string, sequences []uint64, o ReadOptions) iter.Seq2[queue.Entry, error] {
	sequences = slices.Compact(slices.Sorted(slices.Values(sequences)))
	return func(yield func(queue.Entry, error) bool) {
		if _, err := q.StreamState(ctx, stream); err != nil { // else a missing one would be taken for an empty one
			yield(queue.Entry{}, err)
			return
		}
		for _, seq := range sequences {
			if seq <= o.After {
				continue
			}
			m, at, err := q.Get(ctx, stream, seq)
			if errors.Is(err, queue.ErrNotFound) {
				continue
			}
			if err != nil {
				yield(queue.Entry{}, err)
				return
			}
			e := queue.Entry{Message: &queue.Message{ID: m.ID, Header: m.Header}, Sequence: seq, StoredAt: at, Size: len(m.Body)}
			if o.Bodies {
				e.Message.Body = m.Body
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// patience is how long the next message may take to come before it is looked up
// whether there still is one.
const patience = time.Second

// browse reads a span.
func browse(ctx context.Context, q Reader, stream string, s span, bodies bool) iter.Seq2[queue.Entry, error] {
	return func(yield func(queue.Entry, error) bool) {
		if s.to < s.from {
			return
		}
		b, err := q.Browse(ctx, stream, queue.BrowseOptions{From: s.from, HeadersOnly: !bodies})
		if err != nil {
			yield(queue.Entry{}, err)
			return
		}
		defer func() { _ = b.Close() }() // nothing depends on it
		for s.from <= s.to {
			e, err := within(ctx, b, patience)
			switch {
			case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
				// Another may have removed all that was still to come.
				if s.to, err = lastStored(ctx, q, stream, s); err != nil {
					yield(queue.Entry{}, err)
					return
				}
				continue
			case err != nil:
				yield(queue.Entry{}, err)
				return
			case e.Sequence > s.to || !yield(e, nil):
				return
			}
			s.from = e.Sequence + 1
		}
	}
}

func within(ctx context.Context, b queue.Browser, d time.Duration) (queue.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return b.Next(ctx)
}

// Bounds of List.
const (
	DefaultList = 100
	MaxList     = 1000
)

// List returns the letters with a sequence above after that the filter picks,
// oldest first: at most limit of them, DefaultList for 0, and never more than
// MaxList. next is the after of the next call, 0 when there are no more.
func List(ctx context.Context, q Reader, stream string, f Filter, limit int, after uint64) (infos []Info, next uint64, err error) {
	if limit < 0 {
		return nil, 0, fmt.Errorf("limit is %d: want 1 to %d, or 0 for %d", limit, MaxList, DefaultList)
	}
	if limit == 0 {
		limit = DefaultList
	}
	limit = min(limit, MaxList)
	infos = []Info{}
	for found, err := range Read(ctx, q, stream, f, ReadOptions{After: after}) {
		if err != nil {
			return nil, 0, err
		}
		if len(infos) == limit { // there is one more
			return infos, infos[limit-1].Sequence, nil
		}
		infos = append(infos, found.Info)
	}
	return infos, 0, nil
}
