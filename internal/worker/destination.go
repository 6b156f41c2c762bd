package worker

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter/credential"
	"github.com/penstock-otel/penstock/internal/worker/exporter/otlpgrpc"
	"github.com/penstock-otel/penstock/internal/worker/exporter/otlphttp"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
	"github.com/penstock-otel/penstock/pkg/pool"
)

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
	Endpoints        []string           `yaml:"endpoints" help:"grpc: host:port, several share the load. http: base URLs, several share the load; /v1/traces and the like are appended. file: one path."`
	TLS              config.TLSClient   `yaml:"tls"`
	Headers          []config.NameValue `yaml:"headers" help:"Headers (gRPC metadata) of each export."`
	Auth             credential.Config  `yaml:"auth"`
	TenantHeader     string             `yaml:"tenant_header" help:"Header (gRPC metadata) that carries the tenant of each export. Empty: none." example:"X-Scope-OrgID"`
	Compression      string             `yaml:"compression" help:"On the wire. Stored groups of the same codec are shipped as they are." enum:"none,gzip,zstd,snappy"`
	CompressionLevel int                `yaml:"compression_level" help:"Level of the codec. 0: its default."`
	Timeout          config.Duration    `yaml:"timeout" help:"Of one export."`
	MaxRequestBytes  config.ByteSize    `yaml:"max_request_bytes" help:"Largest export before compression. A larger group is split."`
	MergeMessages    int                `yaml:"merge_messages" help:"Small messages that wait already and go out as one export, at most. 1: none."`
	MaxInFlight      int                `yaml:"max_in_flight" help:"Exports at a time."`
	MaxInFlightBytes config.ByteSize    `yaml:"max_in_flight_bytes" help:"Bytes of groups being exported, before compression."`
	Signals          []string           `yaml:"signals" help:"traces, metrics, logs. Empty: all."`
	Tenants          []string           `yaml:"tenants" help:"Tenants whose data is sent; a name may begin or end with '*', and (none) is what has no tenant. Empty: all, and what has none."`
	Where            []string           `yaml:"where" help:"Conditions on the attributes of a resource, all of which must hold: key, key=value, key=a|b or key=~regexp. What they leave out is not sent to this destination. Empty: all."`
	OnRefusal        string             `yaml:"on_refusal" help:"When the destination refuses whatever is sent (wrong credentials, no such service): hold keeps the data in the queue until it is put right, dead_letter moves it to the dead letters, strict does so too with what Penstock retries beyond the letter of OTLP (HTTP 408 and 425, RESOURCE_EXHAUSTED of a small request)." enum:"hold,dead_letter,strict"`
	Retry            Retry              `yaml:"retry"`
	Breaker          Breaker            `yaml:"breaker"`
	Pool             Pool               `yaml:"pool"`
}

// Policies of OnRefusal.
const (
	Hold       = "hold"
	DeadLetter = "dead_letter"
	Strict     = "strict"
)

// Retry is the back-off of retryable failures.
type Retry struct {
	Initial    config.Duration `yaml:"initial" help:"First wait."`
	Max        config.Duration `yaml:"max" help:"Longest wait; up to ten times this for a message that keeps failing while the destination takes others."`
	MaxElapsed config.Duration `yaml:"max_elapsed" help:"A message that still fails so long after its first failure that this worker knows of moves to the dead letters. 0s: it is tried for ever."`
}

