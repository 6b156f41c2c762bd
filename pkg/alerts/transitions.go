package alerts

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// PolicyOf is the policy of an alert. One without a name has no levels; without
// GroupBy alerts of one name are one incident.
type PolicyOf func(tenant string, l Labels) Policy

// ReasonRuleDeleted is why an alert resolves whose rule is gone.
const ReasonRuleDeleted = "rule_deleted"

// ReasonExpired is why an alert resolves that was posted, and then no more.
const ReasonExpired = "expired"

// Transitions are what an evaluation changes. An alert resolves only if the evaluation
// had its rule and not the alert, or has its rule no more. One that is pending again,
// or whose rule failed, stays as it is. An evaluation from before what was last told
// of its group changes nothing, nor does one more than ResolvedFor behind the log let
// anything fire.
//
// What belongs to one alert stands together, and must not be torn apart: the incident
// that opens before the alert that fires, and what that makes of its severity; the
// alert that resolves before the incident that closes.
func (s *State) Transitions(e Evaluation, p PolicyOf, now time.Time) []Event {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d := draft{s: s, e: &e, policy: p, now: now, incidents: map[string]*Incident{}, current: map[group]*Incident{}}
	external := e.File == SourceExternal
	src := source{e.Tenant, e.File, e.Group}
	if !external {
		for k := range s.sources[src] {
			if e.At.Before(s.alerts[k].Watermark) {
				return nil
			}
		}
	}
	active := make(map[Key]*Finding, len(e.Active))
	for i := range e.Active {
		f := &e.Active[i]
		k := KeyOf(e.Tenant, f.Labels)
		if was := active[k]; was == nil || f.Firing && !was.Firing {
			active[k] = f
		}
	}
	if external {
		e.At = s.behind(e.At, active)
	}
	d.fire(active)
	var ended []*Alert
	if external { // whoever posts it, as two may have the same alert
		for k, f := range active {
			if a := s.alerts[k]; a != nil && a.File == SourceExternal && !f.Firing {
				ended = append(ended, a)
			}
		}
	} else {
		for k := range s.sources[src] {
			if active[k] == nil {
				ended = append(ended, s.alerts[k])
			}
		}
	}
	slices.SortFunc(ended, func(a, b *Alert) int { return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Key, b.Key)) })
	for _, a := range ended {
		d.resolve(a, d.reason(a, active[a.Key]))
	}
	return d.events
}

// draft is what an evaluation makes of the state, without changing it.
type draft struct {
	s         *State
	e         *Evaluation
	policy    PolicyOf
	now       time.Time
	events    []Event
	incidents map[string]*Incident
	current   map[group]*Incident
}

// emit adds an event, and does to the draft of the incident what it will do.
func (d *draft) emit(i *Incident, e Event) {
	e.At, e.Tenant, e.Actor = d.now, d.e.Tenant, ActorRule
	if i != nil {
		e.Incident = i.ID
		i.Apply(&e, d.now)
	}
	d.events = append(d.events, e)
}

// fire lets fire what does not, the worst first, so that incidents begin with that.
func (d *draft) fire(active map[Key]*Finding) {
	var keys []Key
	for k, f := range active {
		a := d.s.alerts[k]
		switch {
		case !f.Firing:
		case a == nil && d.e.At.Before(d.s.stored.Add(-ResolvedFor)):
		case a == nil, !a.ResolvedAt.IsZero() && d.e.At.After(a.Watermark):
			keys = append(keys, k)
		}
	}
	severity := func(k Key) Severity { return Severity(active[k].Labels.Get("severity")) }
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(severity(b).Rank()-severity(a).Rank(), cmp.Compare(active[a].Rule, active[b].Rule), cmp.Compare(a, b))
	})
	for _, k := range keys {
		f := active[k]
		p := d.policy(d.e.Tenant, f.Labels)
		i := d.incident(k, f, p)
		d.emit(i, Event{Kind: EventFired, Watermark: d.e.At, Alert: k, Fired: &Alert{
			Key: k, Tenant: d.e.Tenant, File: d.e.File, Group: d.e.Group, Rule: f.Rule, Labels: boundedLabels(f.Labels), Annotations: boundedAnnotations(f.Annotations),
			Value: f.Value, ActiveAt: f.ActiveAt, FiredAt: f.FiredAt, Watermark: d.e.At, Incident: i.ID, Trace: f.Trace,
			EndsAt: f.EndsAt, Source: cut(f.Source, MaxSource), Pushed: f.Pushed,
		}})
		if severity(k).WorseThan(i.Severity) {
			d.emit(i, Event{Kind: EventRaised, Severity: severity(k)})
		}
	}
}

