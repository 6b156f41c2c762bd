package api

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Alert is one that fires, or did.
type Alert struct {
	Key         string            `json:"key" doc:"Who it is: tenant and labels as 32 hex digits."`
	Tenant      string            `json:"tenant,omitempty"`
	State       string            `json:"state" enum:"firing,resolved"`
	Severity    string            `json:"severity,omitempty"`
	Rule        string            `json:"rule"`
	File        string            `json:"file,omitempty" doc:"Of the rule; external: it was posted."`
	Group       string            `json:"group,omitempty" doc:"Of rules."`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Value       string            `json:"value" doc:"Of the rule's expression, as text: NaN and Inf are values too."`
	ActiveAt    time.Time         `json:"active_at" doc:"When its condition began to hold."`
	FiredAt     time.Time         `json:"fired_at"`
	ResolvedAt  time.Time         `json:"resolved_at,omitzero"`
	EndsAt      time.Time         `json:"ends_at,omitzero" doc:"When one that was posted ends unless it is posted again."`
	Incident    string            `json:"incident,omitempty"`
	Trace       string            `json:"trace,omitempty" doc:"Id of a trace of what it is about."`
	Muted       []string          `json:"muted,omitempty" doc:"What keeps its notifications back: silence/ID, inhibited, names of time intervals."`
	Receivers   []string          `json:"receivers,omitempty" doc:"To which the routes lead it."`
}

// Incident is what people answer to.
type Incident struct {
	ID        string    `json:"id"`
	Tenant    string    `json:"tenant,omitempty"`
	Title     string    `json:"title"`
	Severity  string    `json:"severity,omitempty" doc:"The worst of its alerts; it does not fall."`
	State     string    `json:"state" enum:"open,acked,closed"`
	OpenedAt  time.Time `json:"opened_at"`
	ClosedAt  time.Time `json:"closed_at,omitzero"`
	AckedBy   string    `json:"acked_by,omitempty" doc:"Who has it."`
	AckedAt   time.Time `json:"acked_at,omitzero"`
	AckUntil  time.Time `json:"ack_until,omitzero" doc:"When it opens again by itself; absent: when the policy says, or never."`
	Policy    string    `json:"policy,omitempty" doc:"Of escalation; absent: none."`
	Level     int       `json:"level,omitempty" doc:"The last one told in this cycle, from 1."`
	Levels    int       `json:"levels,omitempty" doc:"How many the policy has."`
	Cycle     int       `json:"cycle"`
	Exhausted bool      `json:"exhausted,omitempty" doc:"All levels were told, and nobody answered."`
	Held      bool      `json:"held,omitempty" doc:"A level is due and waits, as all that fires is muted."`
	Firing    int       `json:"firing" doc:"Alerts that fire."`
	Resolved  int       `json:"resolved" doc:"Alerts that have ended."`
}

// IncidentPolicy is the escalation policy as it was when the incident began.
type IncidentPolicy struct {
	Name        string          `json:"name"`
	GroupBy     []string        `json:"group_by,omitempty"`
	Levels      []IncidentLevel `json:"levels,omitempty"`
	Repeat      int             `json:"repeat,omitempty"`
	Cycle       float64         `json:"cycle_seconds,omitempty"`
	AckTimeout  float64         `json:"ack_timeout_seconds,omitempty"`
	OnExhausted []string        `json:"on_exhausted,omitempty"`
}

// IncidentLevel is one step of it.
type IncidentLevel struct {
	After   float64  `json:"after_seconds" doc:"From the start of the cycle."`
	Targets []string `json:"targets"`
	While   string   `json:"while" enum:"unacked,unresolved"`
	Active  []string `json:"active,omitempty" doc:"Time intervals in which it is told."`
}

// IncidentTold is who was told by the policy.
type IncidentTold struct {
	Target string    `json:"target"`
	At     time.Time `json:"at"`
	Cycle  int       `json:"cycle"`
	Level  int       `json:"level,omitempty" doc:"Absent: that the policy is exhausted."`
}

// IncidentDetail is one incident with all about it.
type IncidentDetail struct {
	Incident
	Alerts  []Alert        `json:"alerts" doc:"Those that fire first; of those that have ended the last that are known."`
	Plan    IncidentPolicy `json:"plan,omitzero" doc:"Its policy."`
	Told    []IncidentTold `json:"told,omitempty" doc:"Whom the policy had told last, and of what."`
	History []AlertEvent   `json:"history,omitempty" doc:"What happened, the oldest first; the last 200."`
	// HistoryError tells why there is none; the rest is there.
	HistoryError string `json:"history_error,omitempty"`
}

func labelMap(l alerts.Labels) map[string]string {
	m := make(map[string]string, len(l))
	for _, x := range l {
		m[x.Name] = x.Value
	}
	return m
}

func alertView(a *alerts.Alert) Alert {
	v := Alert{Key: string(a.Key), Tenant: a.Tenant, State: alerts.Firing, Severity: string(a.Severity()), Rule: a.Rule, File: a.File, Group: a.Group,
		Labels: labelMap(a.Labels), Annotations: labelMap(a.Annotations), Value: strconv.FormatFloat(a.Value, 'g', -1, 64),
		ActiveAt: a.ActiveAt.UTC(), FiredAt: a.FiredAt.UTC(), ResolvedAt: a.ResolvedAt.UTC(), EndsAt: a.EndsAt.UTC(), Incident: a.Incident, Trace: a.Trace}
	if !a.ResolvedAt.IsZero() {
		v.State = alerts.Resolved
	}
	return v
}

func incidentView(i *alerts.Incident) Incident {
	return Incident{ID: i.ID, Tenant: i.Tenant, Title: i.Title, Severity: string(i.Severity), State: string(i.Status),
		OpenedAt: i.OpenedAt.UTC(), ClosedAt: i.ClosedAt.UTC(), AckedBy: i.AckedBy, AckedAt: i.AckedAt.UTC(), AckUntil: i.AckUntil.UTC(),
		Policy: i.Policy.Name, Level: i.Level, Levels: len(i.Policy.Levels), Cycle: i.Cycle, Exhausted: i.Exhausted, Held: i.Held,
		Firing: len(i.Firing), Resolved: len(i.Resolved)}
}

func policyView(p *alerts.Policy) IncidentPolicy {
	v := IncidentPolicy{Name: p.Name, GroupBy: p.GroupBy, Repeat: p.Repeat, Cycle: p.Cycle().Seconds(), AckTimeout: p.AckTimeout.Seconds(), OnExhausted: p.OnExhausted}
	for _, l := range p.Levels {
		v.Levels = append(v.Levels, IncidentLevel{After: l.After.Seconds(), Targets: l.Targets, While: string(l.While), Active: l.Active})
	}
	return v
}

// hostOf is an address without its port.
func hostOf(peer string) string {
	if host, _, err := net.SplitHostPort(peer); err == nil {
		return host
	}
	return peer
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
