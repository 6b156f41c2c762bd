package janitor

import (
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// clock gives the present by the queue's time, never too late by more than the
// queue's server is wrong itself and this machine was when the janitor started:
// the lesser of
//
//   - the stored time of the stream's last message, and on from when it was first
//     seen here: right while there is traffic, and behind when there is none;
//   - the start of this process, and on from there.
//
// Both go on by the monotonic clock. So a clock that is ahead, here or at the
// server, and a step of either, keeps data longer at worst; it takes both, or a
// step before the start, to shorten the window.
type clock struct {
	start  time.Time
	stored time.Time // of the last message
	seen   time.Time // when that was seen first
}

func (c *clock) now(st queue.StreamState) time.Time {
	if c.seen.IsZero() || !st.LastTime.Equal(c.stored) {
		c.stored, c.seen = st.LastTime, time.Now()
	}
	queues := c.stored.Round(0).Add(time.Since(c.seen))
	ours := c.start.Round(0).Add(time.Since(c.start))
	if queues.Before(ours) {
		return queues
	}
	return ours
}
