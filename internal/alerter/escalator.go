package alerter

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/escalation"
)

// incidentPrefix begins the group of a claim that is an incident's.
const incidentPrefix = "incident/"

// EscalatorOptions are what an Escalator works with.
type EscalatorOptions struct {
	Log    alerts.Log
	State  *alerts.State // kept up with Log by its owner
	Router *Router
	// Leads tells whether this replica steps; all of them have people told.
	Leads func() bool
	// Look is told of the incidents that somebody is to be told of.
	Look    func(alerts.ClaimKey)
	Metrics *Metrics
	Logger  *slog.Logger
}

// Escalator goes through the levels of incidents. What is due is written into the log
// first, under the condition that nothing has happened since, and told then: an ack
// that is before it in the log prevents it.
//
// It has no timers that could be lost: each second it asks the state what is due.
type Escalator struct {
	o    EscalatorOptions
	said *app.Repeat
	next map[string]stepped
}

// stepped is when an incident is to be looked at, as long as it is as it was.
type stepped struct {
	generation uint64
	status     alerts.Status
	told       time.Time // the newest telling that was handed on
	at         time.Time // zero: never
}

// stepEvery is how late a level may be.
const stepEvery = time.Second

// NewEscalator makes one. Close it.
func NewEscalator(o EscalatorOptions) *Escalator {
	return &Escalator{o: o, said: app.NewRepeat(o.Logger, sayEvery), next: map[string]stepped{}}
}

// Close says what of the log is still held back.
func (x *Escalator) Close() { x.said.Stop() }

