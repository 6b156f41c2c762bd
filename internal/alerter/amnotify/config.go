package amnotify

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/config"
	amcommoncfg "github.com/prometheus/alertmanager/config/common"
	"github.com/prometheus/alertmanager/config/receiver"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/common/model"
)

// Config is an alertmanager.yml that was accepted. It does not change.
type Config struct {
	routes       *dispatch.Route
	integrations map[string][]notify.Integration // by receiver
	names        []string
	inhibit      []amcommoncfg.InhibitRule
	intervals    map[string][]timeinterval.TimeInterval
	texts        *template.Template
	globs        []string // of templates
	text         string   // of the file, without its secrets
	timeout      time.Duration
}

// Load reads a file and builds its receivers, without sending anything. Links in
// notifications begin with external, the address at which people reach the
// alerter.
func Load(path string, external *url.URL) (*Config, error) {
	file, err := config.LoadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	texts, err := template.FromGlobs(file.Templates)
	if err != nil {
		return nil, fmt.Errorf("%s: templates: %w", path, err)
	}
	texts.ExternalURL = external
	c := &Config{routes: dispatch.NewRoute(file.Route, nil), integrations: map[string][]notify.Integration{},
		inhibit: file.InhibitRules, intervals: intervals(file), texts: texts, globs: file.Templates,
		text: file.String(), timeout: time.Duration(file.Global.ResolveTimeout)}
	for _, r := range file.Receivers {
		built, err := receiver.BuildReceiverIntegrations(r, texts, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, fmt.Errorf("%s: receiver %q: %w", path, r.Name, err)
		}
		c.integrations[r.Name] = built
		c.names = append(c.names, r.Name)
	}
	slices.Sort(c.names)
	return c, nil
}

// Templates are the wildcards of its template files.
func (c *Config) Templates() []string { return slices.Clone(c.globs) }

// Names lists the receivers, sorted.
func (c *Config) Names() []string { return slices.Clone(c.names) }

// Kinds lists what a receiver tells by, as "webhook" or "email", in the order of
// the file. One without any is a receiver that drops, which is allowed.
func (c *Config) Kinds(receiver string) (kinds []string) {
	for _, i := range c.integrations[receiver] {
		kinds = append(kinds, i.Name())
	}
	return kinds
}

// Receivers are those that the routes lead an alert to, by its labels, in the order
// of the tree. There is always one: the root takes what no branch does.
func (c *Config) Receivers(labels map[string]string) (names []string) {
	set := make(model.LabelSet, len(labels))
	for name, value := range labels {
		set[model.LabelName(name)] = model.LabelValue(value)
	}
	for _, r := range c.routes.Match(set) {
		if !slices.Contains(names, r.RouteOpts.Receiver) {
			names = append(names, r.RouteOpts.Receiver)
		}
	}
	return names
}

// Default is the configuration of who has none: everything is logged, grouped by
// the name of the alert, at a pace by its severity.
func Default(external *url.URL, log *slog.Logger) (*Config, error) {
	file, err := config.Load(defaultFile)
	if err != nil {
		return nil, fmt.Errorf("BUG: the default configuration: %w", err)
	}
	texts, err := template.FromGlobs(nil)
	if err != nil {
		return nil, fmt.Errorf("BUG: the default templates: %w", err)
	}
	texts.ExternalURL = external
	return &Config{routes: dispatch.NewRoute(file.Route, nil), names: []string{"log"}, texts: texts,
		text: file.String(), timeout: time.Duration(file.Global.ResolveTimeout),
		integrations: map[string][]notify.Integration{"log": {notify.NewIntegration(logger{log}, always{}, "log", 0, "log")}}}, nil
}

// The worse it is, the sooner it is told, and told again.
const defaultFile = `
route:
  receiver: log
  group_by: [alertname]
  group_wait: 1s
  group_interval: 1m
  repeat_interval: 4h
  routes:
  - {matchers: ['severity="critical"'], group_interval: 15s, repeat_interval: 1h}
  - {matchers: ['severity="info"'], group_wait: 30s, group_interval: 5m, repeat_interval: 24h}
receivers: [{name: log}]
`

// intervals are the time intervals of a file, by name; it may have them under the
// old key too.
func intervals(file *config.Config) map[string][]timeinterval.TimeInterval {
	m := map[string][]timeinterval.TimeInterval{}
	for _, x := range file.MuteTimeIntervals {
		m[x.Name] = x.TimeIntervals
	}
	for _, x := range file.TimeIntervals {
		m[x.Name] = x.TimeIntervals
	}
	return m
}

// Open tells whether a time interval of the file holds at a time. One that the file
// does not have is an error.
func (c *Config) Open(name string, at time.Time) (bool, error) {
	list, ok := c.intervals[name]
	if !ok {
		return false, fmt.Errorf("there is no time interval %q in the configuration: define it under time_intervals", name)
	}
	return slices.ContainsFunc(list, func(x timeinterval.TimeInterval) bool { return x.ContainsTime(at.UTC()) }), nil
}

// quiet names the time interval that keeps a route quiet at a time, "" for none.
// Names in a file that was accepted exist.
func (c *Config) quiet(mute, active []string, at time.Time) string {
	for _, name := range mute {
		if open, err := c.Open(name, at); err == nil && open {
			return name
		}
	}
	for _, name := range active {
		if open, err := c.Open(name, at); err != nil || open {
			return ""
		}
	}
	if len(active) > 0 {
		return active[0]
	}
	return ""
}

// Targets are the integrations of a receiver, as they are named in a ClaimKey.
func (c *Config) Targets(receiver string) (list []string) {
	for _, i := range c.integrations[receiver] {
		list = append(list, target(receiver, i))
	}
	return list
}

// SendResolved tells whether an integration wants to hear of ends.
func (c *Config) SendResolved(name string) bool {
	i, ok := c.integration(name)
	return ok && i.SendResolved()
}

func (c *Config) integration(name string) (notify.Integration, bool) {
	receiver := receiverOf(name)
	for _, i := range c.integrations[receiver] {
		if target(receiver, i) == name {
			return i, true
		}
	}
	return notify.Integration{}, false
}
