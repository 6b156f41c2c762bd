package admin

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/penstock-otel/penstock/internal/config"
)

// Config is the admin section of a role's configuration.
type Config struct {
	Listen string           `yaml:"listen" help:"Address of the port for health, metrics and status; everything on it only reads." example:"0.0.0.0:8080"`
	Pprof  string           `yaml:"pprof" help:"Whether /debug/pprof is served; auto: only while listen is a loopback address, since profiles show what is in memory." enum:"auto,on,off"`
	TLS    config.TLSServer `yaml:"tls" help:"TLS of the admin port."`
}

// DefaultConfig listens on loopback.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8080", Pprof: "auto"} }

// Validate refuses an address that no listener takes.
func (c Config) Validate() error { return checkListen(c.Listen) }

// checkListen says what is wrong with an address to listen on. It looks up
// nothing.
func checkListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" || strings.Contains(host, "/") {
		meant := ""
		if n, err := strconv.ParseUint(addr, 10, 16); err == nil {
			meant = fmt.Sprintf("; did you mean 127.0.0.1:%d (this machine alone) or :%d (every address)?", n, n)
		}
		return config.KeyError("listen", "is %q: want host:port%s", addr, meant)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return config.KeyError("listen", "is %q: want a port of 0 to 65535", addr)
	}
	return nil
}

// loopback says whether only this machine reaches the address.
func (c Config) loopback() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (c Config) pprof() bool { return c.Pprof == "on" || c.Pprof != "off" && c.loopback() }
