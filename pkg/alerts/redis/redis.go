// Package redis keeps claims and timers in Redis, alone, behind Sentinel or as a
// cluster, for any number of alerters. Redis may lose all of it at any time: see
// package alerts.
//
//	<prefix>:c:<hash of ClaimKey>   hash    a claim, in a slot of its own
//	{<prefix>:<shard>}:t            zset    timers by when they are due
//	{<prefix>:<shard>}:f            zset    those given out, by the end of the lease
//	{<prefix>:<shard>}:g :l :n      hashes  generations, leases; the last lease
//
// # Guarantees
//
//   - Every change is one script on keys of one slot, by the clock of the server.
//   - A call ends within callTimeout, Take in twice that, whatever the server does.
//   - Of a cluster that has lost a node, the timers of the others are given on.
//   - A call that the client repeats, as its answer was lost, is done once: a claim
//     knows its claimant and an end its token again.
//   - A token is of one claim for ever, also when the server has lost all: tokens are
//     not below the clock.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Options of a Store.
type Options struct {
	// Addrs are host:port: one server, the sentinels, or some nodes of a cluster.
	Addrs []string
	// SentinelMaster is the name that the sentinels have for the server; "": they are
	// no sentinels.
	SentinelMaster string
	// SentinelUsername and SentinelPassword are for the sentinels, the others for the
	// servers.
	SentinelUsername, SentinelPassword string
	// Cluster: Addrs are of a cluster, also when there is only one.
	Cluster            bool
	Username, Password string
	// TLS is asked for each connection, so that its authorities may change; nil: plain
	// text.
	TLS func() *tls.Config
	// Prefix begins every key; default "penstock".
	Prefix string
}

// Bounds. A server that does not answer is no reason to wait: there is something to do
// without it.
const (
	callTimeout = time.Second
	dialTimeout = time.Second
	ioTimeout   = 500 * time.Millisecond
	maxRetries  = 1
	keepAlive   = 30 * time.Second
	// keepSent is for how long it is known what was sent, beyond twice the repeat
	// interval, since somebody asked.
	keepSent = 24 * time.Hour
	// clusterShards spread the timers over the nodes of a cluster.
	clusterShards = 16
)

// Store is a Store in Redis. Safe for concurrent use.
type Store struct {
	client redis.UniversalClient
	prefix string
	shards int
}

var _ alerts.Store = (*Store)(nil)

// Open makes a Store; it connects when it is used.
func Open(o Options) (*Store, error) {
	if len(o.Addrs) == 0 {
		return nil, errors.New("redis: no address: want host:port of a server, of the sentinels, or of nodes of a cluster")
	}
	if o.SentinelMaster != "" && o.Cluster {
		return nil, errors.New("redis: a cluster has no sentinels: want one or the other")
	}
	if strings.ContainsAny(o.Prefix, "{}") {
		return nil, fmt.Errorf("redis: the prefix %q has braces, which are for the slot of a key: want none", o.Prefix)
	}
	if o.Prefix == "" {
		o.Prefix = "penstock"
	}
	quiet()
	s := &Store{prefix: o.Prefix, shards: 1}
	if o.Cluster || len(o.Addrs) > 1 && o.SentinelMaster == "" {
		s.shards = clusterShards
	}
	s.client = redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: o.Addrs, MasterName: o.SentinelMaster, IsClusterMode: s.shards > 1, Username: o.Username, Password: o.Password, Dialer: dialer(o.TLS),
		SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword,
		ContextTimeoutEnabled: true, DialTimeout: dialTimeout, DialerRetries: 1, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout, PoolTimeout: ioTimeout,
		MaxRetries: maxRetries, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	return s, nil
}

// dialer makes connections; go-redis' own knows one TLS configuration for ever.
func dialer(config func() *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	if config == nil {
		return plain.DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return (&tls.Dialer{NetDialer: plain, Config: config()}).DialContext(ctx, network, addr)
	}
}

// quiet keeps what the client says about every connection out of standard error. It
// is the client's for the process, so it is set once.
var quiet = sync.OnceFunc(func() { redis.SetLogger(debugLog{}) })

type debugLog struct{}

func (debugLog) Printf(ctx context.Context, format string, v ...any) {
	if log := slog.Default(); log.Enabled(ctx, slog.LevelDebug) {
		log.DebugContext(ctx, "redis: "+fmt.Sprintf(format, v...))
	}
}

// Ready implements alerts.Store. Of a cluster, some node answers.
func (s *Store) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// Close implements alerts.Store.
func (s *Store) Close() error {
	if err := s.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("redis: close: %w", err)
	}
	return nil
}

// run runs a script in bounded time.
func (s *Store) run(ctx context.Context, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return script.Run(ctx, s.client, keys, args...)
}

// millis is at least one: a lease of none would be nobody's.
func millis(d time.Duration) int64 { return max(d.Milliseconds(), 1) }
