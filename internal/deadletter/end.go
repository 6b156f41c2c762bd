package deadletter

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Reader is what reading letters takes of a queue.
type Reader interface {
	queue.Archive
	StreamState(ctx context.Context, stream string) (queue.StreamState, error)
	Get(ctx context.Context, stream string, seq uint64) (*queue.Message, time.Time, error)
}

// span is a range of sequences to read, both ends included; empty when to is
// before from. A letter is stored at to.
type span struct {
	from, to uint64
	// first: nothing is stored before from.
	first bool
}

// bounds finds the span of the letters after a sequence that a filter may pick,
// of those that are stored now.
func bounds(ctx context.Context, q Reader, stream string, f Filter, after uint64) (span, error) {
	st, err := q.StreamState(ctx, stream)
	if err != nil || st.Messages == 0 || after >= st.LastSeq {
		return span{from: 1}, err
	}
	s := span{from: max(after+1, st.FirstSeq), to: st.LastSeq}
	if f.UpTo > 0 {
		s.to = min(s.to, f.UpTo)
	}
	if !f.Since.IsZero() {
		at, err := q.SequenceAt(ctx, stream, f.Since)
		if err != nil {
			return span{}, err
		}
		s.from = max(s.from, at)
	}
	if !f.Until.IsZero() {
		at, err := q.SequenceAt(ctx, stream, f.Until)
		if err != nil {
			return span{}, err
		}
		s.to = min(s.to, at-1)
	}
	s.first = s.from <= st.FirstSeq
	s.to, err = lastStored(ctx, q, stream, s)
	return s, err
}

// nearby is how many sequences are tried one by one.
const nearby = 64

// lastStored is the last sequence of the span at which a message is stored, or
// one before the span when there is none. The end of a stream may be removed,
// message by message, and a browser would wait there for what is stored next.
// It tries the sequences from the end downwards; a longer hole is passed by
// halving the time between the first message and the last.
func lastStored(ctx context.Context, q Reader, stream string, s span) (uint64, error) {
	none := s.from - 1
	for seq := s.to; seq >= s.from && s.to-seq < nearby; seq-- {
		if there, err := stored(ctx, q, stream, seq); there || err != nil {
			return seq, err
		}
	}
	if s.to < s.from || s.to-s.from < nearby {
		return none, nil
	}
	s.to -= nearby
	st, err := q.StreamState(ctx, stream)
	if err != nil || st.Messages == 0 || st.FirstSeq > s.to {
		return none, err
	}
	found := st.FirstSeq
	for early, late := st.FirstTime, st.LastTime.Add(1); late.Sub(early) > 1; {
		middle := early.Add(late.Sub(early) / 2)
		at, err := q.SequenceAt(ctx, stream, middle)
		switch {
		case err != nil:
			return 0, err
		case at > s.to:
			late = middle
		default:
			early, found = middle, at
		}
	}
	// What was stored in the same nanosecond.
	for seq := found + 1; seq <= min(found+nearby, s.to); seq++ {
		there, err := stored(ctx, q, stream, seq)
		if err != nil {
			return 0, err
		}
		if there {
			found = seq
		}
	}
	return max(found, none), nil
}

func stored(ctx context.Context, q Reader, stream string, seq uint64) (bool, error) {
	switch _, _, err := q.Get(ctx, stream, seq); {
	case err == nil:
		return true, nil
	case errors.Is(err, queue.ErrNotFound):
		return false, nil
	default:
		return false, err
	}
}
