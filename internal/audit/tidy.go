package audit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Shares of the stream's bytes, in per cent: above the first the oldest entries go
// until it holds the second.
const (
	shortAt  = 80
	shrinkTo = 70
)

const (
	tidyEvery   = time.Minute
	tidyTimeout = 10 * time.Second
	// maxHoles is how far a tidy looks for an entry where some were taken out.
	maxHoles = 1000
)

// Tidier removes old entries, in the one process that leads; see Log.Tidier.
type Tidier struct {
	l    *Log
	next time.Time
	said string // what was said to be wrong
}

// Tidier removes what is over its retention. There is one goroutine that uses it.
func (l *Log) Tidier() *Tidier { return &Tidier{l: l} }

// Round looks once a minute, however often it is called; what fails is logged, and
// tried again in the next. It returns within 10 s.
func (t *Tidier) Round(ctx context.Context) {
	if now := time.Now(); now.Before(t.next) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tidyTimeout)
	defer cancel()
	err := t.l.tidy(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	t.next = time.Now().Add(tidyEvery)
	what := ""
	if err != nil {
		what = err.Error()
	}
	if what != t.said && what != "" {
		t.l.o.Logger.Error("old audit entries are not removed", "error", what)
	}
	t.said = what
}

// now is the present by a clock that nobody can move forward: the start of this
// process, and on from there.
func (l *Log) now() time.Time { return l.began.Round(0).Add(time.Since(l.began)) }

// tidy removes what is too old or too much, and before it records what.
func (l *Log) tidy(ctx context.Context) error {
	l.mu.Lock()
	c := l.chain
	l.mu.Unlock()
	if c == nil {
		return nil
	}
	st, err := c.q.StreamState(ctx, topology.Audit)
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	to, reason, err := l.tooMuch(ctx, c.q, st)
	if err != nil || to < st.FirstSeq {
		return err
	}
	last, err := lastBefore(ctx, c.q, st.FirstSeq, to)
	if err != nil {
		return err
	}
	e := Event{At: time.Now(), Process: l.o.Process, Action: "purge audit entries", Outcome: Done, Reason: reason,
		Details: []Detail{{"first", strconv.FormatUint(st.FirstSeq, 10)}, {"last", strconv.FormatUint(last.N, 10)}}}
	if _, err := c.append(ctx, e.bounded(), &last, true); err != nil {
		return fmt.Errorf("entries %d to %d stay, because it cannot be recorded that they go: %w", st.FirstSeq, last.N, err)
	}
	l.o.Metrics.entries.WithLabelValues(Done).Inc()
	if err := c.q.Purge(ctx, topology.Audit, last.N); err != nil {
		return err
	}
	l.o.Metrics.purged.WithLabelValues(reason).Add(float64(last.N - st.FirstSeq + 1))
	l.o.Logger.Info("audit entries were removed", "reason", reason, "first", st.FirstSeq, "last", last.N)
	return nil
}

// tooMuch is up to where entries are to go; never the last one, which the next has
// to follow.
func (l *Log) tooMuch(ctx context.Context, q Queue, st queue.StreamState) (to uint64, reason string, err error) {
	if st.Messages < 2 {
		return 0, "", nil
	}
	if keep := time.Duration(l.o.Config.Retention); keep > 0 {
		first, err := q.SequenceAt(ctx, topology.Audit, l.now().Add(-keep))
		if err != nil {
			return 0, "", err
		}
		to, reason = first-1, reasonAge
	}
	if limit := uint64(max(0, st.MaxBytes)); limit > 0 && st.Bytes > limit/100*shortAt {
		mean := max(1, st.Bytes/st.Messages)
		if more := st.FirstSeq + (st.Bytes-limit/100*shrinkTo)/mean; more > to {
			to, reason = more, reasonSpace
		}
	}
	return min(to, st.LastSeq-1), reason, nil
}

// lastBefore is the last entry up to a sequence.
func lastBefore(ctx context.Context, q Queue, first, to uint64) (Head, error) {
	for seq := to; seq >= first && to-seq < maxHoles; seq-- {
		m, _, err := q.Get(ctx, topology.Audit, seq)
		if err == nil {
			return Head{N: seq, Hash: hashOf(m.Body)}, nil
		}
		if !errors.Is(err, queue.ErrNotFound) {
			return Head{}, err
		}
	}
	return Head{}, fmt.Errorf("entries up to %d were taken out of the stream: see penstock audit verify", to)
}
