package api

import (
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Backend is what answers are made of.
type Backend struct {
	Queue queue.Queue
	Plan  topology.Plan
	Fleet *fleet.Eye
	Jobs  *job.Store
	// Recorder keeps what is purged, for the ledger.
	Recorder deadletter.Recorder
	// ReplayRate is that of jobs which name none, in bytes a second.
	ReplayRate config.ByteSize
}

const maxTaps = 8
