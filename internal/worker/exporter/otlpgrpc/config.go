package otlpgrpc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/pool"
)

// maxResponse is the limit that the specification recommends to clients, before
// and after decompression (OTLP 1.11, "Size limits").
const maxResponse = 4 << 20

// Compressions are the values of Config.Compression.
var Compressions = []string{"none", "gzip", "zstd", "snappy"}

// Config is one destination.
type Config struct {
	// Name of the destination, for errors.
	Name string
	// Endpoints are gRPC targets of one service, see pool.Config.
	Endpoints []string
	// TLS gives what the next connection is made with; nil for plaintext.
	TLS func() *tls.Config
	// Headers go with every request; their values never appear in errors.
	Headers []outgoing.Header
	// Credential, if not nil, gives the authorization header of a request, and is
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
	// MaxRequestBytes is the most that is sent, before compression. Default
	// 64 MiB.
	MaxRequestBytes int
	// UserAgent is what stands before grpc's own. Default "penstock".
	UserAgent string
	// Pool has the bounds of the connections. Its Endpoints are not read, its
	// DialOptions are added to those of this package.
	Pool pool.Config
}

// WithDefaults returns c with every unset field at its default.
func (c Config) WithDefaults() Config {
	if c.Compression == "" {
		c.Compression = codec.None
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.MaxRequestBytes == 0 {
		c.MaxRequestBytes = outgoing.DefaultMaxRequestBytes
	}
	if c.UserAgent == "" {
		c.UserAgent = "penstock"
	}
	c.Pool.Endpoints = c.Endpoints
	c.Pool = c.Pool.WithDefaults()
	return c
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	if !slices.Contains(Compressions, c.Compression) {
		errs = append(errs, fmt.Errorf("compression: %q, want one of %v", c.Compression, Compressions))
	} else if _, err := codec.NewEncoder(wireCodec(c.Compression), c.CompressionLevel); err != nil {
		errs = append(errs, fmt.Errorf("compression_level: %w", err))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %s, want a positive duration", c.Timeout))
	}
	if c.MaxRequestBytes < 0 {
		errs = append(errs, fmt.Errorf("max_request_bytes: %d, want 1 or more", c.MaxRequestBytes))
	}
	if _, err := outgoing.NewHeaders(c.Headers); err != nil {
		errs = append(errs, err)
	}
	if c.TenantHeader != "" {
		if _, err := outgoing.NewHeaders([]outgoing.Header{{Name: c.TenantHeader}}); err != nil {
			errs = append(errs, fmt.Errorf("tenant_header: %w", err))
		}
	}
	if err := c.Pool.Validate(); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return fmt.Errorf("destination %q: %w", c.Name, errors.Join(errs...))
	}
	return nil
}

// wireCodec is the codec of a grpc-encoding. For snappy that is the framing
// format, which the Collector sends and reads.
func wireCodec(compression string) string {
	if compression == codec.Snappy {
		return codec.SnappyFramed
	}
	return compression
}
