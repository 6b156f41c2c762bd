package amnotify

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/matcher/compat"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Matchers are read as Alertmanager reads them without flags: names of labels may have
// any character, and what only the older syntax takes is taken too. Upstream keeps that
// in variables, which its libraries set to the older syntax alone.
func init() { compat.InitFromFlags(slog.New(slog.DiscardHandler), featurecontrol.NoopFlags{}) }

// silence is one with its matchers read.
type silence struct {
	alerts.Silence
	matchers amlabels.Matchers
}

func (s *silence) holds(now time.Time) bool { return !now.Before(s.Starts) && now.Before(s.Ends) }

// SetSilences replaces all silences. One that cannot be read is an error, and
// nothing is replaced.
func (n *Notifier) SetSilences(list []alerts.Silence) error {
	read := make([]silence, 0, len(list))
	for _, s := range list {
		m, err := matchers(s.Matchers)
		if err != nil {
			return fmt.Errorf("silence %s: %w", s.ID, err)
		}
		read = append(read, silence{s, m})
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silences = read
	return nil
}

// CheckMatchers says what is wrong with the matchers of a silence: in the syntax
// of Alertmanager, at least one of them matching more than an empty value, for a
// silence of everything is never meant.
func CheckMatchers(texts []string) error {
	m, err := matchers(texts)
	if err != nil {
		return err
	}
	for _, x := range m {
		if !x.Matches("") {
			return nil
		}
	}
	return fmt.Errorf("the matchers %v match every alert: name at least one label that must be there", texts)
}

func matchers(texts []string) (amlabels.Matchers, error) {
	if len(texts) == 0 {
		return nil, fmt.Errorf("there are no matchers: want at least one, as severity=\"warning\"")
	}
	var all amlabels.Matchers
	for _, text := range texts {
		m, err := compat.Matcher(text, "silence")
		if err != nil {
			return nil, fmt.Errorf("matcher %q: %w", text, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// Matcher tells which labels all of these matchers, in the syntax of Alertmanager,
// hold for.
func Matcher(texts []string) (func(alerts.Labels) bool, error) {
	m, err := matchers(texts)
	if err != nil {
		return nil, err
	}
	return func(l alerts.Labels) bool { return m.Matches(labelSet(l)) }, nil
}
