package receiver

import (
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// GRPCConfig of the OTLP/gRPC listener.
type GRPCConfig struct {
	Listen                string           `yaml:"listen" help:"Address of the OTLP/gRPC listener. Empty: none."`
	TLS                   config.TLSServer `yaml:"tls"`
	ReadTimeout           config.Duration  `yaml:"read_timeout" help:"The message of a call must have arrived whole within this time."`
	MaxConcurrentStreams  int              `yaml:"max_concurrent_streams" help:"Calls at a time on one connection."`
	MaxConnectionIdle     config.Duration  `yaml:"max_connection_idle" help:"A connection without a call is closed after this time. 0s: never."`
	MaxConnectionAge      config.Duration  `yaml:"max_connection_age" help:"A connection is asked to reconnect after this time, so that clients spread over gateways. 0s: never."`
	MaxConnectionAgeGrace config.Duration  `yaml:"max_connection_age_grace" help:"Calls under way have this long to end after that, before the connection is closed."`
	Keepalive             GRPCKeepalive    `yaml:"keepalive"`
}

// GRPCKeepalive are the HTTP/2 pings of gRPC, in both directions.
type GRPCKeepalive struct {
	Time    config.Duration `yaml:"time" help:"A connection that is silent for this time is pinged."`
	Timeout config.Duration `yaml:"timeout" help:"A connection whose ping is not answered within this time is closed."`
	MinTime config.Duration `yaml:"min_time" help:"Clients that ping more often than this are sent away."`
}

// DefaultGRPC listens on loopback.
func DefaultGRPC() GRPCConfig {
	return GRPCConfig{Listen: "127.0.0.1:4317", ReadTimeout: config.Duration(time.Minute), MaxConcurrentStreams: 250,
		MaxConnectionIdle: config.Duration(5 * time.Minute), MaxConnectionAge: config.Duration(10 * time.Minute), MaxConnectionAgeGrace: config.Duration(time.Minute),
		Keepalive: GRPCKeepalive{Time: config.Duration(time.Minute), Timeout: config.Duration(20 * time.Second), MinTime: config.Duration(10 * time.Second)}}
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
	case c.MaxConnectionIdle < 0:
		return fmt.Errorf("max_connection_idle is %s: want 0s or more", c.MaxConnectionIdle)
	case c.MaxConnectionAge < 0:
		return fmt.Errorf("max_connection_age is %s: want 0s or more", c.MaxConnectionAge)
	case c.MaxConnectionAgeGrace <= 0:
		return fmt.Errorf("max_connection_age_grace is %s: want more than 0s, or no call under way survives", c.MaxConnectionAgeGrace)
	}
	return nil
}

// Validate answers in the user's keys.
func (k GRPCKeepalive) Validate() error {
	switch {
	case k.Time < config.Duration(time.Second):
		return fmt.Errorf("time is %s: want at least 1s", k.Time)
	case k.Timeout < config.Duration(time.Second):
		return fmt.Errorf("timeout is %s: want at least 1s", k.Timeout)
	case k.MinTime < 0:
		return fmt.Errorf("min_time is %s: want 0s or more", k.MinTime)
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
