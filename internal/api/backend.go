package api

import (
	"context"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Backend is what answers are made of.
type Backend struct {
	Queue queue.Queue
	Plan  topology.Plan
	// Process is the id by which the others see this one.
	Process string
	Fleet   *fleet.Eye
	Watch   Watch
	Jobs    *job.Store
	// Recorder tells the ledger what operators do.
	Recorder Recorder
	// ReplayRate is that of jobs which name none, in bytes a second, as it is now.
	ReplayRate func() config.ByteSize
}

// Recorder is what the ledger is told before it is done; package ledger has it.
type Recorder interface {
	deadletter.Recorder
	// Drop records that an operator, by, gives a destination up.
	Drop(ctx context.Context, destination, by string) error
	// Forgive records that an operator, by, knows why data is missing.
	Forgive(ctx context.Context, by string) error
}

// Watch looks at the queue, with all destinations that have a place in it;
// queuewatch.Watch is one.
type Watch interface {
	// Fresh is a view no older than age.
	Fresh(ctx context.Context, age time.Duration) queuewatch.View
}
