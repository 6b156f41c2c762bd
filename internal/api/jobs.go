package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
)

// JobView is a job, and what is made of it for who reads.
type JobView struct {
	job.Job
	Ratio float64 `json:"ratio" doc:"The part that was looked at, 0 to 1, by messages."`
	Why   string  `json:"why,omitempty" doc:"Why it does not move."`
}

// View makes a JobView.
func View(j job.Job) JobView {
	return JobView{Job: j, Ratio: j.Progress.Ratio(), Why: j.Why(time.Now())}
}

// Jobs is a list of them, the youngest first.
type Jobs struct {
	Jobs []JobView `json:"jobs"`
	// Error tells of jobs that cannot be read; the others are there.
	Error string `json:"error,omitempty"`
}

// Filter of a list of jobs.
type jobFilter struct {
	Phase []job.Phase `query:"phase" enum:"pending,running,paused,done,failed,cancelled" doc:"Those in one of these phases alone."`
}

type jobName struct {
	ID string `path:"id" maxLength:"64" doc:"Of the job."`
}

// registerJobs adds the routes of jobs of every kind at /jobs, and those of
// replays at /replay.
func (a *API) registerJobs() {
	for _, at := range []struct{ path, kind, one, tag string }{{"/jobs", "", "job", "replay"}, {"/replay", replay.KindReplay, "replay", "replay"}} {
		huma.Register(a.huma, read("list-"+at.one+"s", at.path, at.tag, "All "+at.one+"s, the youngest first"),
			func(ctx context.Context, in *jobFilter) (*answer[Jobs], error) {
				return a.listJobs(ctx, at.kind, in.Phase)
			})
		huma.Register(a.huma, read("get-"+at.one, at.path+"/{id}", at.tag, "One "+at.one+" and how far it is", http.StatusNotFound),
			func(ctx context.Context, in *jobName) (*answer[JobView], error) { return a.getJob(ctx, at.kind, in.ID) })
		for verb, wish := range map[string]job.Wish{"pause": job.WishPause, "resume": job.WishRun, "cancel": job.WishCancel} {
			op := operate(http.MethodPost, verb+"-"+at.one, at.path+"/{id}/"+verb, at.tag, "Ask a "+at.one+" to "+verb, http.StatusNotFound, http.StatusConflict)
			huma.Register(a.huma, op, func(ctx context.Context, in *jobName) (*answer[JobView], error) {
				return a.wish(ctx, at.kind, verb, in.ID, wish)
			})
		}
	}
}

func (a *API) listJobs(ctx context.Context, kind string, phases []job.Phase) (*answer[Jobs], error) {
	b, err := a.with()
	if err != nil {
		return nil, err
	}
	list, err := b.Jobs.List(ctx, kind)
	if err != nil && len(list) == 0 {
		return nil, problem(err)
	}
	out := Jobs{Jobs: []JobView{}}
	if err != nil {
		out.Error = err.Error()
	}
	for _, j := range list {
		if len(phases) == 0 || slices.Contains(phases, j.Phase) {
			out.Jobs = append(out.Jobs, View(j))
		}
	}
	return &answer[Jobs]{out}, nil
}

func (a *API) getJob(ctx context.Context, kind, id string) (*answer[JobView], error) {
	b, err := a.with()
	if err != nil {
		return nil, err
	}
	j, err := b.Jobs.Get(ctx, id)
	if err == nil && kind != "" && j.Kind != kind {
		err = fmt.Errorf("job %s is a %s, no %s: %w", id, j.Kind, kind, job.ErrNotFound)
	}
	if err != nil {
		return nil, jobProblem(err)
	}
	return &answer[JobView]{View(j)}, nil
}

func (a *API) wish(ctx context.Context, kind, verb, id string, w job.Wish) (*answer[JobView], error) {
	b, err := a.with()
	if err != nil {
		return nil, err
	}
	if _, err := a.getJob(ctx, kind, id); err != nil { // also that it is of the kind
		return nil, err
	}
	j, err := b.Jobs.Wish(ctx, id, w, by(ctx))
	a.acted(ctx, verb+" job", err, "job", id, "kind", j.Kind)
	if err != nil {
		return nil, jobProblem(err)
	}
	return &answer[JobView]{View(j)}, nil
}

func jobProblem(err error) error {
	switch {
	case errors.Is(err, job.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, job.ErrName):
		return huma.Error422UnprocessableEntity(err.Error())
	case errors.Is(err, job.ErrEnded), errors.Is(err, job.ErrActive), errors.Is(err, job.ErrExists):
		return huma.Error409Conflict(err.Error())
	}
	return problem(err)
}
