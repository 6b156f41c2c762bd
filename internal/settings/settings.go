// Package settings is the configuration of all roles in one file: nothing but
// the sum of the sections that the packages own.
package settings

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/broker"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/gateway"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/internal/janitor"
	"github.com/penstock-otel/penstock/internal/tenant"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
)

// EnvPrefix begins the environment variables.
const EnvPrefix = "PENSTOCK"

// EnvFile names the configuration file when no flag does.
const EnvFile = "PENSTOCK_CONFIG"

// EnvToken is the credential of commands that ask an admin port or send; no
// setting, and allowed where settings are read.
const EnvToken = "PENSTOCK_TOKEN"

// Settings of every role.
type Settings struct {
	Queue        broker.Config        `yaml:"queue"`
	Gateway      gateway.Config       `yaml:"gateway"`
	Tenants      tenant.Config        `yaml:"tenants"`
	Worker       worker.Config        `yaml:"worker"`
	Destinations []worker.Destination `yaml:"destinations" help:"Where telemetry goes; each drains at its own pace. Empty: one debug destination that prints a summary."`
	Retention    janitor.Config       `yaml:"retention"`
	Replay       Replay               `yaml:"replay"`
	Alerter      alerting.Config      `yaml:"alerter"`
	Auth         identity.Config      `yaml:"auth"`
	Admin        admin.Config         `yaml:"admin"`
	Audit        audit.Config         `yaml:"audit"`
	Log          app.LogConfig        `yaml:"log"`
	Stop         Stop                 `yaml:"stop"`
}

// Stop bounds the end of a process.
type Stop struct {
	DrainDelay config.Duration `yaml:"drain_delay" help:"Wait between being not ready and the first step of a stop, for balancers to notice."`
	Timeout    config.Duration `yaml:"timeout" help:"Bound of all steps of a stop together."`
}

// Default is the configuration without file, environment and flags.
func Default() Settings {
	return Settings{
		Queue: broker.DefaultConfig(), Gateway: gateway.DefaultConfig(), Tenants: tenant.DefaultConfig(), Worker: worker.DefaultConfig(),
		Retention: janitor.DefaultConfig(), Replay: DefaultReplay(), Alerter: alerting.DefaultConfig(), Auth: identity.DefaultConfig(), Admin: admin.DefaultConfig(), Audit: audit.DefaultConfig(), Log: app.DefaultLogConfig(),
		Stop: Stop{Timeout: config.Duration(50 * time.Second)},
	}
}

// Validate checks what no section can check alone.
func (s Settings) Validate() error {
	var errs []error
	seen := map[string]bool{}
	for i, d := range s.Destinations {
		if seen[d.Name] {
			errs = append(errs, config.KeyError(fmt.Sprintf("destinations[%d].name", i), "is %q, which is taken: names must differ", d.Name))
		}
		seen[d.Name] = true
	}
	if s.Worker.DrainTimeout >= s.Stop.Timeout && s.Stop.Timeout > 0 {
		errs = append(errs, config.KeyError("worker.drain_timeout", "is %s: want less than stop.timeout, which is %s and bounds the whole stop", s.Worker.DrainTimeout, s.Stop.Timeout))
	}
	if err := s.Admin.CheckExposed(s.Auth.Authenticates()); err != nil {
		errs = append(errs, config.KeyError("admin.listen", "%w", err))
	}
	return errors.Join(errs...)
}

// Validate answers in the user's keys.
func (s Stop) Validate() error {
	var errs []error
	if s.Timeout <= 0 {
		errs = append(errs, config.KeyError("timeout", "is %s: want more than 0s", s.Timeout))
	}
	if s.DrainDelay < 0 {
		errs = append(errs, config.KeyError("drain_delay", "is %s: want 0s or more", s.DrainDelay))
	}
	return errors.Join(errs...)
}

// Source says where settings come from; see config.Options.
type Source struct {
	File  string
	Sets  []string
	Flags map[string]string
}

// Load reads the settings: flags over environment over file over defaults.
func Load(src Source) (*Settings, *config.Loaded, error) {
	s := Default()
	file := src.File
	if file == "" {
		file = os.Getenv(EnvFile)
	}
	loaded, err := config.Load(&s, config.Options{File: file, EnvPrefix: EnvPrefix, AllowEnv: []string{EnvFile, EnvToken}, Sets: src.Sets, Flags: src.Flags})
	if err != nil {
		return nil, nil, err
	}
	return &s, loaded, nil
}

// EffectiveDestinations are the configured ones, or the debug destination.
func (s *Settings) EffectiveDestinations() []worker.Destination {
	if len(s.Destinations) > 0 {
		return s.Destinations
	}
	var d worker.Destination
	d.SetDefaults()
	d.Name, d.Protocol = "debug", worker.ProtocolDebug
	return []worker.Destination{d}
}

// Strangers are the keys of the tenants' destinations that name none of the
// configured ones, with the names: what is bound to them alone goes nowhere, unless
// another worker has them. Without destinations here nobody is a stranger.
func (s *Settings) Strangers() (found []string) {
	if len(s.Destinations) == 0 {
		return nil
	}
	look := func(key string, names []string) {
		for i, name := range names {
			if name != tenant.AnyDestination && !slices.ContainsFunc(s.Destinations, func(d worker.Destination) bool { return d.Name == name }) {
				found = append(found, fmt.Sprintf("%s[%d] %s", key, i, name))
			}
		}
	}
	look("tenants.defaults.destinations", s.Tenants.Defaults.Destinations)
	for i, o := range s.Tenants.Overrides {
		look(fmt.Sprintf("tenants.overrides[%d].destinations", i), o.Destinations)
	}
	return found
}

// Plan is the topology of these settings within a budget of bytes.
func (s *Settings) Plan(maxBytes int64) topology.Plan {
	p := topology.Plan{Shards: s.Queue.Shards, MaxBytes: maxBytes, AckWait: time.Duration(s.Worker.AckWait), MaxAckPending: s.Worker.MaxAckPending}
	for _, d := range s.EffectiveDestinations() {
		t := topology.Destination{Name: d.Name}
		if len(d.Signals) > 0 {
			t.Signals = d.Takes()
		}
		p.Destinations = append(p.Destinations, t)
	}
	return p
}

// Wire lists the compression that each destination has on the wire.
func (s *Settings) Wire() []string {
	var wire []string
	for _, d := range s.EffectiveDestinations() {
		if d.Protocol == worker.ProtocolGRPC || d.Protocol == worker.ProtocolHTTP {
			wire = append(wire, d.Compression)
		}
	}
	return wire
}
