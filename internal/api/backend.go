package api

import (
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Backend is what answers are made of.
type Backend struct {
	Queue    queue.Queue
	Jobs     *job.Store
	Recorder deadletter.Recorder
}

const (
	kindReplay = "replay"
	maxTaps    = 8
)
