package otlphttp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Compressions are the values of Config.Compression.
var Compressions = []string{codec.None, codec.Gzip, codec.Zstd, codec.Brotli}

// maxConnectionsLimit is the upper bound of Config.MaxConnections.
const maxConnectionsLimit = 1000

// Config is one destination.
type Config struct {
	// Name of the destination, for errors.
	Name string
	// Endpoints are base URLs of one and the same service, which share the
	// load: /v1/traces, /v1/metrics or /v1/logs is added. One that cannot be
	// reached is left out for a while.
	Endpoints []string
	// TLS gives what the next connections to https URLs are made with: the same
	// pointer until that changed. Nil means the system's certificates.
	TLS func() *tls.Config
	// Headers go with every request; their values never appear in errors.
	Headers []outgoing.Header
	// Credential, if not nil, gives the Authorization header of a request, and is
	// closed with the exporter.
	Credential outgoing.Credential
	// TenantHeader names the header that carries the tenant of a request; ""
	// sends none. See outgoing.TenantValue.
	TenantHeader string
	// Compression on the wire, one of Compressions; "" is none.
	Compression string
	// CompressionLevel as of codec.NewEncoder; 0 is the codec's default.
	CompressionLevel int
	// Timeout bounds one Export, with the wait for a connection. Default 10 s.
	Timeout time.Duration
	// MaxConnections is how many requests go at once to one endpoint over HTTP/1.1; HTTP/2
	// carries many over one connection. Default 16.
	MaxConnections int
	// MaxRequestBytes is the most that is sent, before compression. Default
	// 64 MiB.
	MaxRequestBytes int
	// UserAgent of every request. Default "penstock".
	UserAgent string
}

// WithDefaults returns c with every unset field at its default.
func (c Config) WithDefaults() Config {
	if c.Compression == "" {
		c.Compression = codec.None
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 16
	}
	if c.MaxRequestBytes == 0 {
		c.MaxRequestBytes = outgoing.DefaultMaxRequestBytes
	}
	if c.UserAgent == "" {
		c.UserAgent = "penstock"
	}
	return c
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(len(c.Endpoints) > 0, "endpoints: none given, want http://host:port or https://host:port")
	for i, e := range c.Endpoints {
		err := checkURL(e)
		bad(err == nil, "endpoints[%d]: %w", i, err)
	}
	if bad(slices.Contains(Compressions, c.Compression), "compression: %q, want one of %v", c.Compression, Compressions); len(errs) == 0 {
		_, err := codec.NewEncoder(c.Compression, c.CompressionLevel)
		bad(err == nil, "compression_level: %w", err)
	}
	bad(c.Timeout > 0, "timeout: %s, want a positive duration", c.Timeout)
	bad(c.MaxConnections >= 1 && c.MaxConnections <= maxConnectionsLimit, "max_connections: %d, want 1 to %d", c.MaxConnections, maxConnectionsLimit)
	bad(c.MaxRequestBytes > 0, "max_request_bytes: %d, want 1 or more", c.MaxRequestBytes)
	if _, err := outgoing.NewHeaders(c.Headers); err != nil {
		errs = append(errs, err)
	}
	if c.TenantHeader != "" {
		_, err := outgoing.NewHeaders([]outgoing.Header{{Name: c.TenantHeader}})
		bad(err == nil, "tenant_header: %w", err)
	}
	if len(errs) > 0 {
		return fmt.Errorf("destination %q: %w", c.Name, errors.Join(errs...))
	}
	return nil
}

// checkURL shows in its errors nothing but the form: a URL may hold a key.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("not of the form http://host:port or https://host:port")
	case u.User != nil:
		return errors.New("has a user or password in it: use a header")
	case u.Fragment != "":
		return errors.New("has a fragment (#) in it")
	}
	return nil
}
