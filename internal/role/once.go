package role

import (
	"context"
	"errors"
	"os"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/broker"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/prometheus/client_golang/prometheus"
)

// Replay is one replay of a process that is started for it.
type Replay struct {
	Name string // of the job; started again under it, it goes on
	Spec replay.Spec
	Tell func(job.Job) // called about every second; may be nil
}

// ReplayOnce runs a replay to its end in this process, over a queue elsewhere:
// for schedulers of one-shot work. What it returns is that of replay.RunOnce.
func ReplayOnce(ctx context.Context, p Process, r Replay) (j job.Job, err error) {
	if p.Out == nil {
		p.Out = os.Stdout
	}
	if p.Log == nil {
		p.Log = os.Stderr
	}
	s := p.Settings
	log, _, err := s.Log.Logger(p.Log)
	if err != nil {
		return j, err
	}
	c := s.Queue
	c.AllowUnverified = true // it only reads
	q, err := broker.Open(ctx, c, nil, "penstock-replay", app.Component(log, "queue"), nil)
	if err != nil {
		return j, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	var to []worker.Destination // only that which is needed: the others may not be reachable from here
	for _, d := range s.EffectiveDestinations() {
		if d.Name == r.Spec.Destination {
			to = append(to, d)
		}
	}
	exporters, err := worker.Build(to, worker.BuildOptions{Out: p.Out, Logger: app.Component(log, "exporter")})
	if err != nil {
		return j, err
	}
	defer func() {
		for _, x := range exporters {
			err = errors.Join(err, x.Close())
		}
	}()
	if r.Spec.Rate == 0 && !r.Spec.Unlimited {
		r.Spec.Rate = s.Replay.Rate
	}
	reg := prometheus.NewRegistry() // nobody scrapes it
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	jobLog := app.Component(log, "replay")
	by := "penstock replay run on " + host
	told, end := auditOnce(p, host, q, log)
	told(r, by, j, nil)
	defer func() { told(r, by, j, err); end(ctx) }()
	return replay.RunOnce(ctx, replay.Once{Name: r.Name, Spec: r.Spec, By: by, Plan: s.Plan(0),
		Options: replay.Options{Queue: q, Destinations: replayTo(to, exporters), Open: openTarget(replay.Trust{Everything: true}, p.Out),
			Metrics: replay.NewMetrics(reg), Logger: jobLog},
		JobMetrics: job.NewMetrics(reg), Logger: jobLog, Tell: r.Tell})
}
