package journal

import (
	"context"
	"errors"
	"fmt"
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
	// snapshotEvery is after how many entries the next snapshot is written.
	snapshotEvery = 10_000
	tidyEvery     = time.Minute
	tidyTimeout   = 30 * time.Second
)

// Tidier writes snapshots and removes what is over its retention, in the one process
// that tells.
type Tidier struct {
	j     *Journal
	began time.Time
	next  time.Time
	every uint64
	said  string // what was said to be wrong
}

// Tidier makes one. There is one goroutine that uses it.
func (j *Journal) Tidier() *Tidier {
	return &Tidier{j: j, began: time.Now(), every: snapshotEvery}
}

// Round looks once a minute, however often it is called; what fails is logged, and
// tried again in the next. It returns within 30 s.
func (t *Tidier) Round(ctx context.Context) {
	if now := time.Now(); now.Before(t.next) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tidyTimeout)
	defer cancel()
	err := t.tidy(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	t.next = time.Now().Add(tidyEvery)
	what := ""
	if err != nil {
		what = err.Error()
	}
	if what != t.said && what != "" {
		t.j.o.Logger.Error("the log of alerts is not tidied", "error", what)
	}
	t.said = what
}

// now is the present by a clock that nobody can move forward: the start of this
// process, and on from there.
func (t *Tidier) now() time.Time { return t.began.Round(0).Add(time.Since(t.began)) }

func (t *Tidier) tidy(ctx context.Context) error {
	st, err := t.j.state(ctx)
	if errors.Is(err, queue.ErrNotFound) || err == nil && st.LastSeq == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	first, err := t.j.last(ctx)
	if err != nil {
		return err
	}
	to, reason, err := t.tooMuch(ctx, st)
	if err != nil {
		return err
	}
	if st.LastSeq+1-max(first, st.FirstSeq) >= t.every || to >= st.FirstSeq && to >= first {
		if first, err = t.j.snapshot(ctx); err != nil {
			return fmt.Errorf("messages up to %d stay, because there is no snapshot behind them: %w", to, err)
		}
	}
	if to = min(to, max(first, 1)-1); to < st.FirstSeq {
		return nil
	}
	once, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	if err := t.j.q.Purge(once, topology.Alerts, to); err != nil {
		return err
	}
	t.j.resized()
	t.j.o.Metrics.purged.WithLabelValues(reason).Add(float64(to - st.FirstSeq + 1))
	t.j.o.Logger.Info("old entries of the log of alerts were removed", "reason", reason, "first", st.FirstSeq, "last", to, "snapshot", first)
	return nil
}

// tooMuch is up to where messages are to go.
func (t *Tidier) tooMuch(ctx context.Context, st queue.StreamState) (to uint64, reason string, err error) {
	if st.Messages == 0 {
		return 0, "", nil
	}
	if keep := time.Duration(t.j.o.Config.Retention); keep > 0 {
		once, cancel := context.WithTimeout(ctx, tryTimeout)
		defer cancel()
		first, err := t.j.q.SequenceAt(once, topology.Alerts, t.now().Add(-keep))
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
	return min(to, st.LastSeq), reason, nil
}
