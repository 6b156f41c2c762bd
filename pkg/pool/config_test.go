package pool_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/penstock-otel/penstock/pkg/pool"
)

func TestValidate(t *testing.T) {
	f := func(change func(*pool.Config), want string) {
		t.Helper()
		c := pool.Config{Endpoints: []string{"127.0.0.1:4317"}}
		change(&c)
		err := c.Validate()
		switch {
		case want == "" && err != nil:
			t.Errorf("got %v", err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(func(c *pool.Config) {}, "")
	f(func(c *pool.Config) { c.MinConnections = 20 }, "")
	f(func(c *pool.Config) { c.MinConnections = -1 }, "")
	f(func(c *pool.Config) { c.MaxInFlight = 3 }, "")
	f(func(c *pool.Config) { c.Endpoints = nil }, "at least one host:port")
	f(func(c *pool.Config) { c.Endpoints = []string{"a:1", ""} }, "endpoints[1]: empty")
	f(func(c *pool.Config) { c.MinConnections = -2 }, "min_connections: -2")
	f(func(c *pool.Config) { c.MinConnections = 60 }, "min_connections: 60 is above max_connections 50")
	f(func(c *pool.Config) { c.MinConnections, c.MaxConnections = 3, 2 }, "min_connections: 3 is above")
	f(func(c *pool.Config) { c.MaxConnections = 51 }, "max_connections: 51, want 1 to 50")
	f(func(c *pool.Config) { c.MaxInFlight = -1 }, "max_in_flight: -1")
	f(func(c *pool.Config) { c.GrowAt = 101 }, "grow_at: 101, want 1 to max_in_flight 100")
	f(func(c *pool.Config) { c.HangAfter = -1 }, "hang_after: -1")
	f(func(c *pool.Config) { c.MaxAge = -time.Second }, "max_age: -1s")
	f(func(c *pool.Config) { c.Backoff.BaseDelay = time.Second }, "backoff: base 1s, max 0s")
}

func TestNewRefusesWhatCanNeverWork(t *testing.T) {
	f := func(c pool.Config, want string) {
		t.Helper()
		if _, err := pool.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(pool.Config{}, "endpoints: none given")
	f(pool.Config{Endpoints: []string{"127.0.0.1:1"}}, "no transport security set")
	f(pool.Config{Endpoints: []string{"dns://%%/x"}, DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}}, `endpoint "dns://%%/x"`)
}
