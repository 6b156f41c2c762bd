package role

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/reload"
	"github.com/penstock-otel/penstock/internal/settings"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter/credential"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// streamsPoll is how often a worker asks for streams that no gateway has made.
const streamsPoll = time.Second

// Worker runs an exporter-worker until ctx ends.
func Worker(ctx context.Context, p Process) error {
	p.drains = true
	p.Server = nil // a worker drains somebody else's queue
	return run(ctx, "worker", p, func(ctx context.Context, b *base) error {
		q, plan, err := b.openQueue(ctx)
		if err != nil {
			return err
		}
		if err := b.attach(ctx, q, plan); err != nil {
			return err
		}
		b.ignores(ofGateways...)
		b.serveQueue(ctx, q, plan, false)
		return b.worker(q, plan)
	})
}

// attach makes the durables of the destinations, and gives those that exist the
// settings of this worker. Streams are made by gateways, which know the budget;
// until one has, there is nothing to drain.
func (b *base) attach(ctx context.Context, q queue.Provisioner, plan topology.Plan) error {
	for said := false; ; {
		err := topology.ApplyConsumers(ctx, q, plan)
		if !errors.Is(err, queue.ErrNotFound) {
			return err
		}
		if !said {
			b.log.Info("waiting for a gateway to make the streams", "missing", err.Error())
			said = true
		}
		select {
		case <-time.After(streamsPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *base) worker(q queue.Queue, plan topology.Plan) error {
	destinations := b.s.EffectiveDestinations()
	exporters, err := worker.Build(destinations, worker.BuildOptions{Out: b.p.Out, Logger: app.Component(b.log, "exporter"),
		TLSFiles: b.files, Tokens: credential.NewMetrics(b.reg)})
	if err != nil {
		return err
	}
	b.reg.MustRegister(worker.NewPoolCollector(exporters))
	w, err := worker.New(worker.Options{Config: b.s.Worker, Queue: q, Plan: plan, Destinations: destinations, Exporters: exporters,
		Allows: b.tenants.Allows, Metrics: worker.NewMetrics(b.reg), Logger: app.Component(b.log, "worker")})
	if err != nil {
		return err
	}
	b.reload.Add(reload.Part{Name: "headers of destinations", Keys: []string{"destinations[].headers"},
		Prepare: func(s *settings.Settings) (func(), error) {
			return worker.PrepareHeaders(exporters, s.EffectiveDestinations())
		}})
	b.reload.Add(reload.Part{Name: "routes", Keys: []string{"destinations[].tenants", "destinations[].where"},
		Prepare: func(s *settings.Settings) (func(), error) { return w.Prepare(s.EffectiveDestinations()) }})
	w.Start()
	b.app.OnStop("stop pulling, finish exports", time.Duration(b.s.Worker.DrainTimeout), w.Stop)
	told := exports(func() ([]fleet.Destination, []fleet.Tally) { return w.Status(), w.Tally() })
	b.presence.exports.Store(&told)
	b.jobs(q, destinations, exporters, busy(w, destinations), b.presence.id)
	for _, d := range destinations {
		b.log.Info("draining to", "destination", d.Name, "protocol", d.Protocol, "endpoints", d.Endpoints, "compression", d.Compression)
	}
	return nil
}
