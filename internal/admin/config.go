package admin

import (
	"fmt"

	"github.com/penstock-otel/penstock/internal/config"
)

// Config is the admin section of a role's configuration.
type Config struct {
	Listen string `yaml:"listen" help:"Address of the port for health, metrics, status and the admin API." example:"0.0.0.0:8080"`
	Pprof  string `yaml:"pprof" help:"Whether /debug/pprof is served; auto: only while listen is a loopback address, since profiles show what is in memory." enum:"auto,on,off"`
	// Operate is one of the Operate constants; "" is OperateLoopback.
	Operate              string           `yaml:"operate" help:"From where requests may come that change something or show payload (dead letters, replay, tap, dropping a destination) and do not prove who makes them. loopback: this machine alone; any: from wherever the port is reached, for ports that something else guards. Who proves it needs the role operate, from anywhere. off: nobody." enum:"loopback,any,off"`
	OpenMetrics          bool             `yaml:"open_metrics" help:"Leave /metrics open to whoever reaches the port, where auth wants credentials for the rest."`
	AllowUnauthenticated bool             `yaml:"allow_unauthenticated" help:"Start although listen is no loopback address and nothing authenticates: whoever reaches the port then sees status, metrics and configuration. For ports that something else guards."`
	TLS                  config.TLSServer `yaml:"tls" help:"TLS of the admin port."`
}

// DefaultConfig listens on loopback.
func DefaultConfig() Config {
	return Config{Listen: "127.0.0.1:8080", Pprof: "auto", Operate: OperateLoopback}
}

// Validate refuses an address that no listener takes.
func (c Config) Validate() error { return config.CheckListen(c.Listen) }

// CheckExposed refuses a port that others reach and at which nothing tells who
// they are; the error reads on from the key admin.listen. authenticates is whether
// something in auth does.
func (c Config) CheckExposed(authenticates bool) error {
	if c.Listen == "" || config.Loopback(c.Listen) || authenticates || c.TLS.RequiresCertificate() || c.AllowUnauthenticated {
		return nil
	}
	return fmt.Errorf("is %q, which other machines reach, and nothing authenticates: whoever reaches the port would see everything. Configure auth (keys_file, issuers or certificates) or admin.tls.client_ca_file, listen on 127.0.0.1, or, if something else guards the port, say admin.allow_unauthenticated: true", c.Listen)
}

func (c Config) pprof() bool { return c.Pprof == "on" || c.Pprof != "off" && config.Loopback(c.Listen) }
