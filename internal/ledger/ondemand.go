package ledger

import (
	"context"
	"maps"
	"slices"
	"time"
)

// countPatience bounds the wait of Count.
const countPatience = 2 * time.Second

// Count counts what was accepted since the last look, if this process keeps the
// ledger, so that who purges need not wait for the next one: a stream may fill
// within the pace of looks. It waits until that is done, at most 2 s. It judges
// nothing: that needs the pace.
func (k *Keeper) Count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, countPatience)
	defer cancel()
	done := make(chan struct{})
	select {
	case k.counts <- done:
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// count is Count, by the goroutine of Run.
func (k *Keeper) count(ctx context.Context) {
	if !k.leader || k.s == nil {
		return
	}
	within, cancel := context.WithTimeout(ctx, countPatience)
	defer cancel()
	err := k.s.count(within)
	if err == nil {
		err = k.s.saveCount(within)
	}
	if err != nil {
		k.tell(ctx, err)
	}
}

// saveCount stores what count changed; the hold last, for it is relied on.
func (s *state) saveCount(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(s.books)) {
		if err := s.books[name].save(ctx, s.q); err != nil {
			return err
		}
	}
	if err := s.looks.save(ctx, s.q); err != nil {
		return err
	}
	s.hold.v = s.held()
	return s.hold.save(ctx, s.q)
}
