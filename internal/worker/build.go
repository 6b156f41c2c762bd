package worker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/credential"
	"github.com/penstock-otel/penstock/internal/worker/exporter/debug"
	"github.com/penstock-otel/penstock/internal/worker/exporter/file"
	"github.com/penstock-otel/penstock/internal/worker/exporter/otlpgrpc"
	"github.com/penstock-otel/penstock/internal/worker/exporter/otlphttp"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
	"github.com/penstock-otel/penstock/pkg/pool"
)

// userAgent names Penstock to destinations.
func userAgent() string { return "penstock/" + app.Version().Version }

// BuildOptions are what exporters work with beside their configuration. The zero
// value is silent.
type BuildOptions struct {
	Out      io.Writer           // where debug destinations print
	Logger   *slog.Logger        // nil: silent
	TLSFiles *config.TLSFiles    // told of the certificate files in use; may be nil
	Tokens   *credential.Metrics // nil: none
}

// Build makes the exporter of each destination. On an error nothing is left open.
func Build(destinations []Destination, o BuildOptions) (map[string]exporter.Exporter, error) {
	built := make(map[string]exporter.Exporter, len(destinations))
	for _, d := range destinations {
		x, err := build(d, o)
		if err != nil {
			errs := []error{fmt.Errorf("destination %s: %w", d.Name, err)}
			for _, open := range built {
				errs = append(errs, open.Close())
			}
			return nil, errors.Join(errs...)
		}
		built[d.Name] = x
	}
	return built, nil
}

func build(d Destination, o BuildOptions) (exporter.Exporter, error) {
	switch d.Protocol {
	case ProtocolGRPC, ProtocolHTTP:
		return buildRemote(d, o)
	case ProtocolDebug:
		return debug.New(debug.Config{Name: d.Name, Writer: o.Out})
	case ProtocolFile:
		if err := file.CheckPath(d.Endpoints[0]); err != nil {
			return nil, fmt.Errorf("endpoints[0]: %w", err)
		}
		return file.New(file.Config{Name: d.Name, Path: d.Endpoints[0]})
	}
	return nil, fmt.Errorf("protocol is %q: want grpc, http, debug or file", d.Protocol)
}

func buildRemote(d Destination, o BuildOptions) (x exporter.Exporter, err error) {
	source, err := d.TLS.Open(config.TLSUse{Name: "destinations." + d.Name + ".tls", Logger: o.Logger, Files: o.TLSFiles})
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	var tls func() *tls.Config // nil: plain text
	if source != nil {
		tls = source.Config
	}
	login, err := credential.New(d.Auth, credential.Options{Destination: d.Name, Logger: o.Logger, Metrics: o.Tokens, TLSFiles: o.TLSFiles})
	if err != nil {
		return nil, fmt.Errorf("auth.%w", err)
	}
	defer func() {
		if err != nil && login != nil {
			login.Close()
		}
	}()
	if d.Protocol == ProtocolGRPC {
		return otlpgrpc.New(otlpgrpc.Config{
			Name: d.Name, Endpoints: d.Endpoints, TLS: tls, Headers: headers(d.Headers), Credential: login, TenantHeader: d.TenantHeader,
			Compression: d.Compression, CompressionLevel: d.CompressionLevel, Timeout: time.Duration(d.Timeout),
			MaxRequestBytes: int(d.MaxRequestBytes), UserAgent: userAgent(),
			Pool: connections(d.Pool),
		})
	}
	return otlphttp.New(otlphttp.Config{
		Name: d.Name, Endpoints: d.Endpoints, TLS: tls, Headers: headers(d.Headers), Credential: login, TenantHeader: d.TenantHeader,
		Compression: d.Compression, CompressionLevel: d.CompressionLevel, Timeout: time.Duration(d.Timeout),
		MaxConnections: d.MaxInFlight, MaxRequestBytes: int(d.MaxRequestBytes), UserAgent: userAgent(),
	})
}

// connections are the bounds of a pool, which takes 0 for its default.
func connections(p Pool) pool.Config {
	c := pool.Config{MinConnections: p.MinConnections, MaxConnections: p.MaxConnections,
		MaxInFlight: p.MaxCalls, IdleTTL: time.Duration(p.IdleTTL), HealthCheck: p.HealthCheck}
	if c.MinConnections == 0 {
		c.MinConnections = -1
	}
	return c
}

func headers(list []config.NameValue) []outgoing.Header {
	out := make([]outgoing.Header, len(list))
	for i, h := range list {
		out[i] = outgoing.Header{Name: h.Name, Value: h.Value.Reveal()}
	}
	return out
}
