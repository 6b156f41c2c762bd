package replay

import (
	"context"
	"fmt"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// StartOptions name a job.
type StartOptions struct {
	// ID names the job, so that it is started once; "": a name is made.
	ID string
	By string
	// Reserved: only the process that was started for it runs it; see RunOnce.
	Reserved bool
}

// Start creates the job of a replay; a worker that can takes it within seconds.
// Its streams are held from the first sequence on, before the window is resolved
// by whoever runs it: nothing that is stored when Start returns is purged until
// then, but for a round of the janitor that had begun before.
func Start(ctx context.Context, jobs *job.Store, q Queue, plan topology.Plan, s Spec, o StartOptions) (job.Job, error) {
	if err := s.Validate(); err != nil {
		return job.Job{}, err
	}
	names, err := s.streams(ctx, q, plan)
	if err != nil {
		return job.Job{}, err
	}
	hold := make(map[string]uint64, len(names))
	for _, name := range names {
		hold[name] = 1
	}
	return jobs.Create(ctx, job.New{ID: o.ID, Kind: KindReplay, Spec: s, Hold: hold, By: o.By, Reserved: o.Reserved})
}

// Redrive says which dead letters are delivered again. It is kept as JSON in the
// job.
type Redrive struct {
	Filter deadletter.Filter `json:"filter" doc:"Which letters"`
	// Destination gets them in place of the one that did not take them.
	Destination string `json:"destination,omitempty" doc:"A configured destination; empty: that of each letter"`
	// Rate, Unlimited, ItemsRate and Concurrency are those of Spec.
	Rate        config.ByteSize `json:"rate,omitempty" doc:"Bytes before compression a second; 0: 10MiB"`
	Unlimited   bool            `json:"unlimited,omitempty" doc:"As fast as the destinations take it"`
	ItemsRate   int             `json:"items_rate,omitempty" doc:"Items a second; 0: no bound"`
	Concurrency int             `json:"concurrency,omitempty" doc:"Exports at a time; 0: 2"`
}

// Validate reports what is wrong with r, for people.
func (r *Redrive) Validate() error {
	if err := r.Filter.Validate(); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	s := r.spec()
	return s.Validate()
}

// spec has what a redrive shares with a replay.
func (r *Redrive) spec() Spec {
	to := r.Destination
	if to == "" {
		to = "that of each letter"
	}
	return Spec{Destination: to, Rate: r.Rate, Unlimited: r.Unlimited, ItemsRate: r.ItemsRate, Concurrency: r.Concurrency}
}

// StartRedrive creates the job of a redrive, of the letters that are there now.
func StartRedrive(ctx context.Context, jobs *job.Store, q queue.Provisioner, r Redrive, o StartOptions) (job.Job, error) {
	if err := r.Validate(); err != nil {
		return job.Job{}, err
	}
	st, err := q.StreamState(ctx, topology.DeadLetters)
	if err != nil {
		return job.Job{}, fmt.Errorf("redrive: %w", err)
	}
	if r.Filter.UpTo == 0 || r.Filter.UpTo > st.LastSeq {
		r.Filter.UpTo = max(st.LastSeq, 1) // 0 is no bound
	}
	return jobs.Create(ctx, job.New{ID: o.ID, Kind: KindRedrive, Spec: r, By: o.By, Reserved: o.Reserved})
}
