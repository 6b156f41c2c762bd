package role

import (
	"io"
	"path/filepath"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/ledger"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/settings"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// jobs runs replays and redrives with the exporters of the live lanes. It is
// called after the worker was started: it stops before the exporters close.
func (b *base) jobs(q queue.Queue, destinations []worker.Destination, exporters map[string]exporter.Exporter, busy func(string) bool, holder string) {
	log := app.Component(b.log, "jobs")
	handlers := replay.Handlers(replay.Options{Queue: q, Destinations: replayTo(destinations, exporters),
		Open: openTarget(trust(b.s.Replay), b.p.Out), Busy: busy, Ledger: ledger.NewRecorder(q), Metrics: replay.NewMetrics(b.reg), Logger: log})
	r := job.NewRunner(job.Options{Store: job.NewStore(q), Leaser: q, Handlers: handlers, Holder: holder, Most: b.s.Replay.Jobs,
		Metrics: job.NewMetrics(b.reg), Logger: log})
	b.app.Go("replays and redrives", r.Run)
}

// replayTo are the configured destinations as replays use them.
func replayTo(destinations []worker.Destination, exporters map[string]exporter.Exporter) map[string]replay.Destination {
	out := make(map[string]replay.Destination, len(destinations))
	for _, d := range destinations {
		out[d.Name] = replay.Destination{Exporter: exporters[d.Name], MaxRequestBytes: int(d.MaxRequestBytes)}
	}
	return out
}

// trust is what a stored job may touch here.
func trust(c settings.Replay) replay.Trust {
	t := replay.Trust{EnvPrefix: c.EnvPrefix}
	if c.Dir != "" {
		t.Dir = filepath.Clean(c.Dir)
	}
	return t
}

// openTarget makes the exporter of a job's own destination.
func openTarget(t replay.Trust, out io.Writer) func(string, *replay.Target) (replay.Destination, error) {
	return func(name string, target *replay.Target) (replay.Destination, error) {
		d, err := target.Destination(name, t)
		if err != nil {
			return replay.Destination{}, err
		}
		built, err := worker.Build([]worker.Destination{d}, worker.BuildOptions{Out: out})
		if err != nil {
			return replay.Destination{}, err
		}
		return replay.Destination{Exporter: built[name], MaxRequestBytes: int(d.MaxRequestBytes)}, nil
	}
}

// busy tells that live traffic has all the slots of a destination, or that it is
// left alone now.
func busy(w *worker.Worker, destinations []worker.Destination) func(string) bool {
	slots := make(map[string]int, len(destinations))
	for _, d := range destinations {
		slots[d.Name] = d.MaxInFlight
	}
	return func(name string) bool {
		for _, d := range w.Status() {
			if d.Name == name {
				return d.Breaker == "open" || d.InFlight >= slots[name]
			}
		}
		return false
	}
}
