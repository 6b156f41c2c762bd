package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// States of a Silence.
const (
	silencePending = "pending"
	silenceActive  = "active"
	silenceExpired = "expired"
)

// Silence keeps notifications of matching alerts of a tenant back.
type Silence struct {
	ID       string    `json:"id"`
	Tenant   string    `json:"tenant,omitempty"`
	State    string    `json:"state" enum:"pending,active,expired"`
	Matchers []string  `json:"matchers" doc:"In the syntax of Alertmanager."`
	Starts   time.Time `json:"starts"`
	Ends     time.Time `json:"ends"`
	By       string    `json:"by"`
	Comment  string    `json:"comment,omitempty"`
	Firing   int       `json:"firing" doc:"Alerts that fire now, up to 1000, that it matches."`
}

// SilenceList is all of them, those that hold first.
type SilenceList struct {
	Silences []Silence `json:"silences"`
}

// SilenceRequest makes a silence.
type SilenceRequest struct {
	AlertActor
	Tenant   string    `json:"tenant,omitempty" maxLength:"256" doc:"Whose alerts; absent: the only tenant of who asks, else those without a tenant."`
	Matchers []string  `json:"matchers" minItems:"1" maxItems:"50" doc:"In the syntax of Alertmanager; all must match." example:"[\"service=\\\"checkout\\\"\"]"`
	Starts   time.Time `json:"starts,omitzero" doc:"Absent: now."`
	Ends     time.Time `json:"ends,omitzero" doc:"One of ends and for is needed."`
	For      string    `json:"for,omitempty" maxLength:"32" doc:"How long it holds from its start, as 2h." example:"2h"`
	Comment  string    `json:"comment,omitempty" maxLength:"1024" doc:"Why."`
}

// registerSilences adds the routes of silences.
func (a *API) registerSilences() {
	const path = "/alerts/silences"
	huma.Register(a.huma, read("list-silences", path, tagAlerts, "Silences that hold or will, and those that have ended a while ago"), a.listSilences)
	add := operate(http.MethodPost, "add-silence", path, tagAlerts, "Keep notifications of matching alerts back for a while", http.StatusInsufficientStorage)
	add.DefaultStatus = http.StatusCreated
	huma.Register(a.huma, add, a.addSilence)
	huma.Register(a.huma, operate(http.MethodDelete, "end-silence", path+"/{id}", tagAlerts, "End a silence now", http.StatusNotFound, http.StatusConflict, http.StatusInsufficientStorage), a.endSilence)
}

func (a *API) listSilences(ctx context.Context, in *struct {
	State  []string `query:"state,explode" enum:"pending,active,expired" doc:"Absent: all."`
	Tenant []string `query:"tenant,explode" maxItems:"100" doc:"Tenants; absent: all that who asks may see."`
}) (*answer[SilenceList], error) {
	s, err := a.known()
	if err != nil {
		return nil, err
	}
	tenants, err := scopeOf(ctx).of(in.Tenant)
	if err != nil {
		return nil, err
	}
	out := SilenceList{Silences: []Silence{}}
	at := now()
	for _, w := range s.State().Silences() {
		if len(tenants) > 0 && !slices.Contains(tenants, w.Tenant) {
			continue
		}
		if len(in.State) > 0 && !slices.Contains(in.State, silenceState(&w, at)) {
			continue
		}
		out.Silences = append(out.Silences, silenceView(s, &w, at))
	}
	order := map[string]int{silenceActive: 0, silencePending: 1, silenceExpired: 2}
	slices.SortStableFunc(out.Silences, func(a, b Silence) int { return order[a.State] - order[b.State] })
	return &answer[SilenceList]{out}, nil
}

func silenceState(w *alerts.Silence, at time.Time) string {
	switch {
	case !w.Ends.After(at):
		return silenceExpired
	case w.Starts.After(at):
		return silencePending
	}
	return silenceActive
}

func silenceView(s alerting.Service, w *alerts.Silence, at time.Time) Silence {
	v := Silence{ID: w.ID, Tenant: w.Tenant, State: silenceState(w, at), Matchers: w.Matchers, Starts: w.Starts.UTC(), Ends: w.Ends.UTC(), By: w.By, Comment: w.Comment}
	if match, err := s.Matcher(w.Matchers); err == nil && v.State != silenceExpired {
		v.Firing = len(s.State().Alerts(alerts.Filter{States: []string{alerts.Firing}, Tenants: []string{w.Tenant}, Match: match}))
	}
	return v
}

