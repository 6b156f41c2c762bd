package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// longestFor bounds how long an ack or a silence may be said to hold.
const longestFor = 366 * 24 * time.Hour

// AckRequest takes an incident.
type AckRequest struct {
	AlertActor
	Comment string `json:"comment,omitempty" maxLength:"1024" doc:"Why, or what is being done."`
	For     string `json:"for,omitempty" maxLength:"32" doc:"After how long it opens again if it still goes on, as 30m or 1h; absent: when its policy says, or never." example:"1h"`
}

// IncidentRequest gives an incident back, or ends it.
type IncidentRequest struct {
	AlertActor
	Comment string `json:"comment,omitempty" maxLength:"1024" doc:"Why."`
}

// registerIncidentActions adds what people do with incidents.
func (a *API) registerIncidentActions() {
	const path = "/alerts/incidents/{id}/"
	wrong := []int{http.StatusNotFound, http.StatusConflict, http.StatusInsufficientStorage}
	huma.Register(a.huma, operate(http.MethodPost, "ack-incident", path+"ack", tagAlerts, "Take an incident: its policy tells nobody else", wrong...),
		func(ctx context.Context, in *struct {
			IncidentName
			Body *AckRequest
		}) (*answer[Incident], error) {
			b := orZero(in.Body)
			return a.actOn(ctx, "ack incident", in.IncidentName, IncidentRequest{b.AlertActor, b.Comment}, func(s *alerts.State, id, who string) ([]alerts.Event, error) {
				at := now()
				until, err := untilOf(b.For, at)
				if err != nil {
					return nil, err
				}
				return s.Ack(id, who, b.Comment, until, at)
			}, "for", b.For)
		})
	huma.Register(a.huma, operate(http.MethodPost, "unack-incident", path+"unack", tagAlerts, "Give an incident back: its policy begins again", wrong...),
		func(ctx context.Context, in *struct {
			IncidentName
			Body *IncidentRequest
		}) (*answer[Incident], error) {
			b := orZero(in.Body)
			return a.actOn(ctx, "unack incident", in.IncidentName, b, func(s *alerts.State, id, who string) ([]alerts.Event, error) {
				return s.Unack(id, who, b.Comment, now())
			})
		})
	huma.Register(a.huma, operate(http.MethodPost, "resolve-incident", path+"resolve", tagAlerts, "End an incident and its alerts; what the next evaluation still finds fires again", wrong...),
		func(ctx context.Context, in *struct {
			IncidentName
			Body *IncidentRequest
		}) (*answer[Incident], error) {
			b := orZero(in.Body)
			return a.actOn(ctx, "resolve incident", in.IncidentName, b, func(s *alerts.State, id, who string) ([]alerts.Event, error) {
				return s.Resolve(id, who, b.Comment, now())
			})
		})
}

// orZero is a body, or an empty one where there was none.
func orZero[T any](b *T) T {
	if b == nil {
		var none T
		return none
	}
	return *b
}

// untilOf is when something ends that holds for a while; zero for "".
func untilOf(text string, at time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	d, err := config.ParseDuration(text)
	if err != nil {
		return time.Time{}, huma.Error422UnprocessableEntity("for is " + err.Error())
	}
	if d.D() <= 0 || d.D() > longestFor {
		return time.Time{}, huma.Error422UnprocessableEntity("for is " + d.String() + ": want more than 0s, and at most 366d")
	}
	return at.Add(d.D()), nil
}

// actOn does something with an incident, and answers with what is of it then.
func (a *API) actOn(ctx context.Context, action string, name IncidentName, b IncidentRequest, decide func(s *alerts.State, id, who string) ([]alerts.Event, error), args ...any) (*answer[Incident], error) {
	s, err := a.known()
	if err != nil {
		return nil, err
	}
	who, err := b.actor(ctx)
	if err != nil {
		return nil, err
	}
	i, err := name.find(ctx, s)
	if err != nil {
		a.acted(ctx, action, err, "incident", name.ID, "by", who)
		return nil, alertProblem(err)
	}
	args = append([]any{"incident", i.ID, "title", i.Title, "tenant", i.Tenant, "by", who, "comment", b.Comment}, args...)
	if err := a.change(ctx, s, action, func() ([]alerts.Event, error) { return decide(s.State(), i.ID, who) }, args...); err != nil {
		return nil, err
	}
	return answerIncident(s, i.ID)
}

func answerIncident(s alerting.Service, id string) (*answer[Incident], error) {
	i, ok := s.State().Incident(id)
	if !ok {
		return nil, huma.Error503ServiceUnavailable("it is done, and the log of alerts began anew meanwhile: look again in a moment")
	}
	return &answer[Incident]{incidentView(&i)}, nil
}
