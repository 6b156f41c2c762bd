package harness

import (
	"testing"

	"github.com/penstock-otel/penstock/pkg/alerts/redis/redistest"
)

// Redis is a process of a real server.
type Redis = redistest.Server

// NewRedis runs one until the test is over.
func NewRedis(t testing.TB) *Redis { t.Helper(); return redistest.Start(t) }

// NewSentinels run a server with a replica and three sentinels who know it by name.
func NewSentinels(t testing.TB, name string) (master, replica *Redis, addrs []string) {
	t.Helper()
	master = redistest.Start(t)
	replica = redistest.Replica(t, master)
	return master, replica, redistest.Sentinels(t, name, master)
}
