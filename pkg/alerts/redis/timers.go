package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// member of the sorted sets: JSON, as both parts may have any character.
func member(t alerts.Timer) (string, error) {
	b, err := json.Marshal([2]string{t.Tenant, t.ID})
	return string(b), err
}

func (s *Store) shard(member string) int {
	h := fnv.New32a()
	h.Write([]byte(member))
	return int(h.Sum32() % uint32(s.shards))
}

func (s *Store) timerKeys(shard int) []string {
	tag := fmt.Sprintf("{%s:%d}:", s.prefix, shard)
	return []string{tag + "t", tag + "f", tag + "g", tag + "l", tag + "n"}
}

// onTimer runs a script on the shard of a timer.
func (s *Store) onTimer(ctx context.Context, what string, script *redis.Script, t alerts.Timer, args ...any) error {
	m, err := member(t)
	if err == nil {
		err = s.run(ctx, script, s.timerKeys(s.shard(m)), append([]any{m}, args...)...).Err()
	}
	if err != nil {
		return fmt.Errorf("redis: %s a timer: %w", what, err)
	}
	return nil
}

// Arm implements alerts.Timers.
func (s *Store) Arm(ctx context.Context, t alerts.Timer) error {
	return s.onTimer(ctx, "arm", armScript, t, t.Generation, max(t.After.Milliseconds(), 0))
}

// Done implements alerts.Timers.
func (s *Store) Done(ctx context.Context, t alerts.Timer) error {
	return s.onTimer(ctx, "end", doneScript, t, t.Lease)
}

// wait is how long nothing is due in a shard, below zero when something was due; ok is
// false when it has no timer, or does not answer.
type wait struct {
	shard  int
	millis int64
	ok     bool
}

// waits asks all shards. A node that does not answer is no reason to let the timers of
// the others wait: it is in err.
func (s *Store) waits(ctx context.Context) (list []wait, err error) {
	list = make([]wait, s.shards)
	errs := make([]error, s.shards)
	var wg sync.WaitGroup
	for i := range list {
		wg.Go(func() {
			n, err := s.run(ctx, nextScript, s.timerKeys(i)).Int64()
			list[i] = wait{shard: i, millis: n, ok: err == nil}
			if !errors.Is(err, redis.Nil) {
				errs[i] = err
			}
		})
	}
	wg.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) > 0 {
		err = fmt.Errorf("redis: look at timers: %d of %d shards do not answer: %w", len(errs), s.shards, errs[0])
	}
	return slices.DeleteFunc(list, func(w wait) bool { return !w.ok }), err
}

// Take implements alerts.Timers. The oldest of a shard come first, and the shards by
// their oldest.
func (s *Store) Take(ctx context.Context, limit int, lease time.Duration) ([]alerts.Timer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*callTimeout)
	defer cancel()
	waits, err := s.waits(ctx)
	slices.SortFunc(waits, func(a, b wait) int { return cmp.Compare(a.millis, b.millis) })
	var list []alerts.Timer
	for _, w := range waits {
		if len(list) >= limit || w.millis > 0 {
			break
		}
		more, takeErr := s.take(ctx, w.shard, limit-len(list), lease)
		list, err = append(list, more...), errors.Join(err, takeErr)
	}
	return list, err
}

func (s *Store) take(ctx context.Context, shard, limit int, lease time.Duration) (list []alerts.Timer, err error) {
	texts, err := s.run(ctx, takeScript, s.timerKeys(shard), limit, millis(lease)).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("redis: take timers: %w", err)
	}
	for part := range slices.Chunk(texts, 3) {
		t, err := timer(part)
		if err != nil {
			return list, fmt.Errorf("redis: timer %q: what the server has is not readable: %w", part, err)
		}
		list = append(list, t)
	}
	return list, nil
}

// timer is made of its member, generation and lease.
func timer(part []string) (t alerts.Timer, err error) {
	if len(part) != 3 {
		return t, errors.New("want three parts")
	}
	var names [2]string
	if err := json.Unmarshal([]byte(part[0]), &names); err != nil {
		return t, err
	}
	t.Tenant, t.ID = names[0], names[1]
	if t.Generation, err = strconv.ParseUint(part[1], 10, 64); err != nil {
		return t, err
	}
	t.Lease, err = strconv.ParseUint(part[2], 10, 64)
	return t, err
}

// NextDue implements alerts.Timers. Of a cluster, it fails when no node answers.
func (s *Store) NextDue(ctx context.Context, most time.Duration) (time.Duration, error) {
	waits, err := s.waits(ctx)
	if err != nil && (s.shards == 1 || ctx.Err() != nil || len(waits) == 0) {
		return 0, err
	}
	for _, w := range waits {
		most = min(most, max(time.Duration(w.millis)*time.Millisecond, 0))
	}
	return most, nil
}
