package receiver

import (
	"fmt"
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
	f(func(l *Limits) { l.MaxConnectionsPerIP = -1 }, "max_connections_per_ip is -1", "0 or more")
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
	h(func(c *HTTPConfig) { c.HeaderTimeout = 0 }, "header_timeout is 0s", "more than 0s")
	h(func(c *HTTPConfig) { c.MaxHeaderBytes = 1 << 10 }, "max_header_bytes is 1KiB", "4KiB to 1MiB")
	h(func(c *HTTPConfig) { c.MaxConcurrentStreams = 0 }, "max_concurrent_streams is 0", "1 to 10000")
	h(func(c *HTTPConfig) { c.MaxConnectionAge = -1 }, "max_connection_age is", "0s or more")
	h(func(c *HTTPConfig) { c.PathPrefix = "otlp" }, `path_prefix is "otlp"`, "begins with /")
	for _, p := range []string{"/", "/otlp/", "//otlp", "/a/../b", "/."} {
		h(func(c *HTTPConfig) { c.PathPrefix = p }, "path_prefix", "without empty segments")
	}
	h(func(c *HTTPConfig) { c.PathPrefix = "/a b" }, "path_prefix", "letters, digits")
	g(func(c *GRPCConfig) { c.MaxConnectionIdle = -1 }, "max_connection_idle is", "0s or more")
	g(func(c *GRPCConfig) { c.MaxConnectionAgeGrace = 0 }, "max_connection_age_grace is 0s", "more than 0s")
	k := func(change func(*GRPCKeepalive), parts ...string) {
		t.Helper()
		c := DefaultGRPC().Keepalive
		change(&c)
		says(t, c.Validate(), parts...)
	}
	k(func(c *GRPCKeepalive) { c.Time = 0 }, "time is 0s", "at least 1s")
	k(func(c *GRPCKeepalive) { c.Timeout = 0 }, "timeout is 0s", "at least 1s")
	k(func(c *GRPCKeepalive) { c.MinTime = -1 }, "min_time is", "0s or more")
}

func TestCORSSaysWhatIsWrong(t *testing.T) {
	f := func(change func(*CORSConfig), parts ...string) {
		t.Helper()
		c := defaultCORS()
		change(&c)
		err := config.Validate(c)
		if len(parts) > 0 {
			says(t, err, parts...)
		} else if err != nil {
			t.Error(err)
		}
	}
	origin := func(o string, parts ...string) {
		t.Helper()
		f(func(c *CORSConfig) { c.Origins = []string{"https://fine.example", o} }, parts...)
	}
	for _, o := range []string{"*", "https://*.example.com", "http://localhost:3000", "http://localhost:*", "https://a-b.example:8443",
		"http://[::1]:8080", "http://127.0.0.1:*", "capacitor://localhost", "chrome-extension://abcdefgh", "https://xn--bcher-kva.example"} {
		origin(o)
	}
	for o, part := range map[string]string{
		"example.com": "scheme://host", "": "scheme://host", "null": "scheme://host", "https://": "a host's name",
		"https://*.*.com": "at most one *", "https://shop*.example.com": "at most one *", "https://*": "at most one *", "https://*.com:*": "at most one *",
		"https://example.com/": "no path", "https://example.com/app": "no path", "https://user@example.com": "a host's name", "https://bücher.example": "xn--",
		"https://example.com:443": "leave the port out", "http://example.com:80": "leave the port out", "https://example.com:x": "port of digits",
		"https://a..b": "a host's name", "https://*.": "a host's name", "*://example.com": "scheme://host", "https://*.[::1]": "a host's name",
	} {
		origin(o, "origins[1]", fmt.Sprintf("%q", o), part)
	}
	f(func(c *CORSConfig) { c.Headers = []string{"X-Api-Key", "*"} })
	f(func(c *CORSConfig) { c.Headers = []string{"X Api"} }, "headers[0]", "X Api", "name of a header")
	f(func(c *CORSConfig) { c.ExposedHeaders = []string{"X-A", "*"} }, "exposed_headers[1]", `"*"`)
	f(func(c *CORSConfig) { c.MaxAge = -1 }, "max_age", "0s to 1d")
	f(func(c *CORSConfig) { c.MaxAge = config.Duration(25 * time.Hour) }, "max_age", "0s to 1d")
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
