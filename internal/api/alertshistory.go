package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/alerting/stats"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

const (
	// maxEvents is the largest page of history.
	maxEvents = 1000
	// maxIncidentEvents are shown of one incident.
	maxIncidentEvents = 200
	// historySlack is how much earlier than the opening of an incident its history
	// begins: the times are of two clocks.
	historySlack = time.Minute
	// defaultHistory and defaultStats are how far back is looked by default.
	defaultHistory = 24 * time.Hour
	defaultStats   = 7 * 24 * time.Hour
)

// AlertHistory is a page of what happened, the oldest first.
type AlertHistory struct {
	Events []AlertEvent `json:"events"`
	Next   string       `json:"next,omitempty" doc:"The cursor of the next page; absent on the last one."`
}

// registerAlertHistory adds what reads the log of alerts.
func (a *API) registerAlertHistory() {
	huma.Register(a.huma, patient(read("list-alert-history", "/alerts/history", tagAlerts, "What happened to alerts, the oldest first, as long as history.retention keeps it"), readPatience), a.alertHistory)
	huma.Register(a.huma, patient(read("get-alert-stats", "/alerts/stats", tagAlerts, "Statistics of what happened to alerts"), readPatience), a.alertStats)
}

// errEnough ends reading.
var errEnough = errors.New("enough")

// eventPlace is a place in the history: behind so many events of an entry.
type eventPlace struct {
	stored time.Time
	at     uint64
	n      int
}

func (p eventPlace) format() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d %d", p.stored.UnixNano(), p.at, p.n))
}

func parseEventPlace(text string) (p eventPlace, err error) {
	if text == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	var nanos int64
	if err == nil {
		_, err = fmt.Sscanf(string(b), "%d %d %d", &nanos, &p.at, &p.n)
	}
	if err != nil || p.n < 0 {
		return p, huma.Error422UnprocessableEntity("cursor is not one that this API gave: begin without, and use next of each page")
	}
	p.stored = time.Unix(0, nanos).UTC()
	return p, nil
}

// behind tells whether an event comes after a place. Position and number count in the
// same instant alone, as a log that was lost begins its positions anew.
func (p eventPlace) behind(stored time.Time, at uint64, n int) bool {
	return !stored.Equal(p.stored) || at > p.at || at == p.at && n > p.n
}

func (a *API) alertHistory(ctx context.Context, in *struct {
	Since    time.Time `query:"since" doc:"Stored at this time or later; absent: 24 hours ago."`
	Until    time.Time `query:"until" doc:"Stored before this time; absent: now."`
	Kind     []string  `query:"kind,explode" maxItems:"30" doc:"Kinds of events; absent: all."`
	Tenant   []string  `query:"tenant,explode" maxItems:"100" doc:"Tenants; absent: all that who asks may see."`
	Incident string    `query:"incident" maxLength:"64" doc:"Id of an incident."`
	Newest   bool      `query:"newest" doc:"The last events that there are, in place of the first; there is no next page then."`
	Limit    int       `query:"limit" minimum:"0" maximum:"1000" doc:"How many a page; 0: 1000."`
	Cursor   string    `query:"cursor" maxLength:"200" doc:"Only those behind this: next of the page before."`
}) (*answer[AlertHistory], error) {
	s, err := a.alerter()
	if err != nil {
		return nil, err
	}
	c := chosen{kinds: in.Kind, incident: in.Incident}
	if c.tenants, err = scopeOf(ctx).of(in.Tenant); err != nil {
		return nil, err
	}
	from, err := parseEventPlace(in.Cursor)
	if err != nil {
		return nil, err
	}
	since := in.Since
	if since.IsZero() {
		since = time.Now().Add(-defaultHistory)
	}
	if from.stored.After(since) {
		since = from.stored
	}
	if !in.Until.IsZero() && !since.Before(in.Until) {
		return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("since is %s and until is %s: nothing is between", since.UTC().Format(time.RFC3339), in.Until.UTC().Format(time.RFC3339)))
	}
	limit := in.Limit
	if limit == 0 {
		limit = maxEvents
	}
	out := AlertHistory{Events: []AlertEvent{}}
	tell := newNarrator(s.State())
	var last eventPlace // of the last one that was taken
	var at uint64
	n := 0
	err = s.History(ctx, since, func(entry uint64, stored time.Time, e *alerts.Event) error {
		if n++; entry != at {
			at, n = entry, 1
		}
		if !in.Until.IsZero() && !stored.Before(in.Until) {
			return errEnough
		}
		v := tell.view(entry, stored, e) // also of what is not wanted: it may name what is
		if !from.behind(stored, entry, n) || !c.has(e) {
			return nil
		}
		switch {
		case len(out.Events) < limit:
		case in.Newest:
			out.Events = out.Events[1:]
		default:
			out.Next = last.format()
			return errEnough
		}
		last = eventPlace{stored, entry, n}
		out.Events = append(out.Events, v)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, alertProblem(err)
	}
	return &answer[AlertHistory]{out}, nil
}

// incidentHistory is what happened to an incident, the last of it.
func incidentHistory(ctx context.Context, s alerting.Service, i *alerts.Incident) ([]AlertEvent, error) {
	keys := append(append([]alerts.Key(nil), i.Firing...), i.Resolved...)
	var out []AlertEvent
	tell := newNarrator(s.State())
	err := s.History(ctx, i.OpenedAt.Add(-historySlack), func(at uint64, stored time.Time, e *alerts.Event) error {
		if e.Tenant != i.Tenant || !ofIncident(e, i.ID, keys) {
			return nil
		}
		if len(out) == maxIncidentEvents {
			out = out[1:]
		}
		out = append(out, tell.view(at, stored, e))
		return nil
	})
	return out, err
}

func (a *API) alertStats(ctx context.Context, in *struct {
	Since  time.Time `query:"since" doc:"Of what was stored at this time or later; absent: 7 days ago."`
	Until  time.Time `query:"until" doc:"And before this time; absent: now."`
	Tenant []string  `query:"tenant,explode" maxItems:"100" doc:"Tenants; absent: all that who asks may see."`
	Rules  int       `query:"rules" minimum:"0" maximum:"5000" default:"20" doc:"How many rules, the noisiest; 0: all."`
}) (*answer[stats.Stats], error) {
	s, err := a.alerter()
	if err != nil {
		return nil, err
	}
	var c chosen
	if c.tenants, err = scopeOf(ctx).of(in.Tenant); err != nil {
		return nil, err
	}
	until, since := in.Until, in.Since
	if until.IsZero() {
		until = time.Now().Add(historySlack) // by the clock of the queue it may be later
	}
	if since.IsZero() {
		since = time.Now().Add(-defaultStats)
	}
	if !since.Before(until) {
		return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("since is %s and until is %s: nothing is between", since.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339)))
	}
	f := stats.New(since, until)
	err = s.History(ctx, since, func(_ uint64, stored time.Time, e *alerts.Event) error {
		if !stored.Before(until) {
			return errEnough
		}
		if c.has(e) {
			f.Add(stored, e)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, alertProblem(err)
	}
	return &answer[stats.Stats]{f.Stats(in.Rules)}, nil
}