// Breaker stops exports to a destination that takes nothing, but for one at a
// time that probes it.
type Breaker struct {
	Failures int             `yaml:"failures" help:"Failures in a row that open the breaker. 0: there is none."`
	Initial  config.Duration `yaml:"initial" help:"First wait until an export probes the destination; it doubles with each probe that fails."`
	Max      config.Duration `yaml:"max" help:"Longest wait between probes."`
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
	var errs problems
	errs.add(!namePattern.MatchString(d.Name), "name", "is %q: want 1 to 63 letters, digits, '-' or '_', it becomes part of consumer names", d.Name)
	switch d.Protocol {
	case ProtocolGRPC, ProtocolHTTP, ProtocolFile:
		errs.add(len(d.Endpoints) == 0, "endpoints", "is empty: protocol %s needs one", d.Protocol)
		errs.add(len(d.Endpoints) > 1 && d.Protocol == ProtocolFile, "endpoints", "has %d entries: protocol %s takes one", len(d.Endpoints), d.Protocol)
	case ProtocolDebug:
		errs.add(len(d.Endpoints) > 0, "endpoints", "is given, and protocol debug prints here and sends nowhere: remove it, or set protocol to grpc, http or file")
	default:
		errs.add(true, "protocol", "is %q: want grpc, http, debug or file", d.Protocol)
	}
	for i, e := range d.Endpoints {
		err := d.checkEndpoint(e)
		errs.add(err != nil, fmt.Sprintf("endpoints[%d]", i), "%w", err)
		errs.add(err == nil && d.tlsWithoutUse(e), "tls", "has more than insecure, and %s is plain text: write https://, or remove the settings", e)
	}
	for i, h := range d.Headers {
		name, value := d.checkHeader(h)
		errs.add(name != nil, fmt.Sprintf("headers[%d].name", i), "%w", name)
		errs.add(value != nil, fmt.Sprintf("headers[%d].value", i), "%w", value)
	}
	d.checkCredentials(&errs)
	errs.add(!slices.Contains([]string{"", "none", "gzip", "zstd", "snappy"}, d.Compression), "compression", "is %q: want none, gzip, zstd or snappy", d.Compression)
	errs.add(d.Compression == "snappy" && d.Protocol == ProtocolHTTP, "compression", "is snappy: protocol http takes none, gzip or zstd")
	for i, s := range d.Signals {
		_, err := otlp.ParseSignal(s)
		errs.add(err != nil, fmt.Sprintf("signals[%d]", i), "is %q: want traces, metrics or logs", s)
		errs.add(slices.Contains(d.Signals[:i], s), fmt.Sprintf("signals[%d]", i), "is %s a second time", s)
	}
	errs = append(errs, d.validateRoute()...)
	errs.add(d.Timeout <= 0, "timeout", "is %s: want more than 0s", d.Timeout)
	errs.add(d.MaxInFlight < 1, "max_in_flight", "is %d: want at least 1", d.MaxInFlight)
	errs.add(d.MaxInFlightBytes < config.MiB, "max_in_flight_bytes", "is %s: want at least 1MiB", d.MaxInFlightBytes)
	errs.add(d.MaxRequestBytes < config.KiB, "max_request_bytes", "is %s: want at least 1KiB", d.MaxRequestBytes)
	errs.add(d.MergeMessages < 1 || d.MergeMessages > maxMerge, "merge_messages", "is %d: want 1 to %d", d.MergeMessages, maxMerge)
	errs.add(d.OnRefusal != Hold && d.OnRefusal != DeadLetter && d.OnRefusal != Strict, "on_refusal", "is %q: want hold, dead_letter or strict", d.OnRefusal)
	return errors.Join(errs...)
}

// checkEndpoint says what is wrong with one endpoint, as it reads on from its
// key.
func (d Destination) checkEndpoint(e string) error {
	if strings.TrimSpace(e) == "" {
		return errors.New("is empty")
	}
	switch d.Protocol {
	case ProtocolGRPC:
		return otlpgrpc.CheckEndpoint(e)
	case ProtocolHTTP:
		return otlphttp.CheckEndpoint(e)
	}
	return nil // the directory of a file is on the worker's machine: Build looks
}

// tlsWithoutUse: the URL e is plain text, and the settings of TLS say how to
// encrypt.
func (d Destination) tlsWithoutUse(e string) bool {
	scheme, _, _ := strings.Cut(e, ":")
	t := d.TLS
	t.Insecure = false
	return d.Protocol == ProtocolHTTP && strings.EqualFold(scheme, "http") && t != (config.TLSClient{})
}

// checkCredentials adds what is wrong with auth and tenant_header beside the rest.
func (d Destination) checkCredentials(errs *problems) {
	remote := d.Protocol == ProtocolGRPC || d.Protocol == ProtocolHTTP
	errs.add(d.Auth.Set() && !remote, "auth", "is given, and protocol %s logs in nowhere: remove it", d.Protocol)
	for i, h := range d.Headers {
		errs.add(d.Auth.Set() && strings.EqualFold(h.Name, "authorization"), fmt.Sprintf("headers[%d].name", i), "is %s, which auth sets: remove one or the other", h.Name)
	}
	for _, e := range d.Endpoints {
		errs.add(d.Auth.Set() && d.plain(e), "auth", "would send its token to %s in plain text: write https://, or tls: {insecure: true} if that is meant", e)
	}
	if d.TenantHeader == "" {
		return
	}
	errs.add(!remote, "tenant_header", "is given, and protocol %s has no headers: remove it", d.Protocol)
	name, _ := d.checkHeader(config.NameValue{Name: d.TenantHeader})
	errs.add(name != nil, "tenant_header", "%w", name)
	errs.add(strings.EqualFold(d.TenantHeader, "authorization"), "tenant_header", "is %s: a tenant is no credential", d.TenantHeader)
}