// incident is the one that an alert comes to; it is opened, or opened again.
func (d *draft) incident(k Key, f *Finding, p Policy) *Incident {
	g := group{d.e.Tenant, groupOf(p, k, f.Labels)}
	i := d.current[g]
	if i == nil {
		if was := d.s.current(g); was != nil {
			i = d.of(was)
		}
	}
	switch {
	case i == nil, i.Status == Closed && !d.now.Before(i.ClosedAt.Add(i.Policy.Reopen)):
		i = &Incident{ID: NewID(d.now), Tenant: d.e.Tenant, Group: g.group, Title: titleOf(p, f.Labels), Severity: Severity(f.Labels.Get("severity")), Policy: p.clone(),
			Status: Open, OpenedAt: d.now, Cycle: 1, CycleAt: d.now, Generation: 1}
		opened := i.clone()
		d.incidents[i.ID] = i
		d.emit(nil, Event{Kind: EventOpened, Incident: i.ID, Opened: &opened})
	case i.Status == Closed:
		d.emit(i, Event{Kind: EventReopened})
	}
	d.current[g] = i
	return i
}

// of is the draft of an incident.
func (d *draft) of(was *Incident) *Incident {
	i := d.incidents[was.ID]
	if i == nil {
		c := was.clone()
		i = &c
		d.incidents[i.ID] = i
	}
	return i
}

// reason is why an alert ends; f is what was posted of it.
func (d *draft) reason(a *Alert, f *Finding) string {
	switch {
	case d.e.File != SourceExternal && !slices.Contains(d.e.Evaluated, a.Rule):
		return ReasonRuleDeleted
	case f != nil && !f.EndsAt.IsZero():
		return ReasonExpired
	}
	return ""
}

// resolve ends an alert that the evaluation does not have.
func (d *draft) resolve(a *Alert, reason string) {
	if !a.ResolvedAt.IsZero() || !d.e.At.After(a.Watermark) || slices.Contains(d.e.Failed, a.Rule) {
		return
	}
	var i *Incident
	if was := d.s.incidents[a.Incident]; was != nil {
		i = d.of(was)
	}
	d.emit(i, Event{Kind: EventResolved, Watermark: d.e.At, Alert: a.Key, Incident: a.Incident, Reason: reason})
	if i != nil && i.Status != Closed && len(i.Firing) == 0 {
		d.emit(i, Event{Kind: EventClosed})
	}
}

// Sources are the groups of rules of a tenant of which alerts fire, as evaluations
// that find nothing: when a group is gone, its own is what resolves them.
func (s *State) Sources() []Evaluation {
	s.mu.RLock()
	defer s.mu.RUnlock()
	firing := map[source]bool{}
	for src, keys := range s.sources {
		for k := range keys {
			if s.alerts[k].ResolvedAt.IsZero() {
				firing[src] = true
				break
			}
		}
	}
	list := make([]Evaluation, 0, len(firing))
	for _, src := range slices.SortedFunc(maps.Keys(firing), func(a, b source) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.file, b.file), cmp.Compare(a.group, b.group))
	}) {
		list = append(list, Evaluation{Tenant: src.tenant, File: src.file, Group: src.group})
	}
	return list
}
