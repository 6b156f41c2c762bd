package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// historyQuiet is after how long without a message it is asked whether one is to come.
const historyQuiet = 2 * time.Second

// History gives every event stored at a time or later, the oldest first, with the
// position and the time of storing of its entry, until give fails (its error) or all
// that the stream had when it began is given. Events are give's. Snapshots, and what
// cannot be read, are passed over: whoever follows the log has said so. What was
// purged is not there, and without a stream there is nothing.
func (j *Journal) History(ctx context.Context, since time.Time, give func(at uint64, storedAt time.Time, e *alerts.Event) error) error {
	from, to, err := j.window(ctx, since)
	if err != nil {
		return fmt.Errorf("the history of alerts: %w", err)
	}
	if from > to {
		return nil
	}
	b, err := j.q.Browse(ctx, topology.Alerts, queue.BrowseOptions{From: from})
	if err != nil {
		return fmt.Errorf("the history of alerts: %w", err)
	}
	defer func() { _ = b.Close() }() // always nil
	for from <= to {
		once, cancel := context.WithTimeout(ctx, historyQuiet)
		e, err := b.Next(once)
		cancel()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			there, err := j.any(ctx, from, to)
			if err != nil {
				return fmt.Errorf("the history of alerts: %w", err)
			}
			if !there {
				return nil
			}
			continue
		default:
			return fmt.Errorf("the history of alerts: %w", err)
		}
		if e.Sequence > to {
			return nil
		}
		from = e.Sequence + 1
		if e.Message.Header[headerVersion] != version || e.Message.Header[headerKind] != kindEvents {
			continue
		}
		events, _, err := alerts.DecodeEvents(e.Message.Body)
		if err != nil {
			continue
		}
		for n := range events {
			if err := give(e.Sequence, e.StoredAt, &events[n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// window are the first and the last sequence stored since a time; from > to: none.
func (j *Journal) window(ctx context.Context, since time.Time) (from, to uint64, err error) {
	st, err := j.state(ctx)
	if errors.Is(err, queue.ErrNotFound) {
		return 1, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	from = max(1, st.FirstSeq)
	if !since.IsZero() && since.After(st.FirstTime) && st.Messages > 0 {
		once, cancel := context.WithTimeout(ctx, tryTimeout)
		defer cancel()
		at, err := j.q.SequenceAt(once, topology.Alerts, since)
		if errors.Is(err, queue.ErrNotFound) {
			return 1, 0, nil
		}
		if err != nil {
			return 0, 0, err
		}
		from = max(from, at)
	}
	return from, st.LastSeq, nil
}

// any tells whether there is still a message between two sequences: those at the end
// may have been purged, or taken out, while nothing new comes.
func (j *Journal) any(ctx context.Context, from, to uint64) (bool, error) {
	st, err := j.state(ctx)
	if errors.Is(err, queue.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	from = max(from, st.FirstSeq)
	if st.Messages == 0 || st.LastSeq < from {
		return false, nil
	}
	for seq, n := min(to, st.LastSeq), 0; seq >= from; seq, n = seq-1, n+1 {
		if n == maxHoles {
			return true, nil // it is only slow
		}
		once, cancel := context.WithTimeout(ctx, tryTimeout)
		_, _, err := j.q.Get(once, topology.Alerts, seq)
		cancel()
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, queue.ErrNotFound) {
			return false, err
		}
	}
	return false, nil
}
