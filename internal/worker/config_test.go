package worker_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := config.Validate(worker.DefaultConfig()); err != nil {
		t.Error(err)
	}
	for _, d := range []worker.Destination{spoken("grpc", "a:1", "b:1"), spoken("http", "http://a"), spoken("debug"), spoken("file", "x")} {
		if err := config.Validate(d); err != nil {
			t.Errorf("%s: %v", d.Protocol, err)
		}
	}
}

func TestConfigIsRefusedInTheUsersWords(t *testing.T) {
	f := func(want string, edit func(*worker.Config)) {
		t.Helper()
		c := worker.DefaultConfig()
		edit(&c)
		if err := config.Validate(c); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	f("pull_max_bytes: is 1KiB: want 1MiB to 48MiB, the client drops what passes 64MiB", func(c *worker.Config) { c.PullMaxBytes = 1 << 10 })
	f("pull_max_bytes: is 64MiB: want 1MiB to 48MiB, the client drops what passes 64MiB", func(c *worker.Config) { c.PullMaxBytes = 64 << 20 })
	f("drain_timeout: is 0s: want more than 0s", func(c *worker.Config) { c.DrainTimeout = 0 })
	f("ack_wait: is 1ms: want at least 1s", func(c *worker.Config) { c.AckWait = 1e6 })
	f("max_ack_pending: is 0: want at least 1", func(c *worker.Config) { c.MaxAckPending = 0 })
}

func TestDestinationIsRefusedInTheUsersWords(t *testing.T) {
	f := func(want string, edit func(*worker.Destination)) {
		t.Helper()
		d := spoken("grpc", "localhost:4317")
		edit(&d)
		if err := config.Validate(d); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	names := "want 1 to 63 letters, digits, '-' or '_', it becomes part of consumer names"
	f(`name: is "": `+names, func(d *worker.Destination) { d.Name = "" })
	f(`name: is "a.b": `+names, func(d *worker.Destination) { d.Name = "a.b" })
	f(`name: is "`+strings.Repeat("x", 64)+`": `+names, func(d *worker.Destination) { d.Name = strings.Repeat("x", 64) })
	f(`protocol: is "soap": want grpc, http, debug or file`, func(d *worker.Destination) { d.Protocol = "soap" })
	f("endpoints: is empty: protocol grpc needs one", func(d *worker.Destination) { d.Endpoints = nil })
	f("endpoints[1]: is empty", func(d *worker.Destination) { d.Endpoints = []string{"a:1", " "} })
	f("endpoints: has 2 entries: protocol file takes one", func(d *worker.Destination) { d.Protocol, d.Endpoints = "file", []string{"a", "b"} })
	f(`compression: is "lzma": want none, gzip, zstd or snappy`, func(d *worker.Destination) { d.Compression = "lzma" })
	f("compression: is snappy: protocol http takes none, gzip or zstd", func(d *worker.Destination) {
		d.Protocol, d.Endpoints, d.Compression = "http", []string{"http://a"}, "snappy"
	})
	f(`signals[0]: is "profiles": want traces, metrics or logs`, func(d *worker.Destination) { d.Signals = []string{"profiles"} })
	f("signals[1]: is logs a second time", func(d *worker.Destination) { d.Signals = []string{"logs", "logs"} })
	f("timeout: is 0s: want more than 0s", func(d *worker.Destination) { d.Timeout = 0 })
	f("max_in_flight: is 0: want at least 1", func(d *worker.Destination) { d.MaxInFlight = 0 })
	f("max_in_flight_bytes: is 1KiB: want at least 1MiB", func(d *worker.Destination) { d.MaxInFlightBytes = 1 << 10 })
	f("max_request_bytes: is 1B: want at least 1KiB", func(d *worker.Destination) { d.MaxRequestBytes = 1 })
	f("retry.initial: is 0s: want more than 0s", func(d *worker.Destination) { d.Retry.Initial = 0 })
	f("retry.max: is 1ns: want at least initial, which is 1s", func(d *worker.Destination) { d.Retry.Max = 1 })
	f("pool.max_connections: is 51: want 1 to 50", func(d *worker.Destination) { d.Pool.MaxConnections = 51 })
	f("pool.min_connections: is 51: want 0 to max_connections, which is 50", func(d *worker.Destination) { d.Pool.MinConnections = 51 })
	f("pool.max_calls: is 0: want at least 1", func(d *worker.Destination) { d.Pool.MaxCalls = 0 })
	f("pool.idle_ttl: is -1ns: want 0s or more", func(d *worker.Destination) { d.Pool.IdleTTL = -1 })
	f("name: is \"\": "+names+"\ntimeout: is 0s: want more than 0s", func(d *worker.Destination) { d.Name, d.Timeout = "", 0 }) // all at once
}

// An endpoint is shown in many places: none may hold a secret, and the refusal
// does not show it either.
func TestEndpointsHoldNoSecrets(t *testing.T) {
	f := func(protocol, endpoint string) {
		t.Helper()
		d := spoken(protocol, endpoint)
		want := "endpoints[0]: has a user or password, a query or a fragment (an @, ? or # in it), and endpoints are shown in logs: put credentials into headers"
		if err := config.Validate(d); err == nil || err.Error() != want {
			t.Errorf("%s %s\ngot  %v\nwant %s", protocol, endpoint, err, want)
		}
	}
	f("http", "http://user:s3cret@host:4318")
	f("http", "https://s3cret@host")
	f("http", "http://host:4318?key=s3cret")
	f("http", "http://host:4318/base/#s3cret")
	f("http", "user:s3cret@host:4318")
	f("http", "http://user:s3/cret@host:4318") // the parser takes it for a path
	f("http", "http://user:%zz@host:4318")     // no URL at all
	f("grpc", "user:s3cret@host:4317")
	f("grpc", "https://user:s3cret@host:4317")
	f("grpc", "host:4317?key=s3cret")
	f("grpc", "dns:///host:4317#s3cret")
}

// What can never work is refused before it is tried, with what to write.
func TestEndpointsThatCannotWork(t *testing.T) {
	f := func(want, protocol string, endpoints ...string) {
		t.Helper()
		err := config.Validate(spoken(protocol, endpoints...))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s %q: %v", protocol, endpoints, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%s %q\ngot  %v\nwant %s", protocol, endpoints, err, want)
		}
	}
	dir := t.TempDir()
	f("", "grpc", "localhost:4317", "[::1]:4317", "dns:///backend:4317", "unix:///run/otlp.sock")
	f(`endpoints[1]: is "backend": want host:port, such as "localhost:4317"`, "grpc", "a:1", "backend")
	f(`endpoints[0]: is "http://a:1": want host:port without http://, so "a:1" and tls: {insecure: true}`, "grpc", "http://a:1")
	f("", "http", "http://localhost:4318")
	f("", "http", "https://example.com/otlp/")
	f(`endpoints[0]: is "a:4318": want a URL with a host, such as "http://localhost:4318" or "https://otlp.example.com"`, "http", "a:4318")
	f(`endpoints[0]: is "http://a/v1/logs": the path of the signal is appended; write the base URL, "http://a"`, "http", "http://a/v1/logs")
	f("", "file", filepath.Join(dir, "new.jsonl"))
	f("", "debug")
	f("endpoints: is given, and protocol debug prints here and sends nowhere: remove it, or set protocol to grpc, http or file", "debug", "http://u:s3cret@a")
}

