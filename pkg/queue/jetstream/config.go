package jetstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Durability is the promise behind a nil error of Publish.
type Durability string

const (
	// Strict: every server syncs to disk before it confirms. Survives a power cut.
	Strict Durability = "strict"
	// Process: confirmed data survives kill -9 of the server, not a power cut.
	Process Durability = "process"
	// Replicated: Strict, on a cluster, with at least 3 replicas of each stream.
	Replicated Durability = "replicated"
)

// Defaults of Config.
const (
	DefaultMaxInFlightBytes = 64 << 20
	DefaultPublishTimeout   = 5 * time.Second
	DefaultPublishHorizon   = 45 * time.Second
	DefaultDedupWindow      = 60 * time.Second
	DefaultAckWait          = 60 * time.Second
	DefaultMaxAckPending    = 512
	DefaultConnectTimeout   = 30 * time.Second
)

// Config says where the queue is and what it must promise.
type Config struct {
	// URL of an external NATS server, or several of one cluster, comma separated.
	// Exclusive with Conn.
	URL string
	// Name of this client in the server's connection list. Default "penstock".
	Name string
	// Conn is an embedded server (package embedded). Exclusive with URL. What it
	// promises is asked of it, if it has the method SyncAlways() bool; if it has
	// Healthy() error, Ready asks that too; if it has StreamDir(stream string)
	// string, EnsureStream asks for what an earlier stream has left.
	Conn nats.InProcessConnProvider
	// Replicas of each stream, 1 to 5. Default 1, for Replicated 3.
	Replicas int
	// Durability that is verified by Open, and of an external server again after
	// each reconnect. Default Strict.
	Durability Durability
	// AllowUnverified opens a queue whose durability cannot be verified, and
	// publishes on when it cannot be verified again.
	AllowUnverified bool
	// MonitorURLs are monitoring addresses (http://host:8222) of every external
	// server, asked for proof of Durability when the account may not ask the
	// servers itself.
	MonitorURLs []string

	// CredsFile, Token, and User with Password authenticate at URL.
	CredsFile, Token, User, Password string
	// TLS for URL, and for https MonitorURLs.
	TLS *tls.Config
	// RootCAs, unless nil, are the authorities of TLS for the next connection, so
	// that they may change; nil from it means the system's.
	RootCAs func() *x509.CertPool

	// MaxInFlightBytes bounds the bodies handed to the server and not yet
	// confirmed. Publish waits when it is reached. Default 64 MiB.
	MaxInFlightBytes int64
	// PublishTimeout is the deadline of one try: a server with a failed disk
	// gives no answer at all. Default 5 s.
	PublishTimeout time.Duration
	// PublishHorizon is how long Publish repeats tries. It must be shorter than
	// the dedup window of every stream. Default 45 s.
	PublishHorizon time.Duration
	// PublishConnections is the number of connections for publishing. One is
	// enough up to about 1 GB/s. Default 1.
	PublishConnections int
	// ConnectTimeout bounds Open when its context has no deadline. Default 30 s.
	ConnectTimeout time.Duration

	// Logger gets changes of connection state. Default: none.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "penstock"
	}
	if c.Durability == "" {
		c.Durability = Strict
	}
	if c.Replicas == 0 {
		c.Replicas = 1
		if c.Durability == Replicated {
			c.Replicas = 3
		}
	}
	if c.MaxInFlightBytes == 0 {
		c.MaxInFlightBytes = DefaultMaxInFlightBytes
	}
	if c.PublishTimeout == 0 {
		c.PublishTimeout = DefaultPublishTimeout
	}
	if c.PublishHorizon == 0 {
		c.PublishHorizon = DefaultPublishHorizon
	}
	if c.PublishConnections == 0 {
		c.PublishConnections = 1
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = DefaultConnectTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every setting that Open would refuse, in the user's words.
// Zero values stand for their defaults.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	external := strings.TrimSpace(c.URL) != ""
	switch {
	case external && c.Conn != nil:
		bad("queue: a url and an embedded server are both given: choose one")
	case !external && c.Conn == nil:
		bad("queue: neither a url nor an embedded server is given")
	}
	if external {
		if _, err := splitURLs(c.URL); err != nil {
			errs = append(errs, err)
		}
	}
	switch c.Durability {
	case Strict, Process:
	case Replicated:
		if !external {
			bad("queue: durability replicated needs an external cluster: give its url, or choose strict")
		}
		if c.Replicas < 3 {
			bad("queue: durability replicated needs replicas of at least 3, not %d", c.Replicas)
		}
	default:
		bad("queue: durability %q is unknown: choose strict, process or replicated", c.Durability)
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		bad("queue: replicas must be 1 to 5, not %d", c.Replicas)
	}
	if c.Conn != nil && c.Replicas > 1 {
		bad("queue: an embedded server cannot hold %d replicas: set replicas 1, or give the url of a cluster", c.Replicas)
	}
	ways := 0
	for _, set := range []bool{c.CredsFile != "", c.Token != "", c.User != "" || c.Password != ""} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		bad("queue: more than one of credentials file, token, and user with password is given: choose one")
	}
	for _, u := range c.MonitorURLs {
		if err := checkMonitorURL(u); err != nil {
			errs = append(errs, err)
		}
	}
	if c.MaxInFlightBytes < 1 {
		bad("queue: max bytes in flight must be positive, not %d", c.MaxInFlightBytes)
	}
	if c.PublishTimeout < 0 || c.PublishHorizon < 0 || c.ConnectTimeout < 0 {
		bad("queue: timeouts must not be negative (publish timeout %s, publish horizon %s, connect timeout %s)",
			c.PublishTimeout, c.PublishHorizon, c.ConnectTimeout)
	}
	if c.PublishConnections < 1 || c.PublishConnections > 64 {
		bad("queue: publish connections must be 1 to 64, not %d", c.PublishConnections)
	}
	return errors.Join(errs...)
}
