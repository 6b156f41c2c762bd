package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// lease is held until then. Queue.mu guards it.
type lease struct {
	holder string
	until  time.Time
}

// Lease implements queue.Leaser.
func (q *Queue) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	if err := checkLease(name, holder); err != nil {
		return false, err
	}
	if ttl <= 0 {
		return false, fmt.Errorf("queue: lease %s: the ttl must be positive, not %s", name, ttl)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.openLocked(ctx, name); err != nil {
		return false, err
	}
	now := time.Now()
	if l, taken := q.leases[name]; taken && l.holder != holder && now.Before(l.until) {
		return false, nil
	}
	q.leases[name] = lease{holder, now.Add(ttl)}
	return true, nil
}

// Release implements queue.Leaser.
func (q *Queue) Release(ctx context.Context, name, holder string) error {
	if err := checkLease(name, holder); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.openLocked(ctx, name); err != nil {
		return err
	}
	if q.leases[name].holder == holder {
		delete(q.leases, name)
	}
	return nil
}

func (q *Queue) openLocked(ctx context.Context, lease string) error {
	if q.closed {
		return queue.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("queue: lease %s: %w: %w", lease, queue.ErrUnavailable, err)
	}
	return nil
}

func checkLease(name, holder string) error {
	for _, s := range []string{name, holder} {
		ok := s != "" && len(s) <= 128
		for i := 0; ok && i < len(s); i++ {
			c := s[i]
			ok = c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		}
		if !ok {
			return fmt.Errorf("queue: lease %q of %q: use 1 to 128 of A-Z, a-z, 0-9, _ and -", name, holder)
		}
	}
	return nil
}
