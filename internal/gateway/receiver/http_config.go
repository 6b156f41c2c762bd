package receiver

import (
	"fmt"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// HTTPConfig of the OTLP/HTTP listener.
type HTTPConfig struct {
	Listen      string           `yaml:"listen" help:"Address of the OTLP/HTTP listener, HTTP/1.1 and HTTP/2. Empty: none."`
	TLS         config.TLSServer `yaml:"tls"`
	ReadTimeout config.Duration  `yaml:"read_timeout" help:"A request must have arrived whole within this time."`
	IdleTimeout config.Duration  `yaml:"idle_timeout" help:"A connection without a request is closed after this time."`
	CORSOrigins []string         `yaml:"cors_origins" help:"Origins of web pages whose scripts may send telemetry; * stands for any text, alone for every origin. Empty: none." example:"https://*.example.com"`
}

// DefaultHTTP listens on loopback.
func DefaultHTTP() HTTPConfig {
	return HTTPConfig{Listen: "127.0.0.1:4318", ReadTimeout: config.Duration(time.Minute), IdleTimeout: config.Duration(2 * time.Minute)}
}

// Validate answers in the user's keys.
func (c HTTPConfig) Validate() error {
	if err := checkListen(c.Listen); err != nil {
		return err
	}
	if c.ReadTimeout <= 0 || c.IdleTimeout <= 0 {
		return fmt.Errorf("read_timeout is %s and idle_timeout is %s: want more than 0s, slow clients must end", c.ReadTimeout, c.IdleTimeout)
	}
	for _, o := range c.CORSOrigins {
		if o != "*" && !strings.Contains(o, "://") || strings.Count(o, "*") > 1 {
			return fmt.Errorf("cors_origins has %q: want * alone, or scheme://host with at most one *", o)
		}
	}
	return nil
}
