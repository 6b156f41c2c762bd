package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/settings"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
)

// file writes a configuration.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "penstock.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func load(t *testing.T, text string, sets ...string) *settings.Settings {
	t.Helper()
	s, _, err := settings.Load(settings.Source{File: file(t, text), Sets: sets})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaultsAreValid(t *testing.T) {
	s := settings.Default()
	if err := config.Validate(s); err != nil {
		t.Error(err)
	}
	loaded, _, err := settings.Load(settings.Source{})
	if err != nil || !reflect.DeepEqual(*loaded, s) {
		t.Errorf("nothing at all loads as %+v, %v", loaded, err)
	}
}

const two = `
queue: {shards: 2}
worker: {ack_wait: 9s, max_ack_pending: 33}
destinations:
  - {name: a, endpoints: ["localhost:4317"], tls: {insecure: true}, compression: zstd, signals: [traces, logs]}
  - {name: b, protocol: http, endpoints: ["http://localhost:4318"], compression: zstd}
  - {name: c, protocol: file, endpoints: [x]}
`

func TestPlan(t *testing.T) {
	got := load(t, two).Plan(123)
	want := topology.Plan{Shards: 2, MaxBytes: 123, AckWait: 9 * time.Second, MaxAckPending: 33, Destinations: []topology.Destination{
		{Name: "a", Signals: []otlp.Signal{otlp.Traces, otlp.Logs}}, {Name: "b"}, {Name: "c"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// The codec of the store follows what goes over a wire, and nothing else.
func TestWire(t *testing.T) {
	if got := load(t, two).Wire(); !slices.Equal(got, []string{"zstd", "zstd"}) {
		t.Errorf("got %v", got)
	}
	if got := load(t, "").Wire(); got != nil {
		t.Errorf("of the debug destination: %v", got)
	}
}

func TestNoDestinationMeansDebug(t *testing.T) {
	s := load(t, "")
	d := s.EffectiveDestinations()
	if len(d) != 1 || d[0].Name != "debug" || d[0].Protocol != worker.ProtocolDebug {
		t.Fatalf("got %+v", d)
	}
	if err := config.Validate(d[0]); err != nil {
		t.Error(err)
	}
	if p := s.Plan(1); len(p.Destinations) != 1 || p.Destinations[0].Name != "debug" || p.Shards != 1 || p.AckWait != time.Duration(s.Worker.AckWait) {
		t.Errorf("plan is %+v", p)
	}
	if d := load(t, two).EffectiveDestinations(); len(d) != 3 || d[1].Name != "b" {
		t.Errorf("got %+v", d)
	}
}

func TestDestinationsHaveDefaults(t *testing.T) {
	d := load(t, two).Destinations[0]
	if d.Timeout != config.Duration(10*time.Second) || d.MaxInFlight != 16 || d.Retry.Max != config.Duration(30*time.Second) || d.Protocol != "grpc" {
		t.Errorf("got %+v", d)
	}
}

// Each mistake is told with its file, its line and its key.
func TestMistakes(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		name := file(t, text)
		_, _, err := settings.Load(settings.Source{File: name})
		var problems config.Problems
		if !errors.As(err, &problems) {
			t.Errorf("%s\ngot %v", text, err)
			return
		}
		if got := strings.ReplaceAll(err.Error(), name+":", ""); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
	f("destinations:\n  - {name: a, protocol: debug}\n  - {name: b, protocol: debug}\n  - {name: a, protocol: debug}\n",
		`4:12: destinations[2].name: is "a", which is taken: names must differ`)
	f("destinations:\n  - {name: a}\n", `2:5: destinations[0].endpoints: is empty: protocol grpc needs one`)
	f("queue:\n  durability: replicated\n", `2:15: queue.durability: is replicated: it needs an external cluster in url`)
	f("stop:\n  timeout: 0s\n", `2:12: stop.timeout: is 0s: want more than 0s`)
	f("stop:\n  drain_delay: -1s\n", `2:16: stop.drain_delay: is -1s: want 0s or more`)
	f("replay:\n  rate: 1B\n", `2:9: replay.rate: is 1B a second: want at least 1KiB`)
	f("replay:\n  jobs: 17\n", `2:9: replay.jobs: is 17: want 1 to 16`)
	f("replay:\n  env_prefix: ''\n", `2:15: replay.env_prefix: is empty: a replay could refer to every variable of the worker`)
	f("replay:\n  dir: data\n", `2:8: replay.dir: is "data": want an absolute path`)
	f("worker:\n  drain_timeout: 1m\n", `2:18: worker.drain_timeout: is 1m: want less than stop.timeout, which is 50s and bounds the whole stop`)
}

func TestReplicatedWithURL(t *testing.T) {
	s := load(t, `queue: {durability: replicated, url: "nats://a:4222,nats://b:4222"}`)
	if s.Queue.Embedded() || s.Queue.Durability != "replicated" {
		t.Errorf("got %+v", s.Queue)
	}
}

// Flags over environment over file over defaults; the file may be named by the
// environment.
func TestLayers(t *testing.T) {
	t.Setenv(settings.EnvFile, file(t, "queue: {shards: 2, max_bytes: 1GiB, dir: file}"))
	t.Setenv("PENSTOCK_QUEUE_MAX_BYTES", "2GiB")
	t.Setenv("PENSTOCK_QUEUE_DIR", "environment")
	s, loaded, err := settings.Load(settings.Source{Sets: []string{"queue.dir=set"}, Flags: map[string]string{"log.level": "debug"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Queue.Shards != 2 || s.Queue.MaxBytes != 2*config.GiB || s.Queue.Dir != "set" || s.Log.Level != "debug" {
		t.Errorf("got %+v", s.Queue)
	}
	if got := loaded.Origin("queue.max_bytes"); !strings.Contains(got, "PENSTOCK_QUEUE_MAX_BYTES") {
		t.Errorf("max_bytes comes from %s", got)
	}
	other, _, err := settings.Load(settings.Source{File: file(t, "queue: {shards: 5}")})
	if err != nil || other.Queue.Shards != 5 || other.Queue.Dir != "environment" {
		t.Errorf("with a file named: %+v, %v", other, err)
	}
}

// TestAnExposedAdminPortNeedsAuth is a file that opens the port and says nothing
// of who may come.
func TestAnExposedAdminPortNeedsAuth(t *testing.T) {
	f := func(text string, want string) {
		t.Helper()
		_, _, err := settings.Load(settings.Source{File: file(t, text)})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	f("admin: {listen: '0.0.0.0:8080'}", ":1:17: admin.listen: is \"0.0.0.0:8080\", which other machines reach")
	f("admin: {listen: '0.0.0.0:8080'}\nauth: {anonymous_roles: [view]}", "nothing authenticates")
	f("admin: {listen: '0.0.0.0:8080', allow_unauthenticated: true}", "")
	f("admin: {listen: '0.0.0.0:8080'}\nauth: {keys_file: /etc/penstock/keys}", "")
	f("admin: {listen: '127.0.0.1:8080'}", "")
}

// A name that nobody has: the tenant's data would be settled and go nowhere.
func TestTenantsOfStrangers(t *testing.T) {
	const tenants = "tenants: {defaults: {destinations: [a]}, overrides: [{name: x, destinations: [b, prd]}, {name: y, destinations: ['*']}]}\n"
	for text, want := range map[string]string{
		two + tenants: "tenants.overrides[0].destinations[1] prd",
		tenants:       "", // those of the workers
		two:           "",
	} {
		if got := strings.Join(load(t, text).Strangers(), ", "); got != want {
			t.Errorf("%q of %s, want %q", got, text, want)
		}
	}
}
