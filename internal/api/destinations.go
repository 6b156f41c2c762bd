package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/topology"
)

// Dropped is what a destination that was given up had not taken.
type Dropped struct {
	Destination string               `json:"destination"`
	Streams     []topology.Abandoned `json:"streams"`
}

// registerDestinations adds what is done to destinations.
func (a *API) registerDestinations() {
	huma.Register(a.huma, operate(http.MethodDelete, "drop-destination", "/destinations/{name}", "queue",
		"Give up a destination for good: its place in the queue goes, and nothing waits for it any more", http.StatusNotFound, http.StatusConflict), a.dropDestination)
}

func (a *API) dropDestination(ctx context.Context, in *struct {
	Name  string `path:"name" maxLength:"128" doc:"Of the destination."`
	Force bool   `query:"force" doc:"Also while a running process has it, which makes it again at its next start."`
}) (*answer[Dropped], error) {
	b, err := a.with()
	if err != nil {
		return nil, err
	}
	live, err := b.liveDestinations(ctx)
	if err != nil {
		return nil, problem(err)
	}
	if users := live[in.Name]; len(users) > 0 && !in.Force {
		return nil, huma.Error409Conflict(fmt.Sprintf("destination %s is configured at %s, which would make it again: take it out of that configuration first, or set force", in.Name, strings.Join(users, ", ")))
	}
	plan := b.Plan
	if in.Force {
		plan.Destinations = slices.DeleteFunc(slices.Clone(plan.Destinations), func(d topology.Destination) bool { return d.Name == in.Name })
	}
	if slices.ContainsFunc(plan.Destinations, func(d topology.Destination) bool { return d.Name == in.Name }) {
		return nil, huma.Error409Conflict(fmt.Sprintf("destination %s is configured at the process that answers: take it out of that configuration first, or set force", in.Name))
	}
	if _, err := plan.Readers(ctx, b.Queue, in.Name); err != nil { // before the ledger is told
		return nil, problem(err)
	}
	if err := b.Recorder.Drop(ctx, in.Name, by(ctx)); err != nil {
		return nil, problem(err)
	}
	streams, err := plan.Drop(ctx, b.Queue, in.Name)
	a.acted(ctx, "drop destination", err, "destination", in.Name, "force", in.Force, "streams", streams)
	if err != nil {
		return nil, problem(err)
	}
	return &answer[Dropped]{Dropped{in.Name, streams}}, nil
}
