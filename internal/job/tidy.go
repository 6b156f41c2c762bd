package job

import (
	"context"
	"time"
)

// How long, and how many, jobs that have ended are kept.
const (
	keepEnded     = 7 * 24 * time.Hour
	keepEndedMost = 200
)

// tidy removes what ended long ago. jobs are the oldest first.
func (x *Runner) tidy(ctx context.Context, jobs []Job, unread error) {
	if unread != nil {
		return
	}
	ended := 0
	for i := range jobs {
		if jobs[i].Phase.Ended() {
			ended++
		}
	}
	for i := range jobs {
		j := &jobs[i]
		if !j.Phase.Ended() || time.Since(j.EndedAt) < keepEnded && ended <= keepEndedMost {
			continue
		}
		ended--
		if err := x.o.Store.Delete(ctx, j.ID); err != nil {
			x.o.Logger.Debug("an old job was not removed", "job", j.ID, "error", err)
		}
	}
}
