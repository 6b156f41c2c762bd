package alertstest

import (
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Every has an event of each kind, with everything that it may have, and fits as a
// history from the first on.
func Every(at time.Time) []alerts.Event {
	const tenant, incident = "blue", "01J00000000000000000000001"
	labels := alerts.LabelsOf(alerts.Label{Name: "alertname", Value: "High"}, alerts.Label{Name: "cluster", Value: "a\"b"}, alerts.Label{Name: "severity", Value: "warning"})
	k := alerts.KeyOf(tenant, labels)
	policy := alerts.Policy{Name: "p", GroupBy: []string{"alertname"}, Repeat: 2, CycleFor: time.Hour, AckTimeout: 30 * time.Minute, Reopen: 5 * time.Minute,
		Levels:      []alerts.Level{{Targets: []string{"chat"}, While: alerts.Unacked}, {After: 5 * time.Minute, Targets: []string{"pager"}, While: alerts.Unresolved, Active: []string{"office"}}},
		OnExhausted: []string{"boss"}, LowUrgency: []alerts.Severity{"info"}}
	silence := &alerts.Silence{ID: "01J00000000000000000000002", Tenant: tenant, Matchers: []string{`cluster="a"`}, Starts: at, Ends: at.Add(time.Hour), By: "ann", Comment: "works"}
	notified := &alerts.Notified{Group: "g", Receiver: "chat/slack/0", Firing: []alerts.Key{k}, Attempt: 2, Millis: 12, Escalation: true}
	fired := alerts.Event{Kind: alerts.EventFired, Watermark: at, Alert: k, Actor: alerts.ActorRule, Fired: &alerts.Alert{
		Key: k, Tenant: tenant, File: "f.yml", Group: "g", Rule: "High", Labels: labels, Annotations: alerts.LabelsOf(alerts.Label{Name: "summary", Value: "too high"}),
		Value: 1.5, ActiveAt: at.Add(-time.Minute), FiredAt: at, Watermark: at, Trace: "0af7651916cd43dd8448eb211c80319c",
	}}
	joined := fired
	other := *fired.Fired
	other.Labels = alerts.LabelsOf(alerts.Label{Name: "alertname", Value: "High"}, alerts.Label{Name: "cluster", Value: "c"})
	other.Key, other.Incident = alerts.KeyOf(tenant, other.Labels), incident
	joined.Alert, joined.Fired, joined.Incident = other.Key, &other, incident
	posted := other
	posted.File, posted.Group, posted.Incident, posted.Labels = alerts.SourceExternal, "prom.example:9090", "", alerts.LabelsOf(alerts.Label{Name: "alertname", Value: "Posted"})
	posted.Key, posted.EndsAt, posted.Source, posted.Pushed = alerts.KeyOf(tenant, posted.Labels), at.Add(4*time.Minute), "http://prom.example:9090/graph", true
	failed := *notified
	failed.Error = "timeout"
	list := []alerts.Event{
		fired,
		{Kind: alerts.EventResolved, Watermark: at.Add(time.Minute), Alert: k, Actor: alerts.ActorRule, Reason: alerts.ReasonRuleDeleted},
		{Kind: alerts.EventOpened, Incident: incident, Actor: alerts.ActorRule, Opened: &alerts.Incident{ID: incident, Tenant: tenant, Group: `"p" "alertname"="High"`, Title: "High",
			Severity: "warning", Policy: policy, Status: alerts.Open, OpenedAt: at, Cycle: 1, CycleAt: at, Generation: 1}},
		{Kind: alerts.EventEscalated, Incident: incident, Actor: alerts.ActorEscalation, Escalated: &alerts.Escalated{Cycle: 1, Level: 1, Targets: []string{"chat"}}},
		{Kind: alerts.EventAcked, Incident: incident, Actor: "ann", Reason: "I look", Until: at.Add(time.Hour)},
		joined,
		{Kind: alerts.EventJoined, Incident: incident, Actor: alerts.ActorEscalation, Escalated: &alerts.Escalated{Cycle: 1, Level: 1, Targets: []string{"chat"}}},
		{Kind: alerts.EventAckExpired, Incident: incident, Actor: alerts.ActorEscalation},
		{Kind: alerts.EventAcked, Incident: incident, Actor: "bob"},
		{Kind: alerts.EventUnacked, Incident: incident, Actor: "bob"},
		{Kind: alerts.EventHeld, Incident: incident, Actor: alerts.ActorEscalation},
		{Kind: alerts.EventContinued, Incident: incident, Actor: alerts.ActorEscalation},
		{Kind: alerts.EventRepeated, Incident: incident, Actor: alerts.ActorEscalation},
		{Kind: alerts.EventRaised, Incident: incident, Actor: alerts.ActorRule, Severity: "critical"},
		{Kind: alerts.EventExhausted, Incident: incident, Actor: alerts.ActorEscalation, Escalated: &alerts.Escalated{Cycle: 5, Targets: []string{"boss"}}},
		{Kind: alerts.EventClosed, Incident: incident, Actor: alerts.ActorRule},
		{Kind: alerts.EventReopened, Incident: incident, Actor: alerts.ActorRule},
		{Kind: alerts.EventSilenced, Actor: "ann", Reason: "works", Silence: silence},
		{Kind: alerts.EventUnsilenced, Actor: "ann", Silence: &alerts.Silence{ID: silence.ID, Tenant: tenant, Matchers: silence.Matchers, Starts: at, Ends: at, By: "ann"}},
		{Kind: alerts.EventFired, Watermark: at, Alert: posted.Key, Actor: alerts.ActorRule, Fired: &posted},
		{Kind: alerts.EventExtended, Actor: alerts.ActorRule, Until: at.Add(6 * time.Minute), Extended: &alerts.Extended{Group: posted.Group, Except: []alerts.Key{k}}},
		{Kind: alerts.EventNotified, Incident: incident, Notified: notified},
		{Kind: alerts.EventNotifyFailed, Incident: incident, Notified: &failed},
		{Kind: alerts.EventNotifyDropped, Incident: incident, Notified: &alerts.Notified{Group: "g", Receiver: "chat/slack/0", Resolved: []alerts.Key{k}, Error: "404"}},
	}
	for n := range list {
		list[n].At, list[n].Tenant = at, tenant
	}
	return list
}
