package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// waits is how long nothing is due in each shard, -1 where there is no timer.
func (s *Store) waits(ctx context.Context) ([]int64, error) {
	list := make([]int64, s.shards)
	for i := range list {
		n, err := nextScript.Run(ctx, s.client, s.timerKeys(i)).Int64()
		if err != nil {
			return nil, fmt.Errorf("redis: look at timers: %w", err)
		}
		list[i] = n
	}
	return list, nil
}

// Take implements alerts.Timers. The oldest of a shard come first.
func (s *Store) Take(ctx context.Context, limit int, lease time.Duration) ([]alerts.Timer, error) {
	waits, err := s.waits(ctx)
	if err != nil {
		return nil, err
	}
	var shards []int
	for i, w := range waits {
		if w == 0 {
			shards = append(shards, i)
		}
	}
	slices.SortFunc(shards, func(a, b int) int { return cmp.Compare(waits[a], waits[b]) })
	var list []alerts.Timer
	for _, shard := range shards {
		if len(list) >= limit {
			break
		}
		texts, err := takeScript.Run(ctx, s.client, s.timerKeys(shard), limit-len(list), millis(lease)).StringSlice()
		if err != nil && len(list) == 0 {
			return nil, fmt.Errorf("redis: take timers: %w", err)
		} else if err != nil {
			break // what was taken is worked on; the rest comes the next time
		}
		for i := 0; i+2 < len(texts); i += 3 {
			t, err := timer(texts[i], texts[i+1], texts[i+2])
			if err != nil {
				return list, fmt.Errorf("redis: timer %q: %w", texts[i], err)
			}
			list = append(list, t)
		}
	}
	return list, nil
}

func timer(member, generation, lease string) (t alerts.Timer, err error) {
	var names [2]string
	if err := json.Unmarshal([]byte(member), &names); err != nil {
		return t, err
	}
	t.Tenant, t.ID = names[0], names[1]
	if t.Generation, err = strconv.ParseUint(generation, 10, 64); err != nil {
		return t, err
	}
	t.Lease, err = strconv.ParseUint(lease, 10, 64)
	return t, err
}

// NextDue implements alerts.Timers.
func (s *Store) NextDue(ctx context.Context, most time.Duration) (time.Duration, error) {
	waits, err := s.waits(ctx)
	if err != nil {
		return 0, err
	}
	for _, w := range waits {
		if w >= 0 {
			most = min(most, time.Duration(w)*time.Millisecond)
		}
	}
	return most, nil
}
