package alerter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// State implements alerting.Service.
func (a *Alerter) State() *alerts.State { return a.state }

// Log implements alerting.Service.
func (a *Alerter) Log() alerts.Log { return a.record }

// History implements alerting.Service.
func (a *Alerter) History(ctx context.Context, since time.Time, give func(at uint64, storedAt time.Time, e *alerts.Event) error) error {
	return a.record.History(ctx, since, give)
}

// Matcher implements alerting.Service.
func (a *Alerter) Matcher(matchers []string) (func(alerts.Labels) bool, error) {
	return amnotify.Matcher(matchers)
}

// Muted implements alerting.Service.
func (a *Alerter) Muted(ctx context.Context, alert *alerts.Alert) []string {
	n := a.router.have(alert.Tenant)
	if n == nil {
		return nil
	}
	return n.Muted(ctx, alert)
}

// Receivers implements alerting.Service.
func (a *Alerter) Receivers() []string { return a.files.Load().notify.Names() }

// ReceiversOf implements alerting.Service.
func (a *Alerter) ReceiversOf(l alerts.Labels) []string {
	set := make(map[string]string, len(l))
	for _, x := range l {
		set[x.Name] = x.Value
	}
	return a.files.Load().notify.Receivers(set)
}

// PolicyOf implements alerting.Service; it is an alerts.PolicyOf.
func (a *Alerter) PolicyOf(tenant string, l alerts.Labels) alerts.Policy {
	return a.files.Load().policies.Of(tenant, l)
}

// Ready implements alerting.Alerter.
func (a *Alerter) Ready(context.Context) error {
	if !a.state.CaughtUp() {
		return errors.New("the log of alerts is being read")
	}
	switch w := a.intake.Watermark(); {
	case w.IsZero():
		return errors.New("the metric streams are not read yet")
	case w.Before(a.since):
		return fmt.Errorf("what was stored before the start is being read: %s are left", a.since.Sub(w).Round(time.Second))
	}
	return nil
}

// Status implements alerting.Service.
func (a *Alerter) Status() alerting.Status {
	s := alerting.Status{Rules: a.groups(), Tells: a.lead.Leads(), CaughtUp: a.state.CaughtUp(), Watermark: a.intake.Watermark(),
		Tenants: len(a.engines.all()), Store: storeNone}
	if a.store != nil {
		s.Store = storeRedis
		if r, ok := a.store.(interface{ Ready(context.Context) error }); ok {
			if err := r.Ready(context.Background()); err != nil { // within a second
				s.StoreErr = err.Error()
			}
		}
	}
	return s
}

const (
	storeRedis = "redis"
	storeNone  = "none"
)

// groups of the files, with their rules, in their order.
func (a *Alerter) groups() (list []alerting.Group) {
	every := map[promrules.GroupID]time.Duration{}
	for _, g := range a.engines.names.Groups() {
		every[g.ID] = g.Interval
	}
	for _, f := range a.files.Load().rules {
		for _, r := range f.Rules() {
			if n := len(list); n == 0 || list[n-1].File != f.Name() || list[n-1].Name != r.Group {
				list = append(list, alerting.Group{File: f.Name(), Name: r.Group, Interval: every[promrules.GroupID{File: f.Name(), Group: r.Group}].Seconds()})
			}
			g := &list[len(list)-1]
			g.Rules = append(g.Rules, alerting.Rule{Name: r.Name, Alerting: !r.Records, Expr: r.Expr, For: r.For.Seconds()})
		}
	}
	return list
}
