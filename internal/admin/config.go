package admin

import "github.com/penstock-otel/penstock/internal/config"

// Config is the admin section of a role's configuration.
type Config struct {
	Listen string `yaml:"listen" help:"Address of the port for health, metrics, status and the admin API." example:"0.0.0.0:8080"`
	Pprof  string `yaml:"pprof" help:"Whether /debug/pprof is served; auto: only while listen is a loopback address, since profiles show what is in memory." enum:"auto,on,off"`
	// Operate is one of the Operate constants; "" is OperateLoopback.
	Operate string           `yaml:"operate" help:"From where requests may come that change something or show payload (dead letters, replay, tap, dropping a destination). loopback: this machine alone; any: from wherever the port is reached, for ports that something else guards; off: from nowhere." enum:"loopback,any,off"`
	TLS     config.TLSServer `yaml:"tls" help:"TLS of the admin port."`
}

// DefaultConfig listens on loopback.
func DefaultConfig() Config {
	return Config{Listen: "127.0.0.1:8080", Pprof: "auto", Operate: OperateLoopback}
}

// Validate refuses an address that no listener takes.
func (c Config) Validate() error { return config.CheckListen(c.Listen) }

func (c Config) pprof() bool { return c.Pprof == "on" || c.Pprof != "off" && config.Loopback(c.Listen) }
