package promrules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
)

// GroupID names a group.
type GroupID struct{ File, Group string }

func (id GroupID) String() string { return id.File + ";" + id.Group }

// group is one that is evaluated.
type group struct {
	g    *rules.Group
	last time.Time // slot of the last evaluation
	held holds
}

// files gives the manager rules that were parsed before, by name.
type files struct{ byName map[string]*File }

func (f *files) Load(name string, _ bool, _ model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	file, ok := f.byName[name]
	if !ok {
		return nil, []error{fmt.Errorf("BUG: rule file %s is not loaded", name)}
	}
	return file.groups, nil
}

func (f *files) Parse(expr string) (parser.Expr, error) { return exprs.ParseExpr(expr) }

// newManager makes what builds groups. It is never run: it would evaluate by the
// wall clock.
func (e *Engine) newManager() *rules.Manager {
	return rules.NewManager(&rules.ManagerOptions{
		NameValidationScheme: scheme,
		QueryFunc:            e.ruleQuery,
		NotifyFunc:           func(context.Context, string, ...*rules.Alert) {}, // Evaluate reads the whole set
		Context:              context.Background(),
		AppendableV2:         e.db,
		Queryable:            e.db,
		Logger:               e.o.Logger,
		GroupLoader:          e.files,
		Metrics:              e.metrics,
		Parser:               exprs,
	})
}

// Load replaces the rules. On an error nothing has changed. It waits for a group
// that is being evaluated.
func (e *Engine) Load(list []*File) error {
	byName := map[string]*File{}
	names := make([]string, 0, len(list))
	for _, f := range list {
		if byName[f.name] != nil {
			return fmt.Errorf("rule file %s is there twice", f.name)
		}
		byName[f.name] = f
		names = append(names, f.name)
	}
	external := map[string]string{}
	for _, l := range e.o.ExternalLabels {
		external[l.Name] = l.Value
	}

	e.evalMu.Lock()
	defer e.evalMu.Unlock()
	before := e.files.byName
	e.files.byName = byName
	made, errs := e.manager.LoadGroups(e.o.Interval, labels.FromMap(external), e.o.ExternalURL, nil, false, names...)
	if len(errs) > 0 {
		e.files.byName = before
		return errors.Join(errs...)
	}

	groups := map[GroupID]*group{}
	var order []GroupID
	for _, f := range list {
		for _, rg := range f.groups.Groups {
			id := GroupID{f.name, rg.Name}
			n := &group{g: made[rules.GroupKey(f.name, rg.Name)]}
			n.held = holdsOf(n.g)
			for _, r := range n.g.AlertingRules() {
				// Else the series ALERTS would not be written, for want of a start
				// from a store that has them.
				r.SetRestored(true)
			}
			if old, ok := e.groups[id]; ok {
				n.last = old.last
				if old.g.Equals(n.g) {
					n = old
				} else {
					n.g.CopyState(old.g)
					n.held.takeOver(old.held)
				}
			}
			groups[id] = n
			order = append(order, id)
		}
	}
	for id, old := range e.groups {
		if groups[id] == nil {
			e.retire(id, old)
		}
	}
	e.groups, e.order = groups, order
	e.countHeld()

	needs := NeedsOf(list, e.o.Lookback)
	e.names.set(needs)
	results := map[string]bool{"ALERTS": true, "ALERTS_FOR_STATE": true}
	for _, f := range list {
		for _, r := range f.rules {
			if r.records {
				results[r.name] = true
			}
		}
	}
	e.cap.makes(results)
	e.appendMu.Lock()
	e.settings.DisableTargetInfo = !needs.All && !slices.Contains(needs.Names, "target_info")
	e.appendMu.Unlock()
	return nil
}

// retire ends the series of a group that is gone, so that rules which read them do
// not see their last values for the length of a lookback.
func (e *Engine) retire(id GroupID, old *group) {
	if old.last.IsZero() {
		return
	}
	empty := rules.NewGroup(rules.GroupOptions{Name: id.Group, File: id.File, Interval: old.g.Interval(), Opts: &rules.ManagerOptions{
		Context: context.Background(), AppendableV2: e.db, Queryable: e.db, Logger: e.o.Logger, Metrics: e.metrics, QueryFunc: e.query,
	}})
	empty.CopyState(old.g)
	empty.Eval(context.Background(), old.last.Add(time.Millisecond))
	key := rules.GroupKey(id.File, id.Group)
	e.metrics.IterationsMissed.DeleteLabelValues(key)
	e.metrics.IterationsScheduled.DeleteLabelValues(key)
	e.metrics.EvalTotal.DeleteLabelValues(key)
	e.metrics.EvalFailures.DeleteLabelValues(key)
	e.metrics.GroupInterval.DeleteLabelValues(key)
	e.metrics.GroupLastEvalTime.DeleteLabelValues(key)
	e.metrics.GroupLastDuration.DeleteLabelValues(key)
	e.metrics.GroupRules.DeleteLabelValues(key)
	e.metrics.GroupSamples.DeleteLabelValues(key)
	e.metrics.GroupLastRuleDurationSum.DeleteLabelValues(key)
}
