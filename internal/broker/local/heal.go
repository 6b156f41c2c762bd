package local

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// Pace and bounds of healing.
const (
	healEvery    = 2 * time.Second
	healPatience = time.Minute // longest wait between two restarts
	healTimeout  = 10 * time.Minute
)

// healer restarts the server after a write error, once there is space again: a
// stream that could not write takes nothing more until then, also when the disk
// has space. Publishes meanwhile fail, and clients send again.
type healer struct {
	healthy func() error
	restart func(context.Context) error
	// free is the space that is left, and what a restart needs.
	free func() (left, need uint64, err error)
	log  *slog.Logger
}

func newHealer(s *embedded.Server, log *slog.Logger) *healer {
	return &healer{healthy: s.Healthy, restart: s.Restart, free: func() (uint64, uint64, error) { return space(s.Dir()) }, log: log}
}

// run looks until ctx ends.
func (h *healer) run(ctx context.Context) error {
	said, wait := "", healEvery
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		err := h.healthy()
		if err == nil {
			if said != "" {
				h.log.Info("the embedded queue is healthy again")
			}
			said, wait = "", healEvery
			continue
		}
		left, need, spaceErr := h.free()
		if spaceErr != nil || left < need {
			if said != "space" {
				h.log.Error("the embedded queue takes nothing: free space on the volume of queue.dir and it goes on by itself",
					"error", err, "free_bytes", left, "needed_bytes", need, "space_error", spaceErr)
				said = "space"
			}
			wait = healEvery
			continue
		}
		h.log.Warn("restarting the embedded queue to clear a write error", "error", err, "free_bytes", left)
		said = "restart"
		bounded, cancel := context.WithTimeout(ctx, healTimeout)
		if err := h.restart(bounded); err != nil && ctx.Err() == nil {
			h.log.Error("restart of the embedded queue failed; trying on", "error", err, "again_in", wait)
		}
		cancel()
		wait = min(2*wait, healPatience) // until it has proven healthy
	}
}

// space is what is left on the volume of dir, and the least with which writing
// is tried again: a hundredth of the volume, between 16 MiB and 1 GiB.
func space(dir string) (left, need uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("ask for the space of %s: %w", dir, err)
	}
	block := uint64(st.Bsize)
	return st.Bavail * block, min(max(st.Blocks*block/100, 16<<20), 1<<30), nil
}
