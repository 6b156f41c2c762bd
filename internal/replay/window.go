package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Queue is what planning needs of one.
type Queue interface {
	queue.Provisioner
	queue.Archive
}

// isTelemetry tells whether a stream is one of a signal.
func isTelemetry(stream string) bool {
	for _, s := range otlp.Signals {
		shard, ok := strings.CutPrefix(stream, strings.TrimSuffix(topology.Stream(s, 0), "0"))
		if _, err := strconv.ParseUint(shard, 10, 31); ok && err == nil {
			return true
		}
	}
	return false
}

// streams of a Spec: those of the plan, and what a plan with more shards made.
func (s *Spec) streams(ctx context.Context, q queue.Provisioner, plan topology.Plan) ([]string, error) {
	if s.Stream != "" {
		if _, err := q.StreamState(ctx, s.Stream); err != nil {
			return nil, fmt.Errorf("stream %s: %w", s.Stream, err)
		}
		return []string{s.Stream}, nil
	}
	beyond, err := plan.Beyond(ctx, q)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, sig := range s.signals() {
		names = append(names, plan.Streams(sig)...)
		prefix := strings.TrimSuffix(topology.Stream(sig, 0), "0")
		for _, name := range beyond {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// window is what of a stream is wanted: the sequences [First, End).
type window struct {
	Stream     string
	First, End uint64
	// purged: the window asks for what is no longer kept, from purgedBefore on it
	// is. missing is how much that is, where it is known.
	purged       bool
	purgedBefore time.Time
	missing      uint64
}

// resolve makes sequences of a window. The end is what is stored now.
func (s *Spec) resolve(ctx context.Context, q Queue, stream string) (window, error) {
	w := window{Stream: stream}
	fail := func(err error) (window, error) { return w, fmt.Errorf("stream %s: %w", stream, err) }
	from, to := s.stored()
	var err error
	if !to.IsZero() { // the end first: what is purged meanwhile is noticed below
		if w.End, err = q.SequenceAt(ctx, stream, to); err != nil {
			return fail(err)
		}
	}
	if !from.IsZero() {
		if w.First, err = q.SequenceAt(ctx, stream, from); err != nil {
			return fail(err)
		}
	}
	st, err := q.StreamState(ctx, stream)
	if err != nil {
		return fail(err)
	}
	if to.IsZero() {
		w.End = st.LastSeq + 1
	}
	if s.Stream != "" {
		w.First = max(s.FromSeq, 1)
		if s.ToSeq != 0 {
			w.End = min(s.ToSeq, st.LastSeq) + 1
		}
	}
	if purged := st.FirstSeq > 1; purged { // sequences begin at 1
		w.purgedBefore = st.FirstTime
		if st.Messages == 0 {
			w.purgedBefore = st.LastTime
		}
		switch {
		case s.Stream != "":
			w.purged = s.FromSeq > 0 && s.FromSeq < st.FirstSeq
			if w.purged {
				w.missing = min(st.FirstSeq, max(w.End, s.FromSeq)) - s.FromSeq
			}
		case !from.IsZero():
			w.purged = from.Before(w.purgedBefore)
		}
	}
	w.First = max(w.First, st.FirstSeq)
	w.End = max(w.End, w.First)
	return w, nil
}

// gap says what a window lacks.
func (w *window) gap() string {
	if !w.purged {
		return ""
	}
	text := fmt.Sprintf("%s keeps nothing stored before %s: what the window asks for from before is purged", w.Stream, w.purgedBefore.UTC().Format(time.RFC3339Nano))
	if w.missing > 0 {
		text += fmt.Sprintf(" (%d messages)", w.missing)
	}
	return text
}

// errEnd ends a reader.
var errEnd = errors.New("end of the window")

// idle is how long a reader waits for a message that must be there before it
// looks whether it still is.
const idle = time.Second

// reader reads a window in order.
type reader struct {
	q       Queue
	b       queue.Browser
	stream  string
	next    uint64 // the next sequence to be returned, or what comes after it
	end     uint64
	missing func(from, to uint64) error // told of the sequences [from, to), which are gone
}

func newReader(ctx context.Context, q Queue, stream string, from, end uint64, headersOnly bool, missing func(from, to uint64) error) (*reader, error) {
	r := &reader{q: q, stream: stream, next: from, end: end, missing: missing}
	if from >= end {
		return r, nil
	}
	var err error
	if r.b, err = q.Browse(ctx, stream, queue.BrowseOptions{From: from, HeadersOnly: headersOnly}); err != nil {
		return nil, fmt.Errorf("read %s: %w", stream, err)
	}
	return r, nil
}

// read returns the next message, errEnd after the last.
func (r *reader) read(ctx context.Context) (queue.Entry, error) {
	for r.next < r.end {
		try, cancel := context.WithTimeout(ctx, idle)
		e, err := r.b.Next(try)
		cancel()
		switch {
		case err == nil && e.Sequence >= r.end:
			if err := r.pass(r.end); err != nil {
				return queue.Entry{}, err
			}
			return queue.Entry{}, errEnd
		case err == nil:
			if err := r.pass(e.Sequence); err != nil {
				return queue.Entry{}, err
			}
			r.next = e.Sequence + 1
			return e, nil
		case ctx.Err() != nil:
			return queue.Entry{}, context.Cause(ctx)
		case !errors.Is(err, context.DeadlineExceeded):
			return queue.Entry{}, fmt.Errorf("read %s from %d: %w", r.stream, r.next, err)
		}
		if err := r.look(ctx); err != nil {
			return queue.Entry{}, err
		}
	}
	return queue.Entry{}, errEnd
}

// look passes what is gone: else the reader would wait for the next message that
// is stored.
func (r *reader) look(ctx context.Context) error {
	st, err := r.q.StreamState(ctx, r.stream)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, queue.ErrNotFound) {
			return nil // the queue is away, and comes back
		}
		return fmt.Errorf("read %s from %d: %w", r.stream, r.next, err)
	}
	return r.pass(min(st.FirstSeq, r.end)) // telemetry is purged from the oldest on, without holes
}

// pass goes on to a sequence.
func (r *reader) pass(to uint64) error {
	from := r.next
	if to <= from {
		return nil
	}
	r.next = to
	return r.missing(from, to)
}

func (r *reader) close() {
	if r.b != nil {
		_ = r.b.Close() // ends reading; there is nothing to lose
	}
}