// Run steps until ctx ends, and then returns nil.
func (x *Escalator) Run(ctx context.Context) error {
	t := time.NewTicker(stepEvery)
	defer t.Stop()
	for {
		changed := x.o.State.Changed()
		if x.o.State.CaughtUp() {
			x.Step(ctx, time.Now())
		}
		select {
		case <-t.C:
		case <-changed:
			pause(ctx, gather)
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// Step does what is due of all incidents at a time.
func (x *Escalator) Step(ctx context.Context, now time.Time) {
	seen := make(map[string]stepped, len(x.next))
	saw := sight{status: map[alerts.Status]int{}}
	for f := (alerts.Filter{}); ; {
		page := x.o.State.Incidents(f)
		for i := range page {
			s := x.one(ctx, &page[i], now)
			seen[page[i].ID] = s
			if !x.o.Leads() {
				s.at = time.Time{} // another looks after it
			}
			saw.add(&page[i], s.at, now)
		}
		if len(page) < alerts.MaxList || ctx.Err() != nil {
			break
		}
		f.Behind = page[len(page)-1].Cursor()
	}
	x.next = seen
	x.o.Metrics.saw(saw)
}

// one looks at one incident.
func (x *Escalator) one(ctx context.Context, i *alerts.Incident, now time.Time) stepped {
	was, known := x.next[i.ID]
	s := stepped{generation: i.Generation, status: i.Status, at: was.at}
	for _, t := range i.Told {
		if t.At.After(s.told) {
			s.told = t.At
		}
	}
	changed := !known || was.generation != s.generation || was.status != s.status || !was.told.Equal(s.told)
	if changed {
		x.tell(i)
	}
	due := !s.at.IsZero() && !now.Before(s.at)
	if i.Status == alerts.Closed || len(i.Policy.Levels) == 0 || !changed && !due && len(i.Joined) == 0 || !x.o.Leads() {
		return s
	}
	events, next := escalation.Step(i, now, x.o.Router.around(ctx, i, now))
	s.at = next
	if len(events) == 0 {
		return s
	}
	s.at = now // and look again at what comes of it
	within, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	_, err := alerts.Do(within, x.o.Log, x.o.State, func() ([]alerts.Event, error) {
		fresh, ok := x.o.State.Incident(i.ID)
		if !ok {
			return nil, nil
		}
		events, _ = escalation.Step(&fresh, now, x.o.Router.around(ctx, &fresh, now))
		return events, nil
	})
	if err == nil {
		x.o.Metrics.escalated.Add(float64(len(events)))
	}
	if err != nil && ctx.Err() == nil {
		x.said.Warn("log", "the log of alerts does not take that an incident escalates: nobody is told before it does", "incident", i.ID, "error", err)
	}
	return s
}

// tell has everybody looked at who was ever to be told of an incident.
func (x *Escalator) tell(i *alerts.Incident) {
	c := x.o.Router.configuration()
	for _, t := range i.Told {
		for _, to := range c.Targets(t.Target) {
			x.o.Look(alerts.ClaimKey{Tenant: i.Tenant, Group: incidentPrefix + i.ID, Receiver: to})
		}
	}
}

// around is what holds beside an incident now.
func (r *Router) around(ctx context.Context, i *alerts.Incident, now time.Time) escalation.Around {
	c := r.configuration()
	return escalation.Around{
		Open: func(interval string) bool {
			open, err := c.Open(interval, now)
			return open || err != nil // of one that is gone nobody wants to be silent
		},
		Muted: r.muted(ctx, i),
	}
}

// muted tells whether everything that fires of an incident is kept back.
func (r *Router) muted(ctx context.Context, i *alerts.Incident) bool {
	n := r.have(i.Tenant)
	if n == nil || len(i.Firing) == 0 {
		return false
	}
	return !slices.ContainsFunc(i.Firing, func(k alerts.Key) bool {
		a, ok := r.o.State.Alert(k)
		return ok && len(n.Muted(ctx, &a)) == 0
	})
}

// incident is what an integration is to be told of an incident: what it was last to be
// told of it, or that it has ended.
func (r *Router) incident(ctx context.Context, k alerts.ClaimKey) (alerts.Notification, bool) {
	i, ok := r.o.State.Incident(strings.TrimPrefix(k.Group, incidentPrefix))
	if !ok || i.Tenant != k.Tenant {
		return alerts.Notification{}, false
	}
	c := r.configuration()
	n := alerts.Notification{ClaimKey: k, SendResolved: c.SendResolved(k.Receiver),
		GroupLabels: alerts.LabelsOf(alerts.Label{Name: "incident", Value: i.ID})}
	for _, t := range i.Told {
		if slices.Contains(c.Targets(t.Target), k.Receiver) && (n.Told == nil || t.At.After(n.Told.At)) {
			n.Told = &t
		}
	}
	if n.Told == nil {
		return alerts.Notification{}, false
	}
	if i.Status == alerts.Taken && i.AckedAt.After(n.Told.At) && !whatever(&i, n.Told) {
		return alerts.Notification{}, false // somebody was faster than the receiver
	}
	n.Alerts = r.alertsOf(ctx, &i)
	slices.SortFunc(n.Alerts, func(a, b alerts.Alert) int { return cmpText(string(a.Key), string(b.Key)) })
	return n, len(n.Alerts) > 0
}

// whatever tells whether a telling is for incidents that somebody has taken, too.
func whatever(i *alerts.Incident, t *alerts.Told) bool {
	return t.Level > 0 && t.Level <= len(i.Policy.Levels) && i.Policy.Levels[t.Level-1].While == alerts.Unresolved
}

// alertsOf are the alerts of an incident that fire and are not kept back, or, once it
// is closed, those that have ended.
func (r *Router) alertsOf(ctx context.Context, i *alerts.Incident) (list []alerts.Alert) {
	keys, n := i.Firing, r.have(i.Tenant)
	if i.Status == alerts.Closed {
		keys = i.Resolved
	}
	for _, key := range keys {
		a, ok := r.o.State.Alert(key)
		switch {
		case !ok || a.ResolvedAt.IsZero() == (i.Status == alerts.Closed):
		case n != nil && a.ResolvedAt.IsZero() && len(n.Muted(ctx, &a)) > 0:
		default:
			list = append(list, a)
		}
	}
	return list
}
