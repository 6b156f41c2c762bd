package receiver

import (
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// GRPCConfig of the OTLP/gRPC listener.
type GRPCConfig struct {
	Listen               string           `yaml:"listen" help:"Address of the OTLP/gRPC listener. Empty: none."`
	TLS                  config.TLSServer `yaml:"tls"`
	ReadTimeout          config.Duration  `yaml:"read_timeout" help:"The message of a call must have arrived whole within this time."`
	MaxConcurrentStreams int              `yaml:"max_concurrent_streams" help:"Calls at a time on one connection."`
	MaxConnectionAge     config.Duration  `yaml:"max_connection_age" help:"A connection is asked to reconnect after this time, so that clients spread over gateways. 0s: never."`
}

// DefaultGRPC listens on loopback.
func DefaultGRPC() GRPCConfig {
	return GRPCConfig{Listen: "127.0.0.1:4317", ReadTimeout: config.Duration(time.Minute),
		MaxConcurrentStreams: 250, MaxConnectionAge: config.Duration(10 * time.Minute)}
}

// Validate answers in the user's keys.
func (c GRPCConfig) Validate() error {
	if err := checkListen(c.Listen); err != nil {
		return err
	}
	switch {
	case c.ReadTimeout <= 0:
		return fmt.Errorf("read_timeout is %s: want more than 0s, slow clients must end", c.ReadTimeout)
	case c.MaxConcurrentStreams < 1 || c.MaxConcurrentStreams > 10000:
		return fmt.Errorf("max_concurrent_streams is %d: want 1 to 10000", c.MaxConcurrentStreams)
	case c.MaxConnectionAge < 0:
		return fmt.Errorf("max_connection_age is %s: want 0s or more", c.MaxConnectionAge)
	}
	return nil
}

// checkListen says what is wrong with an address to listen on; "" is none.
func checkListen(addr string) error {
	if addr == "" {
		return nil
	}
	return config.CheckListen(addr)
}
