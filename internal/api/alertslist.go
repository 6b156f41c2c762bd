package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// AlertList is a page of alerts, the newest first.
type AlertList struct {
	Alerts   []Alert `json:"alerts"`
	Next     string  `json:"next,omitempty" doc:"The cursor of the next page; absent on the last one."`
	Position uint64  `json:"position" doc:"Of the log of alerts, at least: after of a watch that goes on from here."`
}

// IncidentList is a page of incidents, the newest first.
type IncidentList struct {
	Incidents []Incident `json:"incidents"`
	Next      string     `json:"next,omitempty" doc:"The cursor of the next page; absent on the last one."`
	Position  uint64     `json:"position" doc:"Of the log of alerts, at least: after of a watch that goes on from here."`
}

// AlertQuery chooses among alerts or incidents.
type AlertQuery struct {
	Severity []string `query:"severity,explode" maxItems:"20" doc:"Values of the label severity; absent: all."`
	Tenant   []string `query:"tenant,explode" maxItems:"100" doc:"Tenants; absent: all that who asks may see."`
	Rule     string   `query:"rule" maxLength:"256" doc:"Name of the rule."`
	Match    []string `query:"match,explode" maxItems:"20" doc:"Matchers in the syntax of Alertmanager, as service=\"checkout\" or severity=~\"error|critical\"; all must hold. An incident is meant if one of its alerts is."`
	Limit    int      `query:"limit" minimum:"0" maximum:"1000" doc:"How many a page; 0: 1000."`
	Cursor   string   `query:"cursor" maxLength:"200" doc:"Only those behind this: next of the page before."`
}

// filter is what a query chooses of what a request may see.
func (q *AlertQuery) filter(ctx context.Context, s alerting.Service, states []string) (alerts.Filter, error) {
	f := alerts.Filter{States: states, Rule: q.Rule, Limit: q.Limit}
	for _, v := range q.Severity {
		f.Severities = append(f.Severities, alerts.Severity(v))
	}
	var err error
	if f.Tenants, err = scopeOf(ctx).of(q.Tenant); err != nil {
		return f, err
	}
	if len(q.Match) > 0 {
		if f.Match, err = s.Matcher(q.Match); err != nil {
			return f, huma.Error422UnprocessableEntity(err.Error())
		}
	}
	f.Behind, err = parseCursor(q.Cursor)
	return f, err
}

// formatCursor is a place in a list as text.
func formatCursor(c alerts.Cursor) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.Since.UnixNano(), 10) + " " + c.ID))
}

