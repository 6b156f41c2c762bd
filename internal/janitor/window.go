package janitor

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// slackShare of the window is how much longer than it data may stay, so that the
// search, which reads messages, is done a hundred times a window and not each
// round.
const slackShare = 100

// olderThanWindow is the last sequence up to top that the replay window need no
// longer keep; FirstSeq-1 when it is to keep all.
func (j *Janitor) olderThanWindow(ctx context.Context, st queue.StreamState, top uint64, now time.Time) (uint64, error) {
	none := st.FirstSeq - 1
	window := time.Duration(j.config.Load().ReplayWindow)
	switch {
	case top < st.FirstSeq:
		return none, nil
	case window == 0:
		return top, nil
	case now.Sub(st.FirstTime) < window+window/slackShare:
		return none, nil
	}
	old := func(seq uint64) (bool, error) {
		if seq == st.LastSeq {
			return now.Sub(st.LastTime) >= window, nil
		}
		_, at, err := j.o.Queue.Get(ctx, st.Name, seq)
		if errors.Is(err, queue.ErrNotFound) {
			return false, nil // purged by another, or damaged: to keep more is the safe side
		}
		return err == nil && now.Sub(at) >= window, err
	}
	if all, err := old(top); all || err != nil {
		return top, err
	}
	yes, no := st.FirstSeq, top
	for yes+1 < no {
		mid := yes + (no-yes)/2
		is, err := old(mid)
		if err != nil {
			return none, err
		}
		if is {
			yes = mid
		} else {
			no = mid
		}
	}
	return yes, nil
}
