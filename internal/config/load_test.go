package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sample has one key of every type.
type sample struct {
	Name         string        `yaml:"name" help:"Name of the process." example:"edge-1"`
	Queue        sampleQueue   `yaml:"queue" help:"Where data waits."`
	Gateway      sampleGateway `yaml:"gateway" help:"Intake."`
	Destinations []destination `yaml:"destinations" help:"Where data goes."`
	Extra        *sampleExtra  `yaml:"extra" help:"Not there unless set."`
	sampleInline `yaml:",inline"`
	Runtime      func() `yaml:"-"`
}

type sampleInline struct {
	Level slog.Level `yaml:"level" help:"Log level."`
}

type sampleQueue struct {
	URL        string   `yaml:"url" help:"Server; empty is embedded." secret:"url"`
	MaxBytes   ByteSize `yaml:"max_bytes" help:"Bound of a stream."`
	Durability string   `yaml:"durability" help:"When data counts as safe." enum:"strict,process"`
	Token      Secret   `yaml:"token" help:"Token for the server."`
	Password   string   `yaml:"password" help:"Password." secret:"true"`
}

func (q sampleQueue) Validate() error {
	if q.MaxBytes < KiB {
		return KeyError("max_bytes", "must be at least 1KiB, not %s", q.MaxBytes)
	}
	return nil
}

type sampleGateway struct {
	HTTP struct {
		Listen string `yaml:"listen" help:"Address."`
	} `yaml:"http" help:"OTLP/HTTP."`
	MaxDelay Duration      `yaml:"max_delay" help:"Longest wait."`
	Patience time.Duration `yaml:"patience" help:"Client's patience."`
	Items    int           `yaml:"items" help:"Items."`
	Streams  uint32        `yaml:"streams" help:"Streams a connection."`
	Share    float64       `yaml:"share" help:"Share | of memory."`
	CORS     []string      `yaml:"cors" help:"Origins."`
	Enabled  bool          `yaml:"enabled" help:"On or off."`
	Strict   *bool         `yaml:"strict" help:"Three states."`
}

type destination struct {
	Name      string      `yaml:"name" help:"Name."`
	Protocol  string      `yaml:"protocol" help:"Protocol." enum:"grpc,http"`
	Endpoints []string    `yaml:"endpoints" help:"Addresses."`
	Headers   []NameValue `yaml:"headers" help:"Headers to add."`
	TLS       TLSClient   `yaml:"tls" help:"TLS."`
	Timeout   Duration    `yaml:"timeout" help:"Bound of a call."`
}

func (d *destination) SetDefaults() { d.Protocol, d.Timeout = "grpc", Duration(10*time.Second) }

func (d *destination) Validate() error {
	var errs []error
	if d.Name == "" {
		errs = append(errs, KeyError("name", "is missing"))
	}
	if len(d.Endpoints) == 0 {
		errs = append(errs, fmt.Errorf("has no endpoints"))
	}
	for i, e := range d.Endpoints {
		if !strings.Contains(e, ":") {
			errs = append(errs, KeyError(fmt.Sprintf("endpoints[%d]", i), "want host:port, not %q", e))
		}
	}
	return errors.Join(errs...)
}

type sampleExtra struct {
	Size ByteSize `yaml:"size" help:"Size."`
}

