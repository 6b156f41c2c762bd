package api

import "github.com/penstock-otel/penstock/internal/job"

// Backend is what answers are made of.
type Backend struct {
	Jobs *job.Store
}

const (
	kindReplay = "replay"
	maxTaps    = 8
)
