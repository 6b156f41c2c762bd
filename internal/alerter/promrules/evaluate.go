package promrules

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/rules"
)

// State of an active alert.
type State uint8

// An alert is pending until its condition has held for the time of the rule.
const (
	Pending State = iota + 1
	Firing
)

func (s State) String() string {
	if s == Firing {
		return "firing"
	}
	return "pending"
}

// Alert is one active alert of a rule.
type Alert struct {
	Rule string
	// Labels have those of the rule and alertname; they are who the alert is.
	Labels, Annotations Labels
	State               State
	Value               float64
	// ActiveAt is the first slot at which the condition held, FiredAt that at which
	// it had held for long enough, zero while pending.
	ActiveAt, FiredAt time.Time
	// KeptSince is the first slot at which the condition did not hold any more and
	// keep_firing_for held on to it; zero when it holds.
	KeptSince time.Time
	// Trace is the id of a trace that shows it, in hex, from the newest exemplar;
	// only in the evaluation in which the alert begins to fire, and "" without one.
	Trace string
}

// Failure is a rule that could not be evaluated.
type Failure struct {
	Rule string
	Err  error
}

// Evaluation is one slot of a group.
type Evaluation struct {
	Group GroupID
	At    time.Time
	// Evaluated are the names of alerting rules of which Active has all alerts.
	// Two rules may have one name: if one of them fails the name is in Failed only.
	Evaluated []string
	// Failed are alerting and recording rules. Alerts of such a rule are not in
	// Active, and not absent either.
	Failed []Failure
	// Active is sorted by rule and labels.
	Active []Alert
}

// Evaluate evaluates a group at a time, which must be later than that of its last
// evaluation. The error says that it was not done: there is no such group, the
// time is not later, or ctx ended.
func (e *Engine) Evaluate(ctx context.Context, id GroupID, at time.Time) (Evaluation, error) {
	e.evalMu.Lock()
	defer e.evalMu.Unlock()
	g, ok := e.groups[id]
	switch {
	case !ok:
		return Evaluation{}, fmt.Errorf("there is no rule group %s", id)
	case !at.After(g.last):
		return Evaluation{}, fmt.Errorf("rule group %s was evaluated at %s, and %s is not later", id, g.last.Format(time.RFC3339Nano), at.Format(time.RFC3339Nano))
	}
	if every := g.g.Interval(); !g.last.IsZero() && at.Sub(g.last) > every {
		e.o.Metrics.missed.Add(float64((at.Sub(g.last) - 1) / every))
	}
	began := time.Now()
	rules.DefaultEvalIterationFunc(context.WithValue(ctx, holdsKey{}, g.held), g.g, at)
	e.o.Metrics.seconds.Observe(time.Since(began).Seconds())
	e.countHeld()
	g.last = at // also when it was cut short: results of a slot are stored once
	if err := ctx.Err(); err != nil {
		e.o.Metrics.cut.Inc()
		return Evaluation{}, fmt.Errorf("evaluate rule group %s: %w", id, err)
	}
	out := Evaluation{Group: id, At: at}
	failed := map[string]bool{}
	for _, r := range g.g.Rules() {
		if r.Health() != rules.HealthGood {
			failed[r.Name()] = true
			out.Failed = append(out.Failed, Failure{r.Name(), r.LastError()})
		}
	}
	e.o.Metrics.failures.Add(float64(len(out.Failed)))
	if len(out.Failed) > 0 {
		e.o.Metrics.failed.Inc()
	} else {
		e.o.Metrics.ok.Inc()
	}
	for _, r := range g.g.AlertingRules() {
		if failed[r.Name()] {
			continue
		}
		if !slices.Contains(out.Evaluated, r.Name()) {
			out.Evaluated = append(out.Evaluated, r.Name())
		}
		for _, a := range r.ActiveAlerts() {
			one := active(r.Name(), a)
			if one.State == Firing && a.FiredAt.Equal(at) {
				one.Trace = e.traceOf(ctx, r, a)
			}
			out.Active = append(out.Active, one)
		}
	}
	slices.Sort(out.Evaluated)
	slices.SortFunc(out.Active, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), slices.CompareFunc(a.Labels, b.Labels, func(x, y Label) int {
			return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value))
		}))
	})
	return out, nil
}

// countHeld is called with evalMu held.
func (e *Engine) countHeld() {
	n := 0
	for _, g := range e.groups {
		n += g.held.count()
	}
	e.held.Store(int64(n))
}

func active(rule string, a *rules.Alert) Alert {
	out := Alert{
		Rule: rule, Labels: fromProm(a.Labels), Annotations: fromProm(a.Annotations), State: Pending, Value: a.Value,
		ActiveAt: a.ActiveAt, FiredAt: a.FiredAt, KeptSince: a.KeepFiringSince,
	}
	if a.State == rules.StateFiring {
		out.State = Firing
	}
	return out
}

// GroupInfo is what a scheduler has to know of a group.
type GroupInfo struct {
	ID       GroupID
	Interval time.Duration
	Rules    int
	// Last is the slot of the last evaluation, zero when there was none.
	Last time.Time
}

// Groups lists the groups in the order of the files. Groups of a file may be
// evaluated in any order, and each for itself.
func (e *Engine) Groups() []GroupInfo {
	e.evalMu.Lock()
	defer e.evalMu.Unlock()
	list := make([]GroupInfo, 0, len(e.order))
	for _, id := range e.order {
		g := e.groups[id]
		list = append(list, GroupInfo{id, g.g.Interval(), len(g.g.Rules()), g.last})
	}
	return list
}

// Slot is the last slot of a group at or before t. Slots of a group are the same in
// every process, an interval apart, and spread over groups. False when there is no
// such group.
func (e *Engine) Slot(id GroupID, t time.Time) (time.Time, bool) {
	e.evalMu.Lock()
	defer e.evalMu.Unlock()
	g, ok := e.groups[id]
	if !ok {
		return time.Time{}, false
	}
	return g.g.EvalTimestamp(t.UnixNano()), true
}