func defaults() sample {
	c := sample{Queue: sampleQueue{MaxBytes: 10 * GiB, Durability: "strict"}}
	c.Gateway.HTTP.Listen, c.Gateway.CORS, c.Gateway.Share = "127.0.0.1:4318", []string{"*"}, 0.5
	return c
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const wholeYAML = `# all of it
name: edge
queue:
  url: nats://u:pw@host:4222
  max_bytes: 3.5MiB
  durability: process
  token: ${env:TOKEN}
gateway:
  http: {listen: "0.0.0.0:4318"}
  max_delay: 5ms
  patience: 1d
  items: 1_000
  streams: 100
  share: 0.25
  cors: [https://a.example, https://b.example]
  enabled: true
  strict: false
level: warn
extra: {size: 2KiB}
destinations:
  - &first
    name: a
    endpoints: ["a:4317"]
    headers:
      - {name: X-Scope-OrgID, value: "${env:TOKEN}"}
    tls: {insecure: true}
  - <<: *first
    name: b
    timeout: 3s
`

const wholeTOML = `# all of it
name = "edge"
level = "warn"
[queue]
url = "nats://u:pw@host:4222"
max_bytes = "3.5MiB"
durability = "process"
token = "${env:TOKEN}"
[gateway]
max_delay = "5ms"
patience = "1d"
items = 1_000
streams = 100
share = 0.25
cors = ["https://a.example", "https://b.example"]
enabled = true
strict = false
http.listen = "0.0.0.0:4318"
[extra]
size = "2KiB"
[[destinations]]
name = "a"
endpoints = ["a:4317"]
headers = [{name = "X-Scope-OrgID", value = "${env:TOKEN}"}]
[destinations.tls]
insecure = true
[[destinations]]
name = "b"
endpoints = ["a:4317"]
timeout = "3s"
tls = {insecure = true}
headers = [{name = "X-Scope-OrgID", value = "${env:TOKEN}"}]
`

func whole() sample {
	no := false
	c := sample{Name: "edge", Queue: sampleQueue{URL: "nats://u:pw@host:4222", MaxBytes: 3670016, Durability: "process", Token: "s3cret"}}
	c.Gateway = sampleGateway{MaxDelay: Duration(5 * time.Millisecond), Patience: 24 * time.Hour, Items: 1000, Streams: 100, Share: 0.25,
		CORS: []string{"https://a.example", "https://b.example"}, Enabled: true, Strict: &no}
	c.Gateway.HTTP.Listen = "0.0.0.0:4318"
	c.Level = slog.LevelWarn
	c.Extra = &sampleExtra{Size: 2 * KiB}
	a := destination{Name: "a", Protocol: "grpc", Endpoints: []string{"a:4317"}, Headers: []NameValue{{"X-Scope-OrgID", "s3cret"}}, TLS: TLSClient{Insecure: true}, Timeout: Duration(10 * time.Second)}
	b := a
	b.Name, b.Timeout = "b", Duration(3*time.Second)
	c.Destinations = []destination{a, b}
	return c
}

func TestFilesOfBothKindsGiveTheSameValues(t *testing.T) {
	for name, text := range map[string]string{"c.yaml": wholeYAML, "c.toml": wholeTOML} {
		c := defaults()
		if _, err := Load(&c, Options{File: write(t, name, text), EnvPrefix: "PENSTOCK", Environ: []string{"TOKEN=s3cret"}}); err != nil {
			t.Fatalf("%s:\n%v", name, err)
		}
		if want := whole(); !reflect.DeepEqual(c, want) {
			t.Errorf("%s gives\n%+v, want\n%+v", name, c, want)
		}
	}
}

func TestLaterLayersWin(t *testing.T) {
	file := write(t, "c.yaml", "name: file\nqueue: {max_bytes: 1MiB, token: file}\ngateway: {cors: [file], items: 1}\n")
	o := Options{
		File: file, EnvPrefix: "PENSTOCK",
		Environ: []string{"PENSTOCK_NAME=old", "PENSTOCK_NAME=env", "PENSTOCK_GATEWAY_ITEMS=2", "PENSTOCK_GATEWAY_CORS=env,two", "PENSTOCK_QUEUE_TOKEN="},
		Sets:    []string{"gateway.items=3", "gateway.items=4", "gateway.streams=7"},
		Flags:   map[string]string{"gateway.streams": "8"},
	}
	c := defaults()
	l, err := Load(&c, o)
	if err != nil {
		t.Fatal(err)
	}
	f := func(key string, got, want any, origin string) {
		t.Helper()
		if !reflect.DeepEqual(got, want) || l.Origin(key) != origin {
			t.Errorf("%s = %v from %s; want %v from %s", key, got, l.Origin(key), want, origin)
		}
	}
	f("gateway.http.listen", c.Gateway.HTTP.Listen, "127.0.0.1:4318", "default")
	f("queue.max_bytes", c.Queue.MaxBytes, MiB, file+":2")
	f("queue.token", c.Queue.Token.Reveal(), "file", file+":2") // an empty variable is not set
	f("name", c.Name, "env", "environment variable PENSTOCK_NAME")
	f("gateway.cors", c.Gateway.CORS, []string{"env", "two"}, "environment variable PENSTOCK_GATEWAY_CORS")
	f("gateway.items", c.Gateway.Items, 4, "flag --set")
	f("gateway.streams", c.Gateway.Streams, uint32(8), "flag")
}

func TestListsFromVariables(t *testing.T) {
	f := func(key, text string, want any) {
		t.Helper()
		c := defaults()
		if _, err := Load(&c, Options{EnvPrefix: "PENSTOCK", Environ: []string{key + "=" + text}}); err != nil {
			t.Errorf("%s=%s: %v", key, text, err)
			return
		}
		got := any(c.Gateway.CORS)
		if key == "PENSTOCK_DESTINATIONS" {
			got = c.Destinations
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s=%s gives %+v, want %+v", key, text, got, want)
		}
	}
	one := []destination{{Name: "a", Protocol: "http", Endpoints: []string{"a:1"}, Timeout: Duration(10 * time.Second)}}
	f("PENSTOCK_DESTINATIONS", `[{"name":"a","protocol":"http","endpoints":["a:1"]}]`, one)
	f("PENSTOCK_DESTINATIONS", "[{name: a, protocol: http, endpoints: ['a:1']}]", one)
	f("PENSTOCK_DESTINATIONS", "- name: a\n  protocol: http\n  endpoints: ['a:1']\n", one)
	f("PENSTOCK_GATEWAY_CORS", "[a, b]", []string{"a", "b"})
	f("PENSTOCK_GATEWAY_CORS", "[::1]:4318, b", []string{"[::1]:4318", "b"})
	f("PENSTOCK_GATEWAY_CORS", "[]", []string{})
	f("PENSTOCK_GATEWAY_CORS", " ", []string{})
	f("PENSTOCK_GATEWAY_CORS", "# no\n# one", []string{})

	var headers struct {
		Headers []NameValue `yaml:"headers"`
	}
	if _, err := Load(&headers, Options{Sets: []string{"headers=X-Scope=a=b, Y=c"}}); err != nil || !reflect.DeepEqual(headers.Headers, []NameValue{{"X-Scope", "a=b"}, {"Y", "c"}}) {
		t.Errorf("headers are %v, %v", headers.Headers, err)
	}
}

// What Kubernetes writes into the environment for a Service of our name is no
// mistake of the user, and what the program reads itself is allowed by name.
func TestVariablesThatAreNotKeysAndAllowed(t *testing.T) {
	environ := []string{"PENSTOCK_CONFIG=/etc/x.yaml", "OTHER=1", "PENSTOCKX=1", "broken"}
	for _, suffix := range []string{"SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_OTLP_GRPC", "PORT", "PORT_4317_TCP", "PORT_4317_TCP_PROTO", "PORT_4317_TCP_PORT", "PORT_4317_TCP_ADDR"} {
		environ = append(environ, "PENSTOCK_GATEWAY_"+suffix+"=tcp://10.0.0.1:4317")
	}
	c := defaults()
	if _, err := Load(&c, Options{EnvPrefix: "PENSTOCK", Environ: environ, AllowEnv: []string{"PENSTOCK_CONFIG"}}); err != nil {
		t.Error(err)
	}
}

func TestOwnEnvironmentIsTheDefault(t *testing.T) {
	t.Setenv("PENSTOCK_TEST_TOKEN_X", "from the process")
	var c struct {
		A string `yaml:"a"`
	}
	if _, err := Load(&c, Options{Sets: []string{"a=${env:PENSTOCK_TEST_TOKEN_X}"}}); err != nil || c.A != "from the process" {
		t.Errorf("a is %q, %v", c.A, err)
	}
}

func TestAFailedLoadChangesNothing(t *testing.T) {
	size := ByteSize(5)
	c := defaults()
	c.Extra = &sampleExtra{Size: size}
	before := defaults()
	before.Extra = &sampleExtra{Size: size}
	_, err := Load(&c, Options{File: write(t, "c.yaml", "name: changed\nextra: {size: 7KiB}\ngateway: {cors: [x], items: many}\n")})
	if err == nil || !reflect.DeepEqual(c, before) {
		t.Errorf("error %v, and the struct is %+v", err, c)
	}
	shared := c.Extra
	if _, err := Load(&c, Options{Sets: []string{"extra.size=7KiB"}}); err != nil || c.Extra.Size != 7*KiB || shared.Size != 5 {
		t.Errorf("error %v, value %s, shared default %s", err, c.Extra.Size, shared.Size)
	}
}

func TestEmptyFilesAndNullsKeepTheDefaults(t *testing.T) {
	for name, text := range map[string]string{"a.yaml": "", "b.yml": "# nothing\n", "c.yaml": "---\n", "d.toml": "", "e.json": "{}", "f.yaml": "queue:\nname:\ngateway: {cors: }\n"} {
		c := defaults()
		if _, err := Load(&c, Options{File: write(t, name, text)}); err != nil || !reflect.DeepEqual(c, defaults()) {
			t.Errorf("%s: %v, %+v", name, err, c)
		}
	}
}