func parseCursor(text string) (alerts.Cursor, error) {
	if text == "" {
		return alerts.Cursor{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	nanos, id, ok := strings.Cut(string(b), " ")
	n, bad := strconv.ParseInt(nanos, 10, 64)
	if err != nil || !ok || bad != nil || id == "" {
		return alerts.Cursor{}, huma.Error422UnprocessableEntity("cursor is not one that this API gave: begin without, and use next of each page")
	}
	return alerts.Cursor{Since: time.Unix(0, n).UTC(), ID: id}, nil
}

func pageSize(limit int) int {
	if limit == 0 {
		return alerts.MaxList
	}
	return limit
}

// registerAlertLists adds what lists alerts and incidents.
func (a *API) registerAlertLists() {
	huma.Register(a.huma, read("list-alerts", "/alerts", tagAlerts, "Alerts that fire, and those that have ended a while ago, the newest first"), a.listAlerts)
	huma.Register(a.huma, read("list-incidents", "/alerts/incidents", tagAlerts, "Incidents that go on, and those that have closed a while ago, the newest first"), a.listIncidents)
	huma.Register(a.huma, patient(read("get-incident", "/alerts/incidents/{id}", tagAlerts, "One incident, with its alerts, its policy, who was told and what happened", http.StatusNotFound, http.StatusConflict), readPatience), a.getIncident)
}

func (a *API) listAlerts(ctx context.Context, in *struct {
	State []string `query:"state,explode" enum:"firing,resolved" doc:"Absent: all."`
	AlertQuery
}) (*answer[AlertList], error) {
	s, err := a.known()
	if err != nil {
		return nil, err
	}
	f, err := in.filter(ctx, s, in.State)
	if err != nil {
		return nil, err
	}
	out := AlertList{Alerts: []Alert{}, Position: s.State().At()}
	list := s.State().Alerts(f)
	for n := range list {
		out.Alerts = append(out.Alerts, fullAlertView(ctx, s, &list[n]))
	}
	if len(list) == pageSize(in.Limit) {
		out.Next = formatCursor(list[len(list)-1].Cursor())
	}
	return &answer[AlertList]{out}, nil
}

// fullAlertView has what the routes say of an alert too.
func fullAlertView(ctx context.Context, s alerting.Service, x *alerts.Alert) Alert {
	v := alertView(x)
	v.Receivers = s.ReceiversOf(x.Labels)
	if x.ResolvedAt.IsZero() {
		v.Muted = s.Muted(ctx, x)
	}
	return v
}

func (a *API) listIncidents(ctx context.Context, in *struct {
	State []string `query:"state,explode" enum:"open,acked,closed" doc:"Absent: all."`
	AlertQuery
}) (*answer[IncidentList], error) {
	s, err := a.known()
	if err != nil {
		return nil, err
	}
	f, err := in.filter(ctx, s, in.State)
	if err != nil {
		return nil, err
	}
	out := IncidentList{Incidents: []Incident{}, Position: s.State().At()}
	list := s.State().Incidents(f)
	for n := range list {
		out.Incidents = append(out.Incidents, incidentView(&list[n]))
	}
	if len(list) == pageSize(in.Limit) {
		out.Next = formatCursor(list[len(list)-1].Cursor())
	}
	return &answer[IncidentList]{out}, nil
}

// IncidentName is how a request names an incident.
type IncidentName struct {
	ID string `path:"id" maxLength:"64" doc:"Of the incident, or its beginning or end where only one has that; 4 characters at least."`
}

// leastName is how much of an id names something.
const leastName = 4

// find is the incident of an id, or of a part of one, among those that who asks may
// see. One of another tenant is not known.
func (n *IncidentName) find(ctx context.Context, s alerting.Service) (alerts.Incident, error) {
	sc := scopeOf(ctx)
	id := strings.ToUpper(n.ID)
	if i, ok := s.State().Incident(id); ok && sc.has(i.Tenant) {
		return i, nil
	}
	var found []alerts.Incident
	if len(id) >= leastName {
		tenants, err := sc.of(nil)
		if err != nil {
			return alerts.Incident{}, err
		}
		for f := (alerts.Filter{Tenants: tenants}); ; {
			page := s.State().Incidents(f)
			for _, i := range page {
				if strings.HasPrefix(i.ID, id) || strings.HasSuffix(i.ID, id) {
					found = append(found, i)
				}
			}
			if len(page) < alerts.MaxList {
				break
			}
			f.Behind = page[len(page)-1].Cursor()
		}
	}
	switch len(found) {
	case 0:
		return alerts.Incident{}, fmt.Errorf("incident %s is %w, or has ended long ago; penstock alerts ls has those that go on", quoted(n.ID), alerts.ErrUnknown)
	case 1:
		return found[0], nil
	}
	var ids []string
	for _, i := range found[:min(len(found), 5)] {
		ids = append(ids, i.ID)
	}
	slices.Sort(ids)
	return alerts.Incident{}, huma.Error409Conflict(fmt.Sprintf("%s is part of the ids of %d incidents, among them %s: say more of it", quoted(n.ID), len(found), strings.Join(ids, ", ")))
}

// maxShown bounds the alerts of one incident that are shown.
const maxShown = 1000

func (a *API) getIncident(ctx context.Context, in *struct {
	IncidentName
	History bool `query:"history" default:"true" doc:"With what happened, which is read from the log of alerts."`
}) (*answer[IncidentDetail], error) {
	s, err := a.known()
	if err != nil {
		return nil, err
	}
	i, err := in.find(ctx, s)
	if err != nil {
		return nil, alertProblem(err)
	}
	out := IncidentDetail{Incident: incidentView(&i), Alerts: []Alert{}, Plan: policyView(&i.Policy)}
	for _, keys := range [][]alerts.Key{i.Firing, i.Resolved} {
		for _, k := range keys {
			if x, ok := s.State().Alert(k); ok && len(out.Alerts) < maxShown {
				out.Alerts = append(out.Alerts, fullAlertView(ctx, s, &x))
			}
		}
	}
	for _, t := range i.Told {
		out.Told = append(out.Told, IncidentTold{t.Target, t.At.UTC(), t.Cycle, t.Level})
	}
	if in.History {
		if out.History, err = incidentHistory(ctx, s, &i); err != nil {
			out.HistoryError = err.Error()
		}
	}
	return &answer[IncidentDetail]{out}, nil
}
