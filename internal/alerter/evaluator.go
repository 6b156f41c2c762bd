package alerter

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

const (
	// look is how often the watermark is looked at when nothing is due.
	look = 200 * time.Millisecond
	// maxCatchUp is how far behind a slot is still evaluated, after the beginning.
	maxCatchUp = time.Hour
)

// EvaluatorOptions are what an Evaluator works with.
type EvaluatorOptions struct {
	Engines *Engines
	// Watermark is the time up to which all that was stored has been appended.
	Watermark func() time.Time
	// Offset is how far behind the watermark a slot is: what is late by less is seen.
	Offset time.Duration
	// Since is when the process began: slots before it are evaluated and not told.
	Since time.Time
	// Tell takes what a slot found; its error ends the evaluator.
	Tell    func(context.Context, alerts.Evaluation) error
	Metrics *Metrics
	Logger  *slog.Logger
}

// Evaluator evaluates each group of each tenant at each of its slots.
type Evaluator struct {
	o      EvaluatorOptions
	passed map[string]map[promrules.GroupID]time.Time // slots that are not evaluated, up to this
}

// NewEvaluator makes one.
func NewEvaluator(o EvaluatorOptions) *Evaluator {
	return &Evaluator{o: o, passed: map[string]map[promrules.GroupID]time.Time{}}
}

// Run evaluates until ctx ends, and then returns nil.
func (v *Evaluator) Run(ctx context.Context) error {
	t := time.NewTicker(look)
	defer t.Stop()
	for {
		if err := v.Catch(ctx); err != nil || ctx.Err() != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Catch evaluates what is due now, the oldest slot of a tenant first.
func (v *Evaluator) Catch(ctx context.Context) error {
	w := v.o.Watermark()
	if w.IsZero() {
		return nil
	}
	limit := w.Add(-v.o.Offset)
	for _, x := range v.o.Engines.all() {
		for {
			id, slot, ok := v.oldest(x, limit)
			if !ok {
				break
			}
			v.o.Engines.reached(x, slot.Add(-1))
			if err := v.evaluate(ctx, x, id, slot); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
		}
		v.o.Engines.reached(x, limit)
	}
	return nil
}

// oldest is the group whose next slot is the first, if that is due.
func (v *Evaluator) oldest(x *engine, limit time.Time) (id promrules.GroupID, first time.Time, due bool) {
	for _, g := range x.Groups() {
		slot, ok := v.next(x, g, limit)
		if ok && !slot.After(limit) && (!due || slot.Before(first)) {
			id, first, due = g.ID, slot, true
		}
	}
	return id, first, due
}

// next is the first slot of a group that is not evaluated, and not too late for it.
func (v *Evaluator) next(x *engine, g promrules.GroupInfo, limit time.Time) (time.Time, bool) {
	from := v.o.Engines.o.From
	if g.Last.After(from) {
		from = g.Last
	}
	if p := v.passed[x.tenant][g.ID]; p.After(from) {
		from = p
	}
	slot, ok := x.Slot(g.ID, from.Add(g.Interval))
	if !ok {
		return slot, false
	}
	if last := limit.Add(-maxCatchUp); slot.Before(last) && !slot.Before(v.o.Since) {
		to, ok := x.Slot(g.ID, last)
		if !ok {
			return slot, false
		}
		missed := int(to.Sub(slot)/g.Interval) + 1
		if v.passed[x.tenant] == nil {
			v.passed[x.tenant] = map[promrules.GroupID]time.Time{}
		}
		v.passed[x.tenant][g.ID] = to
		v.o.Metrics.missed.Add(float64(missed))
		v.o.Logger.Warn("alerts: slots are passed over, as they are too late to be told of: alerts of that time are not seen",
			"tenant", x.tenant, "group", g.ID.String(), "slots", missed, "from", slot, "to", to)
		slot = to.Add(g.Interval)
	}
	return slot, true
}

// evaluate does one slot.
func (v *Evaluator) evaluate(ctx context.Context, x *engine, id promrules.GroupID, slot time.Time) error {
	began := time.Now()
	e, err := x.Evaluate(ctx, id, slot)
	if err != nil {
		if ctx.Err() == nil { // the group has gone since, or was evaluated by a load
			v.o.Logger.Debug("alerts: a slot was not evaluated", "tenant", x.tenant, "group", id.String(), "slot", slot, "error", err)
		}
		return nil
	}
	v.o.Metrics.seconds.Observe(time.Since(began).Seconds())
	for _, f := range e.Failed {
		v.o.Logger.Warn("alerts: a rule could not be evaluated: its alerts stay as they are", "tenant", x.tenant, "group", id.String(), "rule", f.Rule, "slot", slot, "error", f.Err)
	}
	if slot.Before(v.o.Since) {
		v.o.Metrics.evaluations.WithLabelValues("muted").Inc()
		return nil
	}
	v.o.Metrics.evaluations.WithLabelValues("told").Inc()
	return v.o.Tell(ctx, found(x.tenant, &e))
}

// found is what an evaluation found, in the words of package alerts.
func found(tenant string, e *promrules.Evaluation) alerts.Evaluation {
	out := alerts.Evaluation{Tenant: tenant, File: e.Group.File, Group: e.Group.Group, At: e.At, Evaluated: e.Evaluated}
	for _, f := range e.Failed {
		out.Failed = append(out.Failed, f.Rule)
	}
	for i := range e.Active {
		a := &e.Active[i]
		out.Active = append(out.Active, alerts.Finding{
			Rule: a.Rule, Labels: labels(a.Labels), Annotations: labels(a.Annotations), Firing: a.State == promrules.Firing,
			Value: a.Value, ActiveAt: a.ActiveAt, FiredAt: a.FiredAt, Trace: a.Trace,
		})
	}
	return out
}

func labels(l promrules.Labels) alerts.Labels {
	list := make([]alerts.Label, len(l))
	for i, x := range l {
		list[i] = alerts.Label{Name: x.Name, Value: x.Value}
	}
	return alerts.LabelsOf(list...)
}

func cmpText(a, b string) int { return strings.Compare(a, b) }
