package api

import (
	"slices"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Kinds of AlertEvent that are of a watch and not of the log.
const (
	// WatchBegins is the first line of a watch: what is behind its position comes.
	WatchBegins = "begins"
	// WatchReset: what was between is gone, or the log began anew. Lists are to be
	// asked for again; what is behind its position comes.
	WatchReset = "reset"
	// WatchError ends a watch that cannot go on; its Problem says why.
	WatchError = "error"
)

// AlertEvent is one line of what happened to alerts.
type AlertEvent struct {
	Position uint64            `json:"position" doc:"Of its entry in the log of alerts."`
	More     bool              `json:"more,omitempty" doc:"More of the same entry follow: a watch goes on behind the position of the last."`
	Kind     string            `json:"kind" doc:"fired, resolved, opened, reopened, closed, acked, unacked, ack_expired, raised, escalated, repeated, exhausted, joined, held, continued, silenced, unsilenced, notified, notify_failed, notify_dropped, extended (what others post was posted again); of a watch also begins, reset, error."`
	StoredAt time.Time         `json:"stored_at,omitzero" doc:"By the clock of the queue."`
	Tenant   string            `json:"tenant,omitempty"`
	Incident string            `json:"incident,omitempty"`
	Alert    string            `json:"alert,omitempty" doc:"Key of the alert."`
	Title    string            `json:"title,omitempty" doc:"Of the incident, or the rule of the alert."`
	Severity string            `json:"severity,omitempty"`
	Labels   map[string]string `json:"labels,omitempty" doc:"Of an alert that fired."`
	Actor    string            `json:"actor,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Until    time.Time         `json:"until,omitzero" doc:"Of an ack."`
	Cycle    int               `json:"cycle,omitempty"`
	Level    int               `json:"level,omitempty"`
	Targets  []string          `json:"targets,omitempty" doc:"Receivers that are told."`
	Receiver string            `json:"receiver,omitempty" doc:"Of a notification: name/kind/index."`
	Firing   int               `json:"firing,omitempty" doc:"Alerts of which a notification tells that they fire."`
	Resolved int               `json:"resolved,omitempty" doc:"Alerts of which it tells that they have ended."`
	Attempt  int               `json:"attempt,omitempty"`
	Seconds  float64           `json:"seconds,omitempty" doc:"How long sending took."`
	Error    string            `json:"error,omitempty" doc:"Why it was not sent."`
	Silence  string            `json:"silence,omitempty" doc:"Id of the silence."`
	Matchers []string          `json:"matchers,omitempty" doc:"Of the silence."`
	Ends     time.Time         `json:"ends,omitzero" doc:"Of the silence."`
	Problem  string            `json:"problem,omitempty" doc:"Of reset and error: what is wrong."`
}

// maxNames bounds what a narrator remembers.
const maxNames = 10_000

// narrator makes lines of events, and knows the names of what they are about: from the
// state, and from the events before, as those of long ago are not in the state.
type narrator struct {
	state     *alerts.State
	incidents map[string]string
	rules     map[alerts.Key]string
}

func newNarrator(s *alerts.State) *narrator {
	return &narrator{state: s, incidents: map[string]string{}, rules: map[alerts.Key]string{}}
}

func (n *narrator) view(at uint64, stored time.Time, e *alerts.Event) AlertEvent {
	v := AlertEvent{Position: at, Kind: string(e.Kind), StoredAt: stored.UTC(), Tenant: e.Tenant, Incident: e.Incident, Alert: string(e.Alert),
		Actor: e.Actor, Reason: e.Reason, Until: e.Until.UTC(), Severity: string(e.Severity)}
	switch {
	case e.Fired != nil:
		v.Labels, v.Severity, v.Title = labelMap(e.Fired.Labels), string(e.Fired.Severity()), e.Fired.Rule
		if v.Alert == "" {
			v.Alert = string(e.Fired.Key)
		}
		if len(n.rules) < maxNames {
			n.rules[alerts.Key(v.Alert)] = e.Fired.Rule
		}
	case e.Opened != nil:
		v.Title, v.Severity = e.Opened.Title, string(e.Opened.Severity)
		if len(n.incidents) < maxNames {
			n.incidents[e.Incident] = e.Opened.Title
		}
	}
	if x := e.Escalated; x != nil {
		v.Cycle, v.Level, v.Targets = x.Cycle, x.Level, x.Targets
	}
	if x := e.Notified; x != nil {
		v.Receiver, v.Firing, v.Resolved, v.Attempt, v.Seconds, v.Error = x.Receiver, len(x.Firing), len(x.Resolved), x.Attempt, float64(x.Millis)/1000, x.Error
		if v.Title = n.rule(x.Firing); v.Title == "" {
			v.Title = n.rule(x.Resolved)
		}
	}
	if x := e.Silence; x != nil {
		v.Silence, v.Matchers, v.Ends = x.ID, x.Matchers, x.Ends.UTC()
	}
	if v.Title == "" && e.Alert != "" {
		v.Title = n.rule([]alerts.Key{e.Alert})
	}
	if v.Title == "" && e.Incident != "" {
		v.Title = n.incident(e.Incident)
	}
	return v
}

// rule is that of the first alert that is known.
func (n *narrator) rule(keys []alerts.Key) string {
	for _, k := range keys[:min(len(keys), 3)] {
		if name := n.rules[k]; name != "" {
			return name
		}
		if a, ok := n.state.Alert(k); ok {
			return a.Rule
		}
	}
	return ""
}

func (n *narrator) incident(id string) string {
	if name := n.incidents[id]; name != "" {
		return name
	}
	i, _ := n.state.Incident(id)
	return i.Title
}

// chosen are events of some kinds, tenants and an incident; what is empty says nothing.
type chosen struct {
	kinds    []string
	tenants  []string
	incident string
}

func (c *chosen) has(e *alerts.Event) bool {
	return (len(c.kinds) == 0 || slices.Contains(c.kinds, string(e.Kind))) &&
		(len(c.tenants) == 0 || slices.Contains(c.tenants, e.Tenant)) &&
		(c.incident == "" || ofIncident(e, c.incident, nil))
}

// groupOfIncident begins the group of what a policy has told; internal/alerter makes it.
const groupOfIncident = "incident/"

// ofIncident tells whether an event is of an incident, or a notification of one of its
// alerts.
func ofIncident(e *alerts.Event, id string, keys []alerts.Key) bool {
	if e.Incident == id {
		return true
	}
	x := e.Notified
	if x == nil {
		return false
	}
	is := func(k alerts.Key) bool { return slices.Contains(keys, k) }
	return x.Group == groupOfIncident+id || slices.ContainsFunc(x.Firing, is) || slices.ContainsFunc(x.Resolved, is)
}
