package alerts

import (
	"cmp"
	"slices"
	"time"
)

// MaxList bounds what Alerts and Incidents answer at once.
const MaxList = 1000

// States of an alert in a Filter; those of an incident are of the type Status.
const (
	Firing   = "firing"
	Resolved = "resolved"
)

// Filter chooses among alerts or incidents. What is empty chooses all. An incident is
// chosen by Rule and Match if one of its alerts is that is known.
type Filter struct {
	States     []string
	Severities []Severity
	Tenants    []string
	Rule       string
	Match      func(Labels) bool
	// Behind goes on behind the last one that was answered.
	Behind Cursor
	// Limit is at most MaxList, which 0 is too.
	Limit int
}

// Cursor is a place in a list, whether the one that was there still is or not.
type Cursor struct {
	Since time.Time
	ID    string
}

// Cursor is where an alert stands in a list.
func (a *Alert) Cursor() Cursor { return Cursor{a.FiredAt, string(a.Key)} }

// Cursor is where an incident stands in a list.
func (i *Incident) Cursor() Cursor { return Cursor{i.OpenedAt, i.ID} }

// compare has the newest first.
func (c Cursor) compare(o Cursor) int {
	return cmp.Or(o.Since.Compare(c.Since), cmp.Compare(c.ID, o.ID))
}

func (f *Filter) limit() int {
	if f.Limit <= 0 || f.Limit > MaxList {
		return MaxList
	}
	return f.Limit
}

func wants[T comparable](list []T, x T) bool { return len(list) == 0 || slices.Contains(list, x) }

// alert tells whether an alert is meant, whatever its state and severity.
func (f *Filter) alert(a *Alert) bool {
	return wants(f.Tenants, a.Tenant) && (f.Rule == "" || f.Rule == a.Rule) && (f.Match == nil || f.Match(a.Labels))
}

// Alerts are those that a filter chooses, the newest first. Match is called while the
// state stands still, and does not ask it anything.
func (s *State) Alerts(f Filter) []Alert {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []*Alert
	for _, a := range s.alerts {
		state := Firing
		if !a.ResolvedAt.IsZero() {
			state = Resolved
		}
		if wants(f.States, state) && wants(f.Severities, a.Severity()) && f.behind(a.Cursor()) && f.alert(a) {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b *Alert) int { return a.Cursor().compare(b.Cursor()) })
	list = list[:min(len(list), f.limit())]
	out := make([]Alert, len(list))
	for n, a := range list {
		out[n] = *a
	}
	return out
}

// Incidents are those that a filter chooses, the newest first.
func (s *State) Incidents(f Filter) []Incident {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []*Incident
	for _, i := range s.incidents {
		if wants(f.States, string(i.Status)) && wants(f.Severities, i.Severity) && wants(f.Tenants, i.Tenant) && f.behind(i.Cursor()) && s.has(i, &f) {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b *Incident) int { return a.Cursor().compare(b.Cursor()) })
	list = list[:min(len(list), f.limit())]
	out := make([]Incident, len(list))
	for n, i := range list {
		out[n] = i.clone()
	}
	return out
}

func (f *Filter) behind(c Cursor) bool { return f.Behind == Cursor{} || f.Behind.compare(c) < 0 }

// has tells whether one of the alerts of an incident is meant. mu is held.
func (s *State) has(i *Incident, f *Filter) bool {
	if f.Rule == "" && f.Match == nil {
		return true
	}
	for _, keys := range [][]Key{i.Firing, i.Resolved} {
		for _, k := range keys {
			if a := s.alerts[k]; a != nil && f.alert(a) {
				return true
			}
		}
	}
	return false
}
