package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// CheckListen says, as a KeyError of the key "listen", what is wrong with an
// address to listen on. It looks up nothing.
func CheckListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" || strings.Contains(host, "/") {
		meant := ""
		if n, err := strconv.ParseUint(addr, 10, 16); err == nil {
			meant = fmt.Sprintf("; did you mean 127.0.0.1:%d (this machine alone) or :%d (every address)?", n, n)
		}
		return KeyError("listen", "is %q: want host:port%s", addr, meant)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return KeyError("listen", "is %q: want a port of 0 to 65535", addr)
	}
	return nil
}

// Loopback says whether only this machine reaches an address to listen on.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
