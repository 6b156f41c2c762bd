package pool

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// MaxConnectionsLimit is the upper bound of Config.MaxConnections: every
// connection is a transport with two goroutines and its own buffers.
const MaxConnectionsLimit = 50

// Config is how the calls to one destination are spread over connections. The
// zero value of a field means its default, unless its comment says otherwise.
type Config struct {
	// Endpoints are gRPC targets of one and the same service, "host:port" or
	// with a scheme ("dns:///host:port"). A name with several addresses gives
	// each connection one of them by chance.
	Endpoints []string
	// DialOptions are added to, and win over, those of the pool. Transport
	// credentials must be among them.
	DialOptions []grpc.DialOption

	// MinConnections is how many are opened at once and kept warm, raised to
	// one for each endpoint; -1 keeps none. Default 1.
	MinConnections int
	// MaxConnections is the upper bound. Default, and at most,
	// MaxConnectionsLimit: the load decides.
	MaxConnections int
	// GrowAt is the number of calls in flight on every connection at which
	// another is opened. Default 8, at most MaxInFlight.
	GrowAt int
	// MaxInFlight is how many calls one connection carries; more wait here
	// and not inside the transport. Default 100, the stream limit of most
	// servers.
	MaxInFlight int

	// IdleTTL is after how long a connection above the minimum that the load
	// did not need is closed. Default 5 min.
	IdleTTL time.Duration
	// MaxAge is after how long a connection is replaced, so that load moves
	// to new servers behind one name; varied by up to 10 %. Default none.
	MaxAge time.Duration
	// DrainTimeout bounds how long calls in flight hold a connection that was
	// taken out. Default 30 s.
	DrainTimeout time.Duration
	// WaitTimeout bounds how long a call waits for a connection. Default: as
	// long as its context lets it.
	WaitTimeout time.Duration
	// HangAfter is how many calls of one connection must run into their
	// deadline, with no answer in between, before it counts as hung and is
	// replaced, and its endpoint is left out if there are others. Default 3.
	HangAfter int

	// HealthCheck asks grpc.health.v1 once connected and every HealthInterval.
	// A server without that service is judged by its connectivity alone.
	HealthCheck bool
	// HealthService is the name asked for; "" is the whole server.
	HealthService string
	// HealthInterval is also the deadline of one check, up to 5 s. Default 10 s.
	HealthInterval time.Duration

	// Backoff is the wait between attempts to connect. Default 500 ms, times
	// 1.6 up to 15 s, jitter 20 %.
	Backoff backoff.Config
	// ConnectTimeout bounds one attempt to connect. Default 5 s.
	ConnectTimeout time.Duration
	// KeepaliveTime is after how long without a byte read, while calls are in
	// flight, the peer is pinged. Default 30 s; grpc raises less than 10 s to
	// 10 s.
	KeepaliveTime time.Duration
	// KeepaliveTimeout is how long the answer to a ping may take. Default 10 s.
	KeepaliveTimeout time.Duration
}

// Defaults returns the configuration that stands where a field is not set.
func Defaults() Config {
	return Config{
		MinConnections:   1,
		MaxConnections:   MaxConnectionsLimit,
		GrowAt:           8,
		MaxInFlight:      100,
		IdleTTL:          5 * time.Minute,
		DrainTimeout:     30 * time.Second,
		HangAfter:        3,
		HealthInterval:   10 * time.Second,
		Backoff:          backoff.Config{BaseDelay: 500 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 15 * time.Second},
		ConnectTimeout:   5 * time.Second,
		KeepaliveTime:    30 * time.Second,
		KeepaliveTimeout: 10 * time.Second,
	}
}

// WithDefaults returns c with every unset field at its default.
func (c Config) WithDefaults() Config {
	d := Defaults()
	setDefault(&c.MinConnections, d.MinConnections)
	setDefault(&c.MaxConnections, d.MaxConnections)
	setDefault(&c.MaxInFlight, d.MaxInFlight)
	setDefault(&c.GrowAt, min(d.GrowAt, max(c.MaxInFlight, 1)))
	setDefault(&c.IdleTTL, d.IdleTTL)
	setDefault(&c.DrainTimeout, d.DrainTimeout)
	setDefault(&c.HangAfter, d.HangAfter)
	setDefault(&c.HealthInterval, d.HealthInterval)
	setDefault(&c.Backoff, d.Backoff)
	setDefault(&c.ConnectTimeout, d.ConnectTimeout)
	setDefault(&c.KeepaliveTime, d.KeepaliveTime)
	setDefault(&c.KeepaliveTimeout, d.KeepaliveTimeout)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports everything that is wrong with c, unset fields being at
// their defaults.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(len(c.Endpoints) > 0, "endpoints: none given, want at least one host:port")
	for i, e := range c.Endpoints {
		bad(e != "", "endpoints[%d]: empty, want host:port", i)
	}
	bad(c.MinConnections >= -1, "min_connections: %d, want 0 or more, or -1 for none", c.MinConnections)
	bad(c.MaxConnections >= 1 && c.MaxConnections <= MaxConnectionsLimit,
		"max_connections: %d, want 1 to %d", c.MaxConnections, MaxConnectionsLimit)
	bad(c.MinConnections <= c.MaxConnections,
		"min_connections: %d is above max_connections %d", c.MinConnections, c.MaxConnections)
	bad(c.MaxInFlight >= 1, "max_in_flight: %d, want 1 or more", c.MaxInFlight)
	bad(c.GrowAt >= 1 && c.GrowAt <= c.MaxInFlight,
		"grow_at: %d, want 1 to max_in_flight %d", c.GrowAt, c.MaxInFlight)
	bad(c.HangAfter >= 1, "hang_after: %d, want 1 or more", c.HangAfter)
	for name, d := range map[string]time.Duration{
		"idle_ttl": c.IdleTTL, "max_age": c.MaxAge, "drain_timeout": c.DrainTimeout, "wait_timeout": c.WaitTimeout,
		"health_interval": c.HealthInterval, "connect_timeout": c.ConnectTimeout,
		"keepalive_time": c.KeepaliveTime, "keepalive_timeout": c.KeepaliveTimeout,
	} {
		bad(d >= 0, "%s: %s, want a positive duration", name, d)
	}
	bad(c.Backoff.BaseDelay > 0 && c.Backoff.MaxDelay >= c.Backoff.BaseDelay && c.Backoff.Multiplier >= 1 && c.Backoff.Jitter >= 0 && c.Backoff.Jitter <= 1,
		"backoff: base %s, max %s, multiplier %g, jitter %g: want base above 0, max at least base, multiplier at least 1, jitter 0 to 1",
		c.Backoff.BaseDelay, c.Backoff.MaxDelay, c.Backoff.Multiplier, c.Backoff.Jitter)
	if len(errs) > 0 {
		return fmt.Errorf("pool: %w", errors.Join(errs...))
	}
	return nil
}

// warm is how many connections are kept open without load.
func (c *Config) warm() int {
	if c.MinConnections <= 0 {
		return 0
	}
	return min(max(c.MinConnections, len(c.Endpoints)), c.MaxConnections)
}
