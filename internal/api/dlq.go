package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/topology"
)

// Letters is a page of dead letters, oldest first.
type Letters struct {
	Letters []deadletter.Info `json:"letters"`
	Next    uint64            `json:"next,omitempty" doc:"The after of the next page; absent on the last one."`
}

// PurgeRequest says which letters are to go for good.
type PurgeRequest struct {
	Filter  deadletter.Filter `json:"filter,omitzero" doc:"Which letters; absent: all."`
	Confirm bool              `json:"confirm,omitempty" doc:"That they are to be removed for good."`
	DryRun  bool              `json:"dry_run,omitempty" doc:"Count them alone."`
}

// Purged is what was removed, or would be.
type Purged struct {
	deadletter.Summary
	DryRun bool `json:"dry_run"`
}

// LetterQuery is deadletter.Filter as a query.
type LetterQuery struct {
	Destination string    `query:"destination"`
	Reason      string    `query:"reason" doc:"damaged, rejected, too_large, expired."`
	Code        string    `query:"code" doc:"The destination's."`
	Tenant      string    `query:"tenant"`
	Signal      string    `query:"signal" enum:"traces,metrics,logs"`
	Stream      string    `query:"stream" doc:"Where the message lay."`
	Since       time.Time `query:"since" doc:"Dead-lettered at this time or later."`
	Until       time.Time `query:"until" doc:"Dead-lettered before this time."`
	ID          []string  `query:"id,explode" maxItems:"100" doc:"Of the message or of the letter."`
}

func (q LetterQuery) filter() deadletter.Filter {
	return deadletter.Filter{Destination: q.Destination, Reason: q.Reason, Code: q.Code, Tenant: q.Tenant, Signal: q.Signal,
		Stream: q.Stream, Since: q.Since, Until: q.Until, IDs: q.ID}
}

// registerLetters adds the routes of dead letters; redrives are jobs.
func (a *API) registerLetters() {
	const tag = "dead letters"
	huma.Register(a.huma, patient(read("list-letters", "/dlq", tag, "Dead letters, oldest first, without their payload"), readPatience),
		func(ctx context.Context, in *struct {
			LetterQuery
			After uint64 `query:"after" doc:"Only letters behind this sequence: next of the page before."`
			Limit int    `query:"limit" minimum:"0" maximum:"1000" doc:"Letters a page; 0: 100."`
		}) (*answer[Letters], error) {
			b, err := a.with()
			if err != nil {
				return nil, err
			}
			f := in.filter()
			if err := f.Validate(); err != nil {
				return nil, huma.Error422UnprocessableEntity(err.Error())
			}
			infos, next, err := deadletter.List(ctx, b.Queue, topology.DeadLetters, f, in.Limit, in.After)
			if err != nil {
				return nil, problem(err)
			}
			return &answer[Letters]{Letters{infos, next}}, nil
		})
	huma.Register(a.huma, patient(read("summarize-letters", "/dlq/summary", tag, "How many dead letters there are, by destination, reason, signal and tenant"), readPatience),
		func(ctx context.Context, in *LetterQuery) (*answer[deadletter.Summary], error) {
			b, err := a.with()
			if err != nil {
				return nil, err
			}
			f := in.filter()
			if err := f.Validate(); err != nil {
				return nil, huma.Error422UnprocessableEntity(err.Error())
			}
			s, err := deadletter.Summarize(ctx, b.Queue, topology.DeadLetters, f)
			if err != nil {
				return nil, problem(err)
			}
			return &answer[deadletter.Summary]{s}, nil
		})
	huma.Register(a.huma, operate(http.MethodGet, "get-letter", "/dlq/{sequence}", tag, "One dead letter with its payload as OTLP JSON", http.StatusNotFound), a.showLetter)
	huma.Register(a.huma, patient(operate(http.MethodPost, "purge-letters", "/dlq/purge", tag, "Remove dead letters for good, or count them"), longPatience), a.purgeLetters)
}

func (a *API) showLetter(ctx context.Context, in *struct {
	Sequence uint64 `path:"sequence" minimum:"1" doc:"Of the letter, as the list has it."`
	Payload  bool   `query:"payload" default:"true" doc:"With what it holds."`
}) (*answer[deadletter.Shown], error) {
	b, err := a.with()
	if err != nil {
		return nil, err
	}
	s, err := deadletter.Show(ctx, b.Queue, topology.DeadLetters, in.Sequence, in.Payload)
	a.acted(ctx, "show dead letter", err, "sequence", in.Sequence, "payload", in.Payload)
	if err != nil {
		return nil, problem(err)
	}
	return &answer[deadletter.Shown]{s}, nil
}

func (a *API) purgeLetters(ctx context.Context, in *struct{ Body PurgeRequest }) (*answer[Purged], error) {
	b, err := a.with()
	if err != nil {
		return nil, err
	}
	if err := in.Body.Filter.Validate(); err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	if in.Body.Confirm == in.Body.DryRun {
		return nil, huma.Error422UnprocessableEntity("purging removes dead letters for good: set confirm to do it, or dry_run to count them, and not both")
	}
	s, err := deadletter.Purge(ctx, b.Queue, topology.DeadLetters, in.Body.Filter, in.Body.DryRun, b.Recorder, nil)
	a.acted(ctx, "purge dead letters", err, "filter", in.Body.Filter, "dry_run", in.Body.DryRun, "letters", s.Letters, "items", s.Items)
	if err != nil {
		return nil, problem(err)
	}
	return &answer[Purged]{Purged{s, in.Body.DryRun}}, nil
}
