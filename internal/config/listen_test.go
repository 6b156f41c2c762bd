package config

import "testing"

func TestAddressesToListenOn(t *testing.T) {
	f := func(addr, want string, local bool) {
		t.Helper()
		got := ""
		if err := CheckListen(addr); err != nil {
			got = err.Error()
		}
		if got != want || Loopback(addr) != local {
			t.Errorf("%q: %q, loopback %t; want %q, %t", addr, got, Loopback(addr), want, local)
		}
	}
	f("127.0.0.1:4317", "", true)
	f("localhost:0", "", true)
	f("[::1]:4317", "", true)
	f(":4317", "", false)
	f("0.0.0.0:4317", "", false)
	f("host:http", "", false)
	f("4317", `listen: is "4317": want host:port; did you mean 127.0.0.1:4317 (this machine alone) or :4317 (every address)?`, false)
	f("http://a:1", `listen: is "http://a:1": want host:port`, false)
	f("a:", `listen: is "a:": want host:port`, false)
	f("a:70000", `listen: is "a:70000": want a port of 0 to 65535`, false)
}
