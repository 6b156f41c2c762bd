package audit

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// quiet is after how long without an entry it is looked whether there is one.
const quiet = 2 * time.Second

// reader reads the stream up to an end that may not be there any more.
type reader struct {
	q    Queue
	b    queue.Browser
	from uint64 // the next sequence wanted
}

func newReader(ctx context.Context, q Queue, from uint64) (*reader, error) {
	b, err := q.Browse(ctx, topology.Audit, queue.BrowseOptions{From: from})
	if err != nil {
		return nil, err
	}
	return &reader{q: q, b: b, from: max(1, from)}, nil
}

func (r *reader) close() { _ = r.b.Close() } // always nil

// next is the next message up to a sequence; false when there is none, with the one
// behind it if that was read already.
func (r *reader) next(ctx context.Context, to uint64) (queue.Entry, bool, error) {
	for r.from <= to {
		once, cancel := context.WithTimeout(ctx, quiet)
		e, err := r.b.Next(once)
		cancel()
		switch {
		case err == nil && e.Sequence > to:
			r.from = e.Sequence + 1 // the browser has gone on: it is the caller's to keep
			return e, false, nil
		case err == nil:
			r.from = e.Sequence + 1
			return e, true, nil
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return e, false, err
		}
		// Slow, or the end was taken out and nothing will come.
		there, err := r.any(ctx, to)
		if err != nil || !there {
			return e, false, err
		}
	}
	return queue.Entry{}, false, nil
}

// any tells whether there is a message from here up to a sequence.
func (r *reader) any(ctx context.Context, to uint64) (bool, error) {
	for seq := to; seq >= r.from; seq-- {
		switch _, _, err := r.q.Get(ctx, topology.Audit, seq); {
		case err == nil:
			return true, nil
		case !errors.Is(err, queue.ErrNotFound):
			return false, err
		}
	}
	return false, nil
}
