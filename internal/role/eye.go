package role

import (
	"context"
	"time"

	"github.com/penstock-otel/penstock/internal/fleet"
)

// watchFleet looks at the other processes at their own pace until ctx ends: an
// eye tells from what it saw itself who is gone, and one that is only opened when
// somebody asks takes the dead for alive at first.
func watchFleet(ctx context.Context, eye *fleet.Eye) error {
	for t := time.NewTicker(fleet.Every); ; {
		// A queue that is away is told by those who ask.
		_, _ = eye.Look(ctx)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}
