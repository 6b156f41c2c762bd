package worker

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// slots bound what one destination has in flight, in exports and in bytes, over
// all its lanes. Who waits is served in turn, so that no lane starves another.
type slots struct {
	exports *semaphore.Weighted
	bytes   *semaphore.Weighted
	limit   int64
}

func newSlots(exports int, bytes int64) *slots {
	return &slots{exports: semaphore.NewWeighted(int64(exports)), bytes: semaphore.NewWeighted(bytes), limit: bytes}
}

// take waits for the right to one export, and tells whether it had to wait.
func (s *slots) take(ctx context.Context) (waited bool, err error) {
	if s.exports.TryAcquire(1) {
		return false, nil
	}
	return true, s.exports.Acquire(ctx, 1)
}

func (s *slots) release() { s.exports.Release(1) }

// takeBytes waits for the bytes of a group, as it is stored and decompressed.
// More than the limit counts as all of it, so that one huge group, or one that
// only claims to be, is exported alone instead of never.
func (s *slots) takeBytes(ctx context.Context, raw, stored int) (release func(), err error) {
	n := min(min(int64(raw), s.limit)+int64(stored), s.limit)
	if err := s.bytes.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { s.bytes.Release(n) }, nil
}
