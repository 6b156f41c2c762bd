package replay

import (
	"errors"
	"log/slog"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Destination is a configured one, as the worker of this process has it.
type Destination struct {
	// Exporter is that of the live lanes, and is not closed here.
	Exporter exporter.Exporter
	// MaxRequestBytes is the most it takes in one request, before compression. 0:
	// the exporter alone decides.
	MaxRequestBytes int
}

// Options are what the handlers of replay and redrive work with.
type Options struct {
	Queue queue.Queue
	// Destinations by name.
	Destinations map[string]Destination
	// Open makes the exporter of a target, which the job closes; name is for
	// errors and metrics. nil: this process takes no jobs with a target.
	Open func(name string, t *Target) (Destination, error)
	// Busy tells that live traffic needs all of a destination, or that it takes
	// nothing now: an export waits until it does not, asked again every 200 ms.
	// nil: never.
	Busy func(destination string) bool
	// Ledger is told of letters before a redrive removes them. nil: nobody is.
	Ledger  Ledger
	Metrics *Metrics
	Logger  *slog.Logger
}

// busy is Busy of one destination.
func (o *Options) busy(name string) func() bool {
	if o.Busy == nil {
		return func() bool { return false }
	}
	return func() bool { return o.Busy(name) }
}

// errNoTargets refuses what needs Open.
var errNoTargets = errors.New("this worker takes no jobs with a target of their own")
