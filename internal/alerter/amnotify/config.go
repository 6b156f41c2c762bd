package amnotify

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/receiver"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
)

// Config is an alertmanager.yml that was accepted. It does not change.
type Config struct {
	routes       *dispatch.Route
	integrations map[string][]notify.Integration // by receiver
	names        []string
}

// Load reads a file and builds its receivers, without sending anything.
func Load(path string) (*Config, error) {
	file, err := config.LoadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	texts, err := template.FromGlobs(file.Templates)
	if err != nil {
		return nil, fmt.Errorf("%s: templates: %w", path, err)
	}
	c := &Config{routes: dispatch.NewRoute(file.Route, nil), integrations: map[string][]notify.Integration{}}
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