func TestTLSThatCannotBeUsed(t *testing.T) {
	f := func(want, endpoint string, tls config.TLSClient) {
		t.Helper()
		d := spoken("http", endpoint)
		d.TLS = tls
		err := config.Validate(d)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s with %+v: %v", endpoint, tls, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%s with %+v\ngot  %v\nwant %s", endpoint, tls, err, want)
		}
	}
	f("", "http://a", config.TLSClient{})
	f("", "http://a", config.TLSClient{Insecure: true})
	f("", "https://a", config.TLSClient{SkipVerify: true, ServerName: "b"})
	const want = "tls: has more than insecure, and http://a is plain text: write https://, or remove the settings"
	f(want, "http://a", config.TLSClient{CAFile: "ca.pem"})
	f(want, "http://a", config.TLSClient{SkipVerify: true})
	f(strings.ReplaceAll(want, "http://a", "HTTP://a"), "HTTP://a", config.TLSClient{ServerName: "b"})
}

func TestHeadersThatCannotBeSent(t *testing.T) {
	f := func(want, protocol, name, value string) {
		t.Helper()
		d := spoken("grpc", "a:1")
		if protocol == "http" {
			d = spoken("http", "http://a")
		}
		d.Headers = []config.NameValue{{Name: "x-ok", Value: "1"}, {Name: name, Value: config.Secret(value)}}
		err := config.Validate(d)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s %q: %v", protocol, name, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%s %q\ngot  %v\nwant %s", protocol, name, err, want)
		}
	}
	for _, protocol := range []string{"grpc", "http"} {
		f("", protocol, "X-Api-Key", "s3cret")
		f("headers[1].name: is missing", protocol, "", "s3cret")
		f(`headers[1].name: is "x key": no header name, want letters, digits and '-'`, protocol, "x key", "s3cret")
		f(`headers[1].name: is "Content-Type": this header is set by the protocol, remove it`, protocol, "Content-Type", "s3cret")
		f("headers[1].value: has characters that no header may have, such as the end of a line", protocol, "x-key", "s3cret\n")
	}
	f(`headers[1].name: is "x!key": no header name in gRPC, want letters, digits, '-', '_' or '.'`, "grpc", "x!key", "s3cret")
	f("", "http", "x!key", "s3cret")
	f("headers[1].value: has characters that gRPC does not send: want printable ASCII, or a name that ends in -bin", "grpc", "x-key", "s3crét")
	f("", "grpc", "x-key-bin", "s3crét")
	f("", "http", "x-key", "s3crét")
}

func TestTakes(t *testing.T) {
	f := func(want []otlp.Signal, signals ...string) {
		t.Helper()
		if got := (worker.Destination{Signals: signals}).Takes(); !slices.Equal(got, want) {
			t.Errorf("%v takes %v, want %v", signals, got, want)
		}
	}
	f([]otlp.Signal{otlp.Traces, otlp.Metrics, otlp.Logs})
	f([]otlp.Signal{otlp.Traces, otlp.Logs}, "logs", "traces")
	f([]otlp.Signal{otlp.Logs}, "logs", "logs")
}
