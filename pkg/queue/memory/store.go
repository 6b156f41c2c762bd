package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// storeLocked checks ctx and the state, as each operation does first.
func (q *Queue) storeLocked(ctx context.Context, what string) error {
	if q.closed {
		return queue.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("queue: %s: %w: %w", what, queue.ErrUnavailable, err)
	}
	return nil
}

// Load implements queue.Store.
func (q *Queue) Load(ctx context.Context, key string) (queue.Value, error) {
	if err := queue.CheckKey(key); err != nil {
		return queue.Value{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.storeLocked(ctx, "value "+key); err != nil {
		return queue.Value{}, err
	}
	v, ok := q.values[key]
	if !ok {
		return queue.Value{}, fmt.Errorf("queue: value %s: %w", key, queue.ErrNotFound)
	}
	return copied(v), nil
}

// List implements queue.Store.
func (q *Queue) List(ctx context.Context, prefix string) ([]queue.Value, error) {
	if err := queue.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.storeLocked(ctx, "values "+prefix); err != nil {
		return nil, err
	}
	var found []queue.Value
	for _, key := range slices.Sorted(maps.Keys(q.values)) {
		if strings.HasPrefix(key, prefix) {
			found = append(found, copied(q.values[key]))
		}
	}
	return found, nil
}

// Save implements queue.Store.
func (q *Queue) Save(ctx context.Context, key string, data []byte, revision uint64) (uint64, error) {
	if err := queue.CheckKey(key); err != nil {
		return 0, err
	}
	if len(data) > queue.MaxValueBytes {
		return 0, fmt.Errorf("queue: value %s: %w: %d bytes, limit %d", key, queue.ErrTooLarge, len(data), queue.MaxValueBytes)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.compareLocked(ctx, key, revision); err != nil {
		return 0, err
	}
	q.saved++
	q.values[key] = queue.Value{Key: key, Data: slices.Clone(data), Revision: q.saved}
	return q.saved, nil
}

// Remove implements queue.Store.
func (q *Queue) Remove(ctx context.Context, key string, revision uint64) error {
	if err := queue.CheckKey(key); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, there := q.values[key]; !there {
		return q.storeLocked(ctx, "value "+key)
	}
	if err := q.compareLocked(ctx, key, revision); err != nil {
		return err
	}
	delete(q.values, key)
	return nil
}

func (q *Queue) compareLocked(ctx context.Context, key string, revision uint64) error {
	if err := q.storeLocked(ctx, "value "+key); err != nil {
		return err
	}
	if have := q.values[key].Revision; revision != queue.AnyRevision && revision != have {
		return fmt.Errorf("queue: value %s: %w: it is at revision %d, not %d", key, queue.ErrConflict, have, revision)
	}
	return nil
}

func copied(v queue.Value) queue.Value {
	v.Data = slices.Clone(v.Data)
	return v
}
