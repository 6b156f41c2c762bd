package worker

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// slots bound what one destination has in flight, in exports and in bytes, over
// all its lanes.
type slots struct {
	exports *semaphore.Weighted
	bytes   *semaphore.Weighted
	limit   int64
}

func newSlots(exports int, bytes int64) *slots {
	return &slots{exports: semaphore.NewWeighted(int64(exports)), bytes: semaphore.NewWeighted(bytes), limit: bytes}
}

// takeBytes waits for n bytes; more than the limit counts as all of it, so that
// one huge group is exported alone instead of never.
func (s *slots) takeBytes(ctx context.Context, n int64) (release func(), err error) {
	n = min(n, s.limit)
	if err := s.bytes.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { s.bytes.Release(n) }, nil
}