// plain: the URL e is plain text to another machine, which tls does not say to be
// meant. Over grpc there is no plain text but by tls.
func (d Destination) plain(e string) bool {
	u, err := url.Parse(e)
	return err == nil && d.Protocol == ProtocolHTTP && strings.EqualFold(u.Scheme, "http") && !d.TLS.Insecure &&
		!config.Loopback(net.JoinHostPort(u.Hostname(), "0"))
}

// checkHeader says what is wrong with the name and the value of a header. That
// a name is missing NameValue says itself.
func (d Destination) checkHeader(h config.NameValue) (name, value error) {
	if h.Name == "" {
		return nil, nil
	}
	if d.Protocol == ProtocolGRPC {
		return otlpgrpc.CheckName(h.Name), otlpgrpc.CheckValue(h.Name, h.Value.Reveal())
	}
	return outgoing.CheckName(h.Name), outgoing.CheckValue(h.Value.Reveal())
}

// Validate answers in the user's keys.
func (r Retry) Validate() error {
	var errs problems
	errs.add(r.Initial <= 0, "initial", "is %s: want more than 0s", r.Initial)
	errs.add(r.Max < r.Initial, "max", "is %s: want at least initial, which is %s", r.Max, r.Initial)
	errs.add(r.MaxElapsed < 0, "max_elapsed", "is %s: want 0s for ever, or more", r.MaxElapsed)
	return errors.Join(errs...)
}

// Validate answers in the user's keys.
func (b Breaker) Validate() error {
	var errs problems
	errs.add(b.Failures < 0, "failures", "is %d: want 0 for no breaker, or more", b.Failures)
	errs.add(b.Initial <= 0, "initial", "is %s: want more than 0s", b.Initial)
	errs.add(b.Max < b.Initial || b.Max > config.Duration(maxHold), "max", "is %s: want initial, which is %s, to %s", b.Max, b.Initial, maxHold)
	return errors.Join(errs...)
}

// Validate answers in the user's keys.
func (p Pool) Validate() error {
	var errs problems
	errs.add(p.MaxConnections < 1 || p.MaxConnections > pool.MaxConnectionsLimit, "max_connections", "is %d: want 1 to %d", p.MaxConnections, pool.MaxConnectionsLimit)
	errs.add(p.MinConnections < 0 || p.MinConnections > p.MaxConnections, "min_connections", "is %d: want 0 to max_connections, which is %d", p.MinConnections, p.MaxConnections)
	errs.add(p.MaxCalls < 1, "max_calls", "is %d: want at least 1", p.MaxCalls)
	errs.add(p.IdleTTL < 0, "idle_ttl", "is %s: want 0s or more", p.IdleTTL)
	return errors.Join(errs...)
}

// SetDefaults makes d an element of the list of which nothing is said yet.
func (d *Destination) SetDefaults() {
	*d = Destination{
		Protocol: ProtocolGRPC, Auth: credential.DefaultConfig(), Compression: "none", Timeout: config.Duration(10 * time.Second),
		MaxRequestBytes: 3584 * config.KiB, MergeMessages: 64, MaxInFlight: 16, MaxInFlightBytes: 64 << 20, OnRefusal: Hold,
		Retry:   Retry{Initial: config.Duration(time.Second), Max: config.Duration(30 * time.Second)},
		Breaker: Breaker{Failures: 5, Initial: config.Duration(time.Second), Max: config.Duration(4 * time.Second)},
		Pool:    Pool{MinConnections: 1, MaxConnections: pool.MaxConnectionsLimit, MaxCalls: 100, IdleTTL: config.Duration(5 * time.Minute)},
	}
}

// Takes lists the signals of the destination, each once.
func (d Destination) Takes() []otlp.Signal {
	out := make([]otlp.Signal, 0, otlp.NumSignals)
	for _, s := range otlp.Signals {
		if len(d.Signals) == 0 || slices.Contains(d.Signals, s.String()) {
			out = append(out, s)
		}
	}
	return out
}
