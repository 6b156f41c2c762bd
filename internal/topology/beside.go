package topology

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// leastBeside is what is still worth having where there is no room for more.
const leastBeside = 4 << 20

// ensureBeside makes a stream that is in no Plan, of as many bytes as the store has
// room for, a quarter each time. One that exists keeps its size.
func ensureBeside(ctx context.Context, q queue.Provisioner, name string, most int64) error {
	var err error
	for size := most; size >= leastBeside; size /= 4 {
		st, missing := q.StreamState(ctx, name)
		switch {
		case missing == nil:
			size = st.MaxBytes // of whoever made it, here or while this found no room
		case !errors.Is(missing, queue.ErrNotFound):
			return fmt.Errorf("look for stream %s: %w", name, missing)
		}
		err = q.EnsureStream(ctx, queue.StreamConfig{Name: name, MaxBytes: size, DedupWindow: dedupWindow})
		if !errors.Is(err, queue.ErrNoRoom) || missing == nil {
			break
		}
	}
	switch {
	case errors.Is(err, queue.ErrNoRoom):
		return fmt.Errorf("make stream %s of %d bytes beside queue.max_bytes: %w; lower queue.max_bytes or give the server a larger store", name, leastBeside, err)
	case err != nil:
		return fmt.Errorf("make stream %s: %w", name, err)
	}
	return nil
}
