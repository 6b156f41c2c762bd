package hindsight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// maxAlerts bounds the alerts that are told one by one.
const maxAlerts = 10_000

// Report is what would have fired.
type Report struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	Read
	// Alerts are those that fired in that time, or did before and went on into it,
	// by the time at which they fired. LeftOut are more that are only counted.
	Alerts  []Alert `json:"alerts"`
	LeftOut int     `json:"left_out,omitempty"`
	// Rules are all alerting rules, and recording rules that failed.
	Rules []Rule `json:"rules"`
}

// Alert is one that would have fired.
type Alert struct {
	Tenant      string        `json:"tenant,omitempty"`
	File        string        `json:"file"`
	Group       string        `json:"group"`
	Rule        string        `json:"rule"`
	Labels      alerts.Labels `json:"labels"`
	Annotations alerts.Labels `json:"annotations,omitempty"`
	// Value, Annotations and Trace are those of the moment at which it fired.
	Value      float64   `json:"value"`
	ActiveAt   time.Time `json:"active_at"`
	FiredAt    time.Time `json:"fired_at"`
	ResolvedAt time.Time `json:"resolved_at,omitzero"` // zero: it fired until the end
	Trace      string    `json:"trace,omitempty"`
}

// Rule sums up one.
type Rule struct {
	File  string `json:"file"`
	Group string `json:"group"`
	Name  string `json:"name"`
	Fired int    `json:"fired"`
	// Seconds are those for which its alerts fired, of all together.
	Seconds float64 `json:"seconds"`
	// Pending tells whether its condition held at a time at all.
	Pending bool   `json:"pending"`
	Failed  int    `json:"failed,omitempty"` // evaluations
	Error   string `json:"error,omitempty"`  // of the last one that failed
}

// Try evaluates rules on what the queue has.
func Try(ctx context.Context, o Options) (_ *Report, err error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	needs := promrules.NeedsOf(o.Files, cmp.Or(o.Engine.Lookback, 5*time.Minute))
	o.Engine.Retention = max(o.Engine.Retention, needs.Range+time.Hour)
	t := &try{o: &o, report: &Report{From: o.From, Until: o.Until, Alerts: []Alert{}, Rules: []Rule{}}, next: map[slotKey]time.Time{}, firing: map[string]*Alert{}, rules: map[ruleKey]*Rule{}}
	for _, f := range o.Files {
		for _, r := range f.Rules() {
			if !r.Records {
				t.rule(promrules.GroupID{File: f.Name(), Group: r.Group}, r.Name)
			}
		}
	}
	t.reader = &reader{o: &o, begin: o.From.Add(-needs.Range - o.QueryOffset - warmMargin), nameless: true, due: t.evaluate}
	defer func() { err = errors.Join(err, t.reader.close()) }()
	if err := t.reader.run(ctx); err != nil {
		return nil, err
	}
	return t.end(), nil
}

// warmMargin is read beyond what the rules look back on.
const warmMargin = time.Minute

// try is one that runs. Its reader's lock guards it.
type try struct {
	o      *Options
	reader *reader
	report *Report
	next   map[slotKey]time.Time // slot to evaluate
	firing map[string]*Alert
	rules  map[ruleKey]*Rule
}

type slotKey struct {
	tenant string
	group  promrules.GroupID
}

type ruleKey struct {
	group promrules.GroupID
	name  string
}

func (t *try) rule(g promrules.GroupID, name string) *Rule {
	k := ruleKey{g, name}
	if t.rules[k] == nil {
		t.rules[k] = &Rule{File: g.File, Group: g.Group, Name: name}
	}
	return t.rules[k]
}

// evaluate does what is due when everything up to a time has come, of each tenant
// the oldest slot first.
func (t *try) evaluate(ctx context.Context, upTo time.Time) error {
	limit := upTo.Add(-t.o.QueryOffset)
	if limit.Before(t.reader.begin) {
		return nil
	}
	for _, tenant := range slices.Sorted(maps.Keys(t.reader.tenants)) {
		of := t.reader.tenants[tenant]
		e := of.e
		groups := e.Groups()
		for {
			var first *promrules.GroupInfo
			var at time.Time
			for i := range groups {
				slot, err := t.slot(of, tenant, &groups[i])
				if err != nil {
					return err
				}
				if !slot.After(limit) && (first == nil || slot.Before(at)) {
					first, at = &groups[i], slot
				}
			}
			if first == nil {
				break
			}
			ev, err := e.Evaluate(ctx, first.ID, at)
			if err != nil {
				return err
			}
			t.next[slotKey{tenant, first.ID}] = at.Add(first.Interval)
			t.take(tenant, &ev)
		}
	}
	return nil
}

