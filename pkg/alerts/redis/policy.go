package redis

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// MemoryPolicy says what is wrong with what the servers do when their memory is full,
// "" if nothing is. With any policy but noeviction claims disappear, and notifications
// are sent twice: an operator should know.
func (s *Store) MemoryPolicy(ctx context.Context) (problem string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	look := func(ctx context.Context, c redis.Cmdable, where string) error {
		// Not CONFIG GET, which services that are run by others refuse.
		info, err := c.Info(ctx, "memory").Result()
		if err != nil {
			return fmt.Errorf("redis: maxmemory-policy%s: %w", where, err)
		}
		_, rest, found := strings.Cut(info, "maxmemory_policy:")
		policy, _, _ := strings.Cut(rest, "\r")
		if !found {
			return fmt.Errorf("redis: maxmemory-policy%s: the server does not tell", where)
		}
		if policy != "noeviction" {
			problem = fmt.Sprintf("redis%s: maxmemory-policy is %s, want noeviction: claims disappear when memory is full, and notifications are sent twice", where, policy)
		}
		return nil
	}
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		err = look(ctx, s.client, "")
		return problem, err
	}
	var mu sync.Mutex
	err = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		return look(ctx, c, " "+c.Options().Addr)
	})
	return problem, err
}
