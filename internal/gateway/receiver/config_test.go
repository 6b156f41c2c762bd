package receiver

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

func TestDefaultsAreValid(t *testing.T) {
	for _, c := range []interface{ Validate() error }{DefaultLimits(), DefaultGRPC(), DefaultHTTP()} {
		if err := c.Validate(); err != nil {
			t.Errorf("%T: %v", c, err)
		}
	}
}

// says asserts that a wrong value is refused with its key, its value and what is
// wanted.
func says(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
}

func TestLimitsSayWhatIsWrong(t *testing.T) {
	f := func(change func(*Limits), parts ...string) {
		t.Helper()
		l := DefaultLimits()
		change(&l)
		says(t, l.Validate(), parts...)
	}
	f(func(l *Limits) { l.MaxRequestBytes = 1023 }, "max_request_bytes is 1023B", "1KiB to 1GiB")
	f(func(l *Limits) { l.MaxRequestBytes = 2 * config.GiB }, "max_request_bytes is 2GiB", "1KiB to 1GiB")
	f(func(l *Limits) { l.MaxInFlightBytes = 100 * config.MiB }, "max_in_flight_bytes is 100MiB", "twice max_request_bytes, which is 64MiB")
	f(func(l *Limits) { l.CommitTimeout = config.Duration(time.Millisecond) }, "commit_timeout is 1ms", "100ms")
	f(func(l *Limits) { l.MaxConnections = 0 }, "max_connections is 0", "at least 1")
}

func TestListenersSayWhatIsWrong(t *testing.T) {
	g := func(change func(*GRPCConfig), parts ...string) {
		t.Helper()
		c := DefaultGRPC()
		change(&c)
		says(t, c.Validate(), parts...)
	}
	g(func(c *GRPCConfig) { c.ReadTimeout = 0 }, "read_timeout is 0s", "more than 0s")
	g(func(c *GRPCConfig) { c.MaxConcurrentStreams = 0 }, "max_concurrent_streams is 0", "1 to 10000")
	g(func(c *GRPCConfig) { c.MaxConcurrentStreams = 10001 }, "max_concurrent_streams is 10001", "1 to 10000")
	g(func(c *GRPCConfig) { c.MaxConnectionAge = -1 }, "max_connection_age is", "0s or more")
	h := func(change func(*HTTPConfig), parts ...string) {
		t.Helper()
		c := DefaultHTTP()
		change(&c)
		says(t, c.Validate(), parts...)
	}
	h(func(c *HTTPConfig) { c.ReadTimeout = 0 }, "read_timeout is 0s", "more than 0s")
	h(func(c *HTTPConfig) { c.IdleTimeout = -1 }, "idle_timeout is", "more than 0s")
	h(func(c *HTTPConfig) { c.CORSOrigins = []string{"https://*.example.com", "example.com"} }, `cors_origins has "example.com"`, "scheme://host")
	h(func(c *HTTPConfig) { c.CORSOrigins = []string{"https://*.*.com"} }, `"https://*.*.com"`, "at most one *")
	c := DefaultHTTP()
	c.CORSOrigins = []string{"*", "https://*.example.com", "http://localhost:3000"}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestListenIsHostAndPort(t *testing.T) {
	f := func(listen, want string) {
		t.Helper()
		g, h := DefaultGRPC(), DefaultHTTP()
		g.Listen, h.Listen = listen, listen
		for _, c := range []any{g, h} {
			err := config.Validate(c)
			switch {
			case want == "" && err != nil:
				t.Errorf("%T: %q: %v", c, listen, err)
			case want != "" && (err == nil || err.Error() != want):
				t.Errorf("%T: %q\ngot  %v\nwant %s", c, listen, err, want)
			}
		}
	}
	for _, ok := range []string{"", ":4317", "127.0.0.1:0", "[::]:4317", "localhost:https"} {
		f(ok, "")
	}
	f("4317", `listen: is "4317": want host:port; did you mean 127.0.0.1:4317 (this machine alone) or :4317 (every address)?`)
	f("localhost", `listen: is "localhost": want host:port`)
	f("localhost:", `listen: is "localhost:": want host:port`)
	f("::1", `listen: is "::1": want host:port`)
	f("http://localhost:4317", `listen: is "http://localhost:4317": want host:port`)
	f("localhost:65536", `listen: is "localhost:65536": want a port of 0 to 65535`)
	f("localhost:otlp!", `listen: is "localhost:otlp!": want a port of 0 to 65535`)
}