// slot is the next one of a group.
func (t *try) slot(of *tenant, tenant string, g *promrules.GroupInfo) (time.Time, error) {
	k := slotKey{tenant, g.ID}
	if at, ok := t.next[k]; ok {
		return at, nil
	}
	at, ok := of.e.Slot(g.ID, of.born)
	if !ok {
		return at, fmt.Errorf("BUG: rule group %s is not loaded", g.ID)
	}
	if at.Before(of.born) {
		at = at.Add(g.Interval)
	}
	t.next[k] = at
	return at, nil
}

// take compares with what fired before.
func (t *try) take(tenant string, ev *promrules.Evaluation) {
	prefix := tenant + "\x00" + ev.Group.String() + "\x00"
	now := map[string]bool{}
	for i := range ev.Active {
		a := &ev.Active[i]
		if !ev.At.Before(t.o.From) {
			t.rule(ev.Group, a.Rule).Pending = true
		}
		if a.State != promrules.Firing {
			continue
		}
		labels := labelsOf(a.Labels)
		k := prefix + a.Rule + "\x00" + string(alerts.KeyOf(tenant, labels))
		now[k] = true
		if t.firing[k] == nil {
			t.firing[k] = &Alert{Tenant: tenant, File: ev.Group.File, Group: ev.Group.Group, Rule: a.Rule, Labels: labels, Annotations: labelsOf(a.Annotations),
				Value: a.Value, ActiveAt: a.ActiveAt, FiredAt: a.FiredAt, Trace: a.Trace}
		}
	}
	for k, a := range t.firing {
		if strings.HasPrefix(k, prefix) && !now[k] && slices.Contains(ev.Evaluated, a.Rule) {
			a.ResolvedAt = ev.At
			t.ended(a)
			delete(t.firing, k)
		}
	}
	for _, f := range ev.Failed {
		r := t.rule(ev.Group, f.Rule)
		r.Failed++
		r.Error = f.Err.Error()
	}
}

// ended counts an alert that is over, or that the end was reached with.
func (t *try) ended(a *Alert) {
	end := a.ResolvedAt
	if end.IsZero() {
		end = t.o.Until
	} else if end.Before(t.o.From) {
		return
	}
	begin := a.FiredAt
	if begin.Before(t.o.From) {
		begin = t.o.From
	}
	r := t.rule(promrules.GroupID{File: a.File, Group: a.Group}, a.Rule)
	r.Fired++
	r.Seconds += max(0, end.Sub(begin).Seconds())
	if len(t.report.Alerts) >= maxAlerts {
		t.report.LeftOut++
		return
	}
	t.report.Alerts = append(t.report.Alerts, *a)
}

func (t *try) end() *Report {
	for _, k := range slices.Sorted(maps.Keys(t.firing)) {
		t.ended(t.firing[k])
	}
	slices.SortStableFunc(t.report.Alerts, func(a, b Alert) int {
		return cmp.Or(a.FiredAt.Compare(b.FiredAt), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Rule, b.Rule),
			slices.CompareFunc(a.Labels, b.Labels, func(x, y alerts.Label) int {
				return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value))
			}))
	})
	for _, r := range t.rules {
		t.report.Rules = append(t.report.Rules, *r)
	}
	slices.SortFunc(t.report.Rules, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name))
	})
	t.report.Read = t.reader.read
	t.report.Tenants = t.reader.names()
	return t.report
}

// labelsOf copies, and leaves out what is empty.
func labelsOf(from promrules.Labels) alerts.Labels {
	list := make([]alerts.Label, len(from))
	for i, l := range from {
		list[i] = alerts.Label{Name: l.Name, Value: l.Value}
	}
	return alerts.LabelsOf(list...)
}
