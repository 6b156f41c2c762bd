package amnotify

import (
	"fmt"
	"time"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Text is the file as it was understood, its defaults filled in, in YAML. Whatever
// upstream takes for a secret, addresses of hooks among them, is not in it.
func (c *Config) Text() string { return c.text }

// ResolveTimeout is global.resolve_timeout: how long an alert fires that was posted
// without an end.
func (c *Config) ResolveTimeout() time.Duration { return c.timeout }

// Group is where a route puts an alert.
type Group struct {
	Receiver string
	// Labels are those that its alerts have in common by group_by.
	Labels alerts.Labels
	// Key is unique among routes and groups, as upstream's is.
	Key string
}

// Groups are those that the routes put an alert into, in the order of the tree. There
// is always one.
func (c *Config) Groups(l alerts.Labels) (list []Group) {
	set := labelSet(l)
	for _, r := range c.routes.Match(set) {
		common := model.LabelSet{}
		for name, value := range set {
			if _, ok := r.RouteOpts.GroupBy[name]; ok || r.RouteOpts.GroupByAll {
				common[name] = value
			}
		}
		list = append(list, Group{Receiver: r.RouteOpts.Receiver, Labels: labels(common), Key: fmt.Sprintf("%s:%s", r.Key(), common)})
	}
	return list
}

// Term is one matcher in its parts.
type Term struct {
	Name, Value string
	Regex       bool
	Equal       bool // else it matches what does not
}

// Terms are the parts of matchers in the syntax of Alertmanager.
func Terms(texts []string) ([]Term, error) {
	list, err := matchers(texts)
	if err != nil {
		return nil, err
	}
	terms := make([]Term, len(list))
	for i, m := range list {
		terms[i] = Term{Name: m.Name, Value: m.Value, Regex: m.Type == amlabels.MatchRegexp || m.Type == amlabels.MatchNotRegexp,
			Equal: m.Type == amlabels.MatchEqual || m.Type == amlabels.MatchRegexp}
	}
	return terms, nil
}

// Text is a term in the syntax of Alertmanager.
func (t Term) Text() (string, error) {
	kind := amlabels.MatchEqual
	switch {
	case t.Regex && t.Equal:
		kind = amlabels.MatchRegexp
	case t.Regex:
		kind = amlabels.MatchNotRegexp
	case !t.Equal:
		kind = amlabels.MatchNotEqual
	}
	m, err := amlabels.NewMatcher(kind, t.Name, t.Value)
	if err != nil {
		return "", fmt.Errorf("matcher of label %q: %w", t.Name, err)
	}
	return m.String(), nil
}