// tenant is whose alerts a silence is for.
func (b *SilenceRequest) tenant(ctx context.Context) (string, error) {
	sc := scopeOf(ctx)
	switch {
	case b.Tenant == "" && sc.who != nil && len(sc.own()) == 1:
		return sc.own()[0], nil
	case b.Tenant == "" && sc.who != nil:
		return "", huma.Error422UnprocessableEntity("tenant is missing: " + sc.who.Subject + " has " + quoted(sc.own()...) + ", name one")
	case !sc.has(b.Tenant):
		return "", sc.refused(b.Tenant)
	}
	return b.Tenant, nil
}

func (a *API) addSilence(ctx context.Context, in *struct{ Body SilenceRequest }) (*answer[Silence], error) {
	s, err := a.known()
	if err != nil {
		return nil, err
	}
	b := in.Body
	w := alerts.Silence{Matchers: b.Matchers, Starts: b.Starts, Ends: b.Ends, Comment: b.Comment}
	if w.By, err = b.actor(ctx); err != nil {
		return nil, err
	}
	if w.Tenant, err = b.tenant(ctx); err != nil {
		return nil, err
	}
	at := now()
	if w.Starts.IsZero() {
		w.Starts = at
	}
	if (b.For == "") == b.Ends.IsZero() {
		return nil, huma.Error422UnprocessableEntity("a silence wants one of for and ends, so that it is not forgotten: say for how long, as \"for\": \"2h\"")
	}
	if b.For != "" {
		if w.Ends, err = untilOf(b.For, w.Starts); err != nil {
			return nil, err
		}
	}
	if w.Ends.Sub(w.Starts) > longestFor {
		return nil, huma.Error422UnprocessableEntity("a silence holds for 366d at most")
	}
	match, err := s.Matcher(b.Matchers)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	if match(nil) {
		return nil, huma.Error422UnprocessableEntity("the matchers " + strings.Join(b.Matchers, " ") + " match every alert: name at least one label that must be there")
	}
	var id string
	err = a.change(ctx, s, "add silence", func() ([]alerts.Event, error) {
		events, err := s.State().Silence(w, at)
		for _, e := range events {
			id = e.Silence.ID
		}
		return events, err
	}, "matchers", b.Matchers, "tenant", w.Tenant, "from", w.Starts.Format(time.RFC3339), "until", w.Ends.Format(time.RFC3339), "by", w.By, "comment", w.Comment)
	if err != nil {
		return nil, err
	}
	w.ID = id
	return &answer[Silence]{silenceView(s, &w, at)}, nil
}

// findSilence is that of an id or of a part of one, among those that who asks may see.
func findSilence(ctx context.Context, s alerting.Service, name string) (alerts.Silence, error) {
	sc, id := scopeOf(ctx), strings.ToUpper(name)
	var found []alerts.Silence
	for _, w := range s.State().Silences() {
		if !sc.has(w.Tenant) {
			continue
		}
		if w.ID == id {
			return w, nil
		}
		if len(id) >= leastName && (strings.HasPrefix(w.ID, id) || strings.HasSuffix(w.ID, id)) {
			found = append(found, w)
		}
	}
	switch len(found) {
	case 0:
		return alerts.Silence{}, fmt.Errorf("silence %s is %w, or has ended long ago; penstock alerts ls --silences has those that hold", quoted(name), alerts.ErrUnknown)
	case 1:
		return found[0], nil
	}
	return alerts.Silence{}, huma.Error409Conflict(fmt.Sprintf("%s is part of the ids of %d silences, among them %s and %s: say more of it", quoted(name), len(found), found[0].ID, found[1].ID))
}

func (a *API) endSilence(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"64" doc:"Of the silence, or its beginning or end where only one has that; 4 characters at least."`
	By string `query:"by" maxLength:"64" doc:"Who does it, where the request does not prove that and comes from this machine."`
}) (*answer[Silence], error) {
	s, err := a.known()
	if err != nil {
		return nil, err
	}
	who, err := AlertActor{in.By}.actor(ctx)
	if err != nil {
		return nil, err
	}
	w, err := findSilence(ctx, s, in.ID)
	if err != nil {
		a.acted(ctx, "end silence", err, "silence", in.ID, "by", who)
		return nil, alertProblem(err)
	}
	at := now()
	err = a.change(ctx, s, "end silence", func() ([]alerts.Event, error) { return s.State().Unsilence(w.ID, who, at) },
		"silence", w.ID, "matchers", w.Matchers, "tenant", w.Tenant, "by", who)
	if err != nil {
		return nil, err
	}
	w.Ends = at
	for _, x := range s.State().Silences() {
		if x.ID == w.ID {
			w = x
		}
	}
	return &answer[Silence]{silenceView(s, &w, w.Ends)}, nil // which may be later by the clock of the log
}
