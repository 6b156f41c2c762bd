package worker

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/semaphore"
)

// graves is how many messages of one destination are buried at a time, outside
// of the export slots: a dead-letter stream that does not answer holds up
// burials and no export.
const graves = 4

// gravePatience is how long a message waits for one, in its export slot: long
// enough for one that answers, and to no avail for one that does not.
const gravePatience = 250 * time.Millisecond

// errPostponed: the message has to go back to the queue without an export, so
// that others get their turn.
var errPostponed = errors.New("others are to be exported first")

// slots bound what one destination has in flight, in exports and in bytes, over
// all its lanes. Who waits is served in turn, so that no lane starves another.
//
// Redeliveries have a share of the exports only. The queue hands them out
// before new messages: if they were let wait for slots, enough messages that
// fail slowly would keep the queue of redeliveries from ever running empty,
// and no other message would be delivered (I8).
type slots struct {
	exports  *semaphore.Weighted
	repeated *semaphore.Weighted
	bytes    *semaphore.Weighted
	limit    int64
	graves   *semaphore.Weighted
}

func newSlots(exports int, bytes int64) *slots {
	return &slots{
		exports: semaphore.NewWeighted(int64(exports)), repeated: semaphore.NewWeighted(int64(share(exports))),
		bytes: semaphore.NewWeighted(bytes), limit: bytes, graves: semaphore.NewWeighted(graves),
	}
}

// share of the exports that redeliveries may have: three quarters, at least
// one, and all but one if there are several.
func share(exports int) int { return max(1, min(exports*3/4, exports-1)) }

// claim is what one export holds of the slots. It belongs to one goroutine.
type claim struct {
	s        *slots // nil: it holds nothing
	repeated bool
	bytes    int64
}

// take waits for the right to one export, and tells whether it had to wait.
// errPostponed: the share of redeliveries is taken.
func (s *slots) take(ctx context.Context, repeated bool) (c claim, waited bool, err error) {
	if repeated && !s.repeated.TryAcquire(1) {
		return claim{}, false, errPostponed
	}
	c = claim{s: s, repeated: repeated}
	if s.exports.TryAcquire(1) {
		return c, false, nil
	}
	if err := s.exports.Acquire(ctx, 1); err != nil {
		if repeated {
			s.repeated.Release(1)
		}
		return claim{}, true, err
	}
	return c, true, nil
}

// cutFactor is how many times a group is in memory while it is cut: as it is, as
// parts, and a part as the exporter encodes it.
const cutFactor = 3

// takeBytes waits for the bytes of a group, as it is stored and decompressed.
// More than the limit counts as all of it, so that one huge group, or one that
// only claims to be, is exported alone instead of never.
func (c *claim) takeBytes(ctx context.Context, raw, stored int) error {
	n := min(min(int64(raw), c.s.limit)+int64(stored), c.s.limit)
	if err := c.s.bytes.Acquire(ctx, n); err != nil {
		return err
	}
	c.bytes = n
	return nil
}

// bisect makes room for a group that is rejected and is to be taken apart, which
// may take hundreds of requests: it goes on in the share of redeliveries, so
// that groups that are rejected leave a place to others (I8). errPostponed: the
// share is taken.
func (c *claim) bisect() error {
	if !c.repeated {
		if !c.s.repeated.TryAcquire(1) {
			return errPostponed
		}
		c.repeated = true
	}
	return nil
}

// moreBytes makes room for the parts of a group that is cut. errPostponed: there
// is none now; who comes again takes as much at once, in turn with others.
func (c *claim) moreBytes(raw, stored int) error {
	n := min(min(int64(raw), c.s.limit)*cutFactor+int64(stored), c.s.limit) - c.bytes
	if n <= 0 {
		return nil
	}
	if !c.s.bytes.TryAcquire(n) {
		return errPostponed
	}
	c.bytes += n
	return nil
}

// release gives back what is held. It may be called again.
func (c *claim) release() {
	if c.s == nil {
		return
	}
	if c.bytes > 0 {
		c.s.bytes.Release(c.bytes)
	}
	if c.repeated {
		c.s.repeated.Release(1)
	}
	c.s.exports.Release(1)
	*c = claim{}
}

// takeGrave waits a moment for the right to one burial. errPostponed: there is
// none.
func (s *slots) takeGrave(ctx context.Context) error {
	if s.graves.TryAcquire(1) {
		return nil
	}
	patience, cancel := context.WithTimeout(ctx, gravePatience)
	defer cancel()
	switch err := s.graves.Acquire(patience, 1); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return errPostponed
}
