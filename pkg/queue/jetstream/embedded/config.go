package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Defaults of Config.
const (
	DefaultMaxPayload   = 8 << 20
	DefaultReadyTimeout = 10 * time.Minute
	// MaxDefaultStore is the most that DefaultMaxStore gives.
	MaxDefaultStore = 10 << 30
)

// stateBytes is the room beside the streams for the buckets of small shared
// state, jetstream.StateBytes and jetstream.ValueBytes.
const stateBytes = 48 << 20

// Config of an embedded server.
type Config struct {
	// Dir holds the streams. It is made if missing. Required.
	Dir string
	// SyncAlways syncs to disk before each confirmation.
	SyncAlways bool
	// MaxStoreBytes bounds all streams together; 48 MiB more are for the buckets
	// of leases and of values. Required; DefaultMaxStore
	// proposes a value. At most 80 % of the volume's free bytes plus the bytes
	// that Dir uses already, when the store is new. One that holds streams starts
	// with a warning, so that it can be drained after other data took the space.
	MaxStoreBytes int64
	// BesideBytes are for streams that are no part of MaxStoreBytes, as the buckets
	// are not. Default 0.
	BesideBytes int64
	// MaxPayload is the largest message. Default 8 MiB, at most 64 MiB.
	MaxPayload int32

	// Listen is host:port for NATS clients over TCP. "": none.
	Listen string
	// Token, or User with Password, is asked of clients over TCP. Connections
	// from inside the process need none.
	Token, User, Password string
	// TLS for Listen.
	TLS *tls.Config
	// MonitorListen is host:port for the monitoring pages (/varz, /jsz). "": none.
	MonitorListen string

	// ServerName in the server's own listings. Default "penstock".
	ServerName string
	// Logger gets the server's warnings and errors, its notices at debug.
	// Default: none.
	Logger *slog.Logger
	// ReadyTimeout bounds Start. After a crash the store is read completely,
	// which takes its size divided by the disk's speed. Default 10 min.
	ReadyTimeout time.Duration
}

func (c Config) withDefaults() Config {
	if c.MaxPayload == 0 {
		c.MaxPayload = DefaultMaxPayload
	}
	if c.ServerName == "" {
		c.ServerName = "penstock"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.ReadyTimeout == 0 {
		c.ReadyTimeout = DefaultReadyTimeout
	}
	return c
}

// Validate reports every setting that Start would refuse without looking at the
// disk. Zero values stand for their defaults.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Dir == "" {
		bad("queue store: dir is required")
	}
	if c.MaxStoreBytes <= 0 {
		bad("queue store: max store bytes must be positive, not %d", c.MaxStoreBytes)
	}
	if c.MaxPayload < 64<<10 || c.MaxPayload > 64<<20 {
		bad("queue store: max payload must be 64 KiB to 64 MiB, not %d bytes", c.MaxPayload)
	}
	for _, l := range []struct{ name, addr string }{{"listen", c.Listen}, {"monitor listen", c.MonitorListen}} {
		if l.addr == "" {
			continue
		}
		if _, err := net.ResolveTCPAddr("tcp", l.addr); err != nil {
			bad("queue store: %s: %w", l.name, err)
		}
	}
	if c.Token != "" && (c.User != "" || c.Password != "") {
		bad("queue store: a token and a user are both given: choose one")
	}
	if (c.User == "") != (c.Password == "") {
		bad("queue store: user and password are needed together")
	}
	if c.Listen == "" && (c.TLS != nil || c.Token != "" || c.User != "") {
		bad("queue store: tls, token or user are given without listen: they are for clients over TCP")
	}
	if c.ReadyTimeout < 0 {
		bad("queue store: ready timeout must not be negative (%s)", c.ReadyTimeout)
	}
	return errors.Join(errs...)
}
