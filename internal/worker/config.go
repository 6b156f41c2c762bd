package worker

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// Config of the worker role.
type Config struct {
	PullMaxBytes  config.ByteSize `yaml:"pull_max_bytes" help:"Stored bytes pulled in advance for each stream and destination. Larger than the largest message of the queue."`
	DrainTimeout  config.Duration `yaml:"drain_timeout" help:"How long a stopping worker lets exports finish. What is left is given back to the queue at once."`
	AckWait       config.Duration `yaml:"ack_wait" help:"After this time without a sign of life a message is given to another worker. Workers extend it while they export."`
	MaxAckPending int             `yaml:"max_ack_pending" help:"Messages of one stream and destination that all workers together may hold or have given back for later."`
}

// DefaultConfig is a worker that says nothing of itself.
func DefaultConfig() Config {
	return Config{
		PullMaxBytes: 16 << 20, DrainTimeout: config.Duration(20 * time.Second),
		AckWait: config.Duration(time.Minute), MaxAckPending: 512,
	}
}

// Validate answers in the user's keys.
func (c Config) Validate() error {
	switch {
	case c.PullMaxBytes < 1<<20 || c.PullMaxBytes > 48<<20:
		return fmt.Errorf("pull_max_bytes is %s: want 1MiB to 48MiB, the client drops what passes 64MiB", c.PullMaxBytes)
	case c.DrainTimeout <= 0:
		return fmt.Errorf("drain_timeout is %s: want more than 0s", c.DrainTimeout)
	case c.AckWait < config.Duration(time.Second):
		return fmt.Errorf("ack_wait is %s: want at least 1s", c.AckWait)
	case c.MaxAckPending < 1:
		return fmt.Errorf("max_ack_pending is %d: want at least 1", c.MaxAckPending)
	}
	return nil
}

// Protocols of a destination.
const (
	ProtocolGRPC  = "grpc"
	ProtocolHTTP  = "http"
	ProtocolDebug = "debug"
	ProtocolFile  = "file"
)

// Destination is one place to which telemetry goes.
type Destination struct {
	Name             string             `yaml:"name" help:"Name of the destination; names its durables, so a new name starts at the oldest data kept."`
	Protocol         string             `yaml:"protocol" help:"How it is spoken to." enum:"grpc,http,debug,file"`
	Endpoints        []string           `yaml:"endpoints" help:"grpc: host:port, several share the load. http: one base URL; /v1/traces and the like are appended. file: one path."`
	TLS              config.TLSClient   `yaml:"tls"`
	Headers          []config.NameValue `yaml:"headers" help:"Headers (gRPC metadata) of each export."`
	Compression      string             `yaml:"compression" help:"On the wire. Stored groups of the same codec are shipped as they are." enum:"none,gzip,zstd,snappy"`
	CompressionLevel int                `yaml:"compression_level" help:"Level of the codec. 0: its default."`
	Timeout          config.Duration    `yaml:"timeout" help:"Of one export."`
	MaxRequestBytes  config.ByteSize    `yaml:"max_request_bytes" help:"Exports larger than this before compression are not sent."`
	MaxInFlight      int                `yaml:"max_in_flight" help:"Exports at a time."`
	MaxInFlightBytes config.ByteSize    `yaml:"max_in_flight_bytes" help:"Bytes of groups being exported, before compression."`
	Signals          []string           `yaml:"signals" help:"traces, metrics, logs. Empty: all."`
	Retry            Retry              `yaml:"retry"`
	Pool             Pool               `yaml:"pool"`
}

// Retry is the back-off of retryable failures, which goes on for ever.
type Retry struct {
	Initial config.Duration `yaml:"initial" help:"First wait."`
	Max     config.Duration `yaml:"max" help:"Longest wait."`
}

// Pool is the connection pool of a grpc destination.
type Pool struct {
	MinConnections int             `yaml:"min_connections" help:"Connections kept open."`
	MaxConnections int             `yaml:"max_connections" help:"Upper bound under load."`
	MaxCalls       int             `yaml:"max_calls" help:"Calls in flight on one connection."`
	IdleTTL        config.Duration `yaml:"idle_ttl" help:"Idle connections above the minimum are closed after this time."`
	HealthCheck    bool            `yaml:"health_check" help:"Ask grpc.health.v1 and leave out connections that are not serving."`
}

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$`)

// Validate answers in the user's keys.
func (d Destination) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !namePattern.MatchString(d.Name) {
		bad("name is %q: want 1 to 63 letters, digits, '-' or '_', it becomes part of consumer names", d.Name)
	}
	switch d.Protocol {
	case ProtocolGRPC, ProtocolHTTP, ProtocolFile:
		if len(d.Endpoints) == 0 {
			bad("endpoints is empty: protocol %s needs one", d.Protocol)
		}
		if d.Protocol != ProtocolGRPC && len(d.Endpoints) > 1 {
			bad("endpoints has %d entries: protocol %s takes one", len(d.Endpoints), d.Protocol)
		}
	case ProtocolDebug:
	default:
		bad("protocol is %q: want grpc, http, debug or file", d.Protocol)
	}
	if !slices.Contains([]string{"", "none", "gzip", "zstd", "snappy"}, d.Compression) {
		bad("compression is %q: want none, gzip, zstd or snappy", d.Compression)
	}
	if d.Compression == "snappy" && d.Protocol == ProtocolHTTP {
		bad("compression is snappy: protocol http takes none, gzip or zstd")
	}
	for _, s := range d.Signals {
		if _, err := otlp.ParseSignal(s); err != nil {
			bad("signals: %w", err)
		}
	}
	if d.Timeout <= 0 || d.MaxInFlight < 1 || d.MaxInFlightBytes < 1<<20 || d.MaxRequestBytes < 1<<10 {
		bad("timeout is %s, max_in_flight %d, max_in_flight_bytes %s, max_request_bytes %s: want more than 0s, at least 1, 1MiB, 1KiB", d.Timeout, d.MaxInFlight, d.MaxInFlightBytes, d.MaxRequestBytes)
	}
	if d.Retry.Initial <= 0 || d.Retry.Max < d.Retry.Initial {
		bad("retry.initial is %s and retry.max %s: want more than 0s, and max not below initial", d.Retry.Initial, d.Retry.Max)
	}
	return errors.Join(errs...)
}

// SetDefaults makes d an element of the list of which nothing is said yet.
func (d *Destination) SetDefaults() {
	*d = Destination{
		Protocol: ProtocolGRPC, Compression: "none", Timeout: config.Duration(10 * time.Second),
		MaxRequestBytes: 64 << 20, MaxInFlight: 16, MaxInFlightBytes: 64 << 20,
		Retry: Retry{Initial: config.Duration(time.Second), Max: config.Duration(30 * time.Second)},
		Pool:  Pool{MinConnections: 1, MaxConnections: 4, MaxCalls: 100, IdleTTL: config.Duration(5 * time.Minute)},
	}
}

// Takes lists the signals of the destination.
func (d Destination) Takes() []otlp.Signal {
	if len(d.Signals) == 0 {
		return otlp.Signals[:]
	}
	var out []otlp.Signal
	for _, name := range d.Signals {
		if s, err := otlp.ParseSignal(name); err == nil { // Validate has refused others
			out = append(out, s)
		}
	}
	return out
}
