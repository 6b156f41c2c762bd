package alerter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// maxPolicyBytes bounds a file of policies.
const maxPolicyBytes = 1 << 20

// policyFile is a file of policies. The first whose matchers an alert has is its own.
type policyFile struct {
	Policies []struct {
		Name        string            `yaml:"name"`
		Match       []string          `yaml:"match"`
		GroupBy     []string          `yaml:"group_by"`
		Levels      []policyLevel     `yaml:"levels"`
		Repeat      int               `yaml:"repeat"`
		CycleFor    time.Duration     `yaml:"cycle_for"`
		AckTimeout  time.Duration     `yaml:"ack_timeout"`
		Reopen      *time.Duration    `yaml:"reopen"`
		OnExhausted []string          `yaml:"on_exhausted"`
		LowUrgency  []alerts.Severity `yaml:"low_urgency"`
	} `yaml:"policies"`
}

type policyLevel struct {
	After   time.Duration `yaml:"after"`
	Targets []string      `yaml:"targets"`
	While   alerts.While  `yaml:"while"`
	Active  []string      `yaml:"active"`
}

// defaultReopen is how long an incident that has closed takes in what fires again.
const defaultReopen = 5 * time.Minute

// Policies choose who is told when nobody answers.
type Policies struct{ list []chosen }

type chosen struct {
	policy  alerts.Policy
	matches func(alerts.Labels) bool
}

// LoadPolicies reads a file; its targets and intervals have to be those of c. Of ""
// every policy is without levels.
func LoadPolicies(path string, c *amnotify.Config) (*Policies, error) {
	if path == "" {
		return &Policies{}, nil
	}
	text, err := config.ReadBounded(path, maxPolicyBytes)
	if err != nil {
		return nil, err
	}
	p, err := parsePolicies(text, c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func parsePolicies(text []byte, c *amnotify.Config) (*Policies, error) {
	var file policyFile
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	known := map[string]bool{}
	for _, name := range c.Names() {
		known[name] = true
	}
	out, names := &Policies{}, map[string]bool{}
	for _, f := range file.Policies {
		p := alerts.Policy{Name: f.Name, GroupBy: f.GroupBy, Repeat: f.Repeat, CycleFor: f.CycleFor, AckTimeout: f.AckTimeout,
			Reopen: defaultReopen, OnExhausted: f.OnExhausted, LowUrgency: f.LowUrgency}
		if f.Reopen != nil {
			p.Reopen = *f.Reopen
		}
		if len(p.GroupBy) == 0 {
			p.GroupBy = []string{"alertname"}
		}
		targets := f.OnExhausted
		for _, l := range f.Levels {
			level := alerts.Level{After: l.After, Targets: l.Targets, While: l.While, Active: l.Active}
			if level.While == "" {
				level.While = alerts.Unacked
			}
			p.Levels, targets = append(p.Levels, level), append(targets, l.Targets...)
			for _, name := range l.Active {
				if _, err := c.Open(name, time.Time{}); err != nil {
					return nil, fmt.Errorf("policy %s: %w", p.Name, err)
				}
			}
		}
		if err := p.Validate(); err != nil {
			return nil, err
		}
		if names[p.Name] {
			return nil, fmt.Errorf("policy %s: is there twice: names must differ", p.Name)
		}
		names[p.Name] = true
		for _, t := range targets {
			if !known[t] {
				return nil, fmt.Errorf("policy %s: target %q is no receiver of alertmanager.yml, which has %q", p.Name, t, c.Names())
			}
		}
		matches := func(alerts.Labels) bool { return true }
		if len(f.Match) > 0 {
			var err error
			if matches, err = amnotify.Matcher(f.Match); err != nil {
				return nil, fmt.Errorf("policy %s: match: %w", p.Name, err)
			}
		}
		out.list = append(out.list, chosen{p, matches})
	}
	return out, nil
}

// Of is the policy of an alert; it is an alerts.PolicyOf.
func (p *Policies) Of(_ string, l alerts.Labels) alerts.Policy {
	for i := range p.list {
		if p.list[i].matches(l) {
			return p.list[i].policy
		}
	}
	return alerts.Policy{Reopen: defaultReopen}
}
