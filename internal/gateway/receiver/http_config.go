package receiver

import (
	"fmt"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// HTTPConfig of the OTLP/HTTP listener.
type HTTPConfig struct {
	Listen               string           `yaml:"listen" help:"Address of the OTLP/HTTP listener, HTTP/1.1 and HTTP/2, and gRPC-Web. Empty: none."`
	TLS                  config.TLSServer `yaml:"tls"`
	PathPrefix           string           `yaml:"path_prefix" help:"Requests are taken below this path too, as /otlp/v1/traces, for proxies that pass it on. Paths without it are taken as well." example:"/otlp"`
	HeaderTimeout        config.Duration  `yaml:"header_timeout" help:"The header of a request, and a TLS handshake, must be complete within this time."`
	ReadTimeout          config.Duration  `yaml:"read_timeout" help:"A request must have arrived whole within this time."`
	IdleTimeout          config.Duration  `yaml:"idle_timeout" help:"A connection without a request is closed after this time."`
	KeepAlive            bool             `yaml:"keep_alive" help:"Whether a connection may carry more than one request."`
	MaxHeaderBytes       config.ByteSize  `yaml:"max_header_bytes" help:"Largest header of a request."`
	MaxConcurrentStreams int              `yaml:"max_concurrent_streams" help:"Requests at a time on one HTTP/2 connection."`
	MaxConnectionAge     config.Duration  `yaml:"max_connection_age" help:"A connection is closed with the first answer after this time, give or take a tenth, so that clients spread over gateways. 0s: never."`
	CORS                 CORSConfig       `yaml:"cors"`
}

// DefaultHTTP listens on loopback.
func DefaultHTTP() HTTPConfig {
	return HTTPConfig{Listen: "127.0.0.1:4318", HeaderTimeout: config.Duration(handshakeTimeout), ReadTimeout: config.Duration(time.Minute),
		IdleTimeout: config.Duration(2 * time.Minute), KeepAlive: true, MaxHeaderBytes: maxHeaderBytes, MaxConcurrentStreams: 250,
		MaxConnectionAge: config.Duration(10 * time.Minute), CORS: defaultCORS()}
}

// Validate answers in the user's keys.
func (c HTTPConfig) Validate() error {
	if err := checkListen(c.Listen); err != nil {
		return err
	}
	switch {
	case c.HeaderTimeout <= 0:
		return fmt.Errorf("header_timeout is %s: want more than 0s, slow clients must end", c.HeaderTimeout)
	case c.ReadTimeout <= 0 || c.IdleTimeout <= 0:
		return fmt.Errorf("read_timeout is %s and idle_timeout is %s: want more than 0s, slow clients must end", c.ReadTimeout, c.IdleTimeout)
	case c.MaxHeaderBytes < 4<<10 || c.MaxHeaderBytes > 1<<20:
		return fmt.Errorf("max_header_bytes is %s: want 4KiB to 1MiB", c.MaxHeaderBytes)
	case c.MaxConcurrentStreams < 1 || c.MaxConcurrentStreams > 10000:
		return fmt.Errorf("max_concurrent_streams is %d: want 1 to 10000", c.MaxConcurrentStreams)
	case c.MaxConnectionAge < 0:
		return fmt.Errorf("max_connection_age is %s: want 0s or more", c.MaxConnectionAge)
	}
	return checkPrefix(c.PathPrefix)
}

// checkPrefix says what is wrong with a path to serve below; "" is none.
func checkPrefix(p string) error {
	if p == "" {
		return nil
	}
	if p[0] != '/' {
		return fmt.Errorf("path_prefix is %q: want a path that begins with /", p)
	}
	for _, segment := range strings.Split(p[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("path_prefix is %q: want /name or /name/name, without empty segments, . or .., and no / at its end", p)
		}
		if i := strings.IndexFunc(segment, notInPath); i >= 0 {
			return fmt.Errorf("path_prefix is %q: has %q; want letters, digits and - . _ ~ in its segments", p, segment[i:i+1])
		}
	}
	return nil
}

// notInPath is true for what is not unreserved in a path (RFC 3986, 2.3).
func notInPath(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~", r))
}
