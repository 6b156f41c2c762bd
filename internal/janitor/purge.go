package janitor

import (
	"context"
	"fmt"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// stepBytes is about what one purge removes: a server that removes a hundred
// gigabytes at once answers nothing else meanwhile.
const stepBytes = 64 << 20

// mean is the mean size of a message, at least 1.
func mean(st queue.StreamState) uint64 {
	return max(1, st.Bytes/max(1, st.Messages))
}

// purge removes up to and including to, step by step, and gives the state after.
// to is at most what floor and holds leave.
func (j *Janitor) purge(ctx context.Context, st queue.StreamState, to uint64, reason string) (queue.StreamState, error) {
	if st.FirstSeq <= to && j.o.BeforePurge != nil {
		if err := j.o.BeforePurge(ctx, st.Name, to); err != nil {
			return st, fmt.Errorf("not purged up to %d: %w", to, err)
		}
	}
	for st.FirstSeq <= to {
		if err := ctx.Err(); err != nil {
			return st, err
		}
		next := min(to, st.FirstSeq-1+max(1, stepBytes/mean(st)))
		if err := j.o.Queue.Purge(ctx, st.Name, next); err != nil {
			return st, err
		}
		after, err := j.o.Queue.StreamState(ctx, st.Name)
		if err != nil {
			return st, err
		}
		if after.LastSeq < st.LastSeq || after.FirstSeq <= st.FirstSeq {
			return after, fmt.Errorf("after a purge up to %d the stream goes from %d to %d, before it from %d to %d: it was made anew, or the purge did nothing",
				next, after.FirstSeq, after.LastSeq, st.FirstSeq, st.LastSeq)
		}
		// Another janitor may have counted some of these too.
		j.o.Metrics.purged.WithLabelValues(st.Name, reason).Add(float64(min(after.FirstSeq-1, next) - st.FirstSeq + 1))
		st = after
	}
	return st, nil
}

// shrink removes the oldest, up to the floor, until the stream holds goal bytes.
func (j *Janitor) shrink(ctx context.Context, st queue.StreamState, floor, goal uint64, reason string) (queue.StreamState, error) {
	for st.Bytes > goal && st.FirstSeq <= floor {
		size := mean(st)
		n := (st.Bytes - goal + size - 1) / size
		var err error
		if st, err = j.purge(ctx, st, min(floor, st.FirstSeq-1+n), reason); err != nil {
			return st, err
		}
	}
	return st, nil
}
