package receiver

import (
	"net"
	"net/netip"
	"testing"
)

func TestConnectionsOfOneAddress(t *testing.T) {
	refused := map[string]int{}
	l := &capped{limit: 3, each: 2, refused: func(why string) { refused[why]++ }}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	f := func(from netip.Addr, want string) {
		t.Helper()
		if got := l.enter(from); got != want {
			t.Errorf("%s: %q, want %q", from, got, want)
		}
	}
	f(a, "")
	f(a, "")
	f(a, overEach)
	f(b, "")
	f(b, overAll)
	l.leave(a)
	f(b, "")
	f(a, overAll)
	l.leave(b)
	f(a, "")
	l.leave(a)
	l.leave(a)
	l.leave(b)
	if n := l.open.Load(); n != 0 || len(l.byAddr) != 0 {
		t.Errorf("%d are open and %v counted when all have left", n, l.byAddr)
	}
}

func TestSourceOfAConnection(t *testing.T) {
	f := func(ip, want string) {
		t.Helper()
		if got := source(&net.TCPAddr{IP: net.ParseIP(ip), Zone: ""}); got.String() != want {
			t.Errorf("%s is %s, want %s", ip, got, want)
		}
	}
	f("192.0.2.1", "192.0.2.1")
	f("::ffff:192.0.2.1", "192.0.2.1")
	f("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")
	f("2001:db8:1:2:ffff::1", "2001:db8:1:2::")
	f("::1", "::")
	if source(&net.UnixAddr{Name: "x"}).IsValid() || source(&net.TCPAddr{}).IsValid() {
		t.Error("what is no address counts for one")
	}
}

func TestConnectionsPerIPOverBothTransports(t *testing.T) {
	d := open(t, func(s *setup) { s.limits.MaxConnectionsPerIP = 1 })
	for transport, addr := range map[string]net.Addr{"grpc": d.g.Addr(), "http": d.h.Addr()} {
		first, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		second, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if n, err := second.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: the second connection reads %d bytes", transport, n)
		}
		if n := d.count(t, "refused_connections_total", "transport", transport, "reason", overEach); n != 1 {
			t.Errorf("%s: %v connections are counted as refused", transport, n)
		}
	}
}
