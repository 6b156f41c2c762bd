package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/topology"
)

// ReplayRequest starts a replay.
type ReplayRequest struct {
	ID string `json:"id,omitempty" maxLength:"64" doc:"Names the job, so that the same request starts it once; absent: a name is made."`
	replay.Spec
}

// RedriveRequest starts a redrive.
type RedriveRequest struct {
	ID string `json:"id,omitempty" maxLength:"64" doc:"Names the job, so that the same request starts it once; absent: a name is made."`
	replay.Redrive
}

// registerReplay adds what starts jobs.
func (a *API) registerReplay() {
	huma.Register(a.huma, patient(operate(http.MethodPost, "plan-replay", "/replay/plan", "replay", "What a replay would send, before anything moves", http.StatusNotFound), readPatience),
		func(ctx context.Context, in *struct{ Body replay.Spec }) (*answer[replay.Plan], error) {
			b, err := a.with()
			if err != nil {
				return nil, err
			}
			s := in.Body
			if err := s.Validate(); err != nil {
				return nil, huma.Error422UnprocessableEntity(err.Error())
			}
			b.defaultRate(&s.Rate, s.Unlimited)
			p, err := replay.MakePlan(ctx, b.Queue, b.Plan, s)
			a.acted(ctx, "plan replay", err, "spec", s)
			if err != nil {
				return nil, problem(err)
			}
			if note := b.unknown(ctx, s.Destination); note != "" {
				p.Notes = append(p.Notes, note)
			}
			return &answer[replay.Plan]{p}, nil
		})
	start := operate(http.MethodPost, "start-replay", "/replay", "replay", "Start a replay; a worker takes it within seconds", http.StatusConflict, http.StatusNotFound)
	start.DefaultStatus = http.StatusCreated
	huma.Register(a.huma, start, func(ctx context.Context, in *struct{ Body ReplayRequest }) (*answer[JobView], error) {
		b, err := a.with()
		if err != nil {
			return nil, err
		}
		s := in.Body.Spec
		if err := s.Validate(); err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
		if err := b.nowhere(ctx, s.Destination); err != nil {
			return nil, err
		}
		b.defaultRate(&s.Rate, s.Unlimited)
		j, err := replay.Start(ctx, b.Jobs, b.Queue, b.Plan, s, replay.StartOptions{ID: in.Body.ID, By: by(ctx)})
		return a.started(ctx, b, "start replay", s.Destination, j, err)
	})
	redrive := operate(http.MethodPost, "redrive-letters", "/dlq/redrive", "dead letters", "Deliver dead letters again, as a job; what is confirmed leaves the dead-letter stream", http.StatusConflict, http.StatusNotFound)
	redrive.DefaultStatus = http.StatusCreated
	huma.Register(a.huma, redrive, func(ctx context.Context, in *struct{ Body RedriveRequest }) (*answer[JobView], error) {
		b, err := a.with()
		if err != nil {
			return nil, err
		}
		r := in.Body.Redrive
		if err := r.Validate(); err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
		if err := b.nowhere(ctx, r.Destination); err != nil {
			return nil, err
		}
		b.defaultRate(&r.Rate, r.Unlimited)
		j, err := replay.StartRedrive(ctx, b.Jobs, b.Queue, r, replay.StartOptions{ID: in.Body.ID, By: by(ctx)})
		return a.started(ctx, b, "redrive dead letters", r.Destination, j, err)
	})
}

// started answers with a new job, and with why it may have to wait.
func (a *API) started(ctx context.Context, b *Backend, action, destination string, j job.Job, err error) (*answer[JobView], error) {
	a.acted(ctx, action, err, "job", j.ID, "spec", string(j.Spec))
	if err != nil {
		return nil, jobProblem(err)
	}
	v := View(j)
	if v.Why == "" {
		v.Why = b.unknown(ctx, destination)
	}
	return &answer[JobView]{v}, nil
}

// defaultRate is that of this process's configuration.
func (b *Backend) defaultRate(rate *config.ByteSize, unlimited bool) {
	if *rate == 0 && !unlimited {
		*rate = b.ReplayRate()
	}
}

// nowhere refuses a destination that nobody has ever heard of: neither a running
// process nor the queue, where one whose workers are away has its place. Its job
// would wait, and hold what it wants, for ever.
func (b *Backend) nowhere(ctx context.Context, destination string) error {
	if destination == "" || slices.ContainsFunc(b.Plan.Destinations, func(d topology.Destination) bool { return d.Name == destination }) {
		return nil
	}
	known, err := b.liveDestinations(ctx)
	if err != nil {
		return problem(err)
	}
	view := b.Watch.Fresh(ctx, fresh)
	for _, l := range view.Lags {
		known[l.Destination] = append(known[l.Destination], "")
	}
	if len(known[destination]) > 0 || view.Error != "" {
		return nil
	}
	return huma.Error404NotFound(fmt.Sprintf("there is no destination %s, neither at a running process nor in the queue; there are: %s",
		destination, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
}

// unknown says that no live process exports to a destination; "" when one does,
// or when that is not known.
func (b *Backend) unknown(ctx context.Context, destination string) string {
	if destination == "" {
		return ""
	}
	known, err := b.liveDestinations(ctx)
	if err != nil || len(known[destination]) > 0 {
		return ""
	}
	return fmt.Sprintf("no running worker has the destination %s: the job waits until one does; penstock status names those that there are", destination)
}
