package role

import (
	"context"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/gateway"
	"github.com/penstock-otel/penstock/internal/gateway/receiver"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/reload"
	"github.com/penstock-otel/penstock/internal/settings"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Gateway runs a gateway until ctx ends.
func Gateway(ctx context.Context, p Process) error {
	return run(ctx, "gateway", p, func(ctx context.Context, b *base) error {
		q, plan, err := b.openQueue(ctx)
		if err != nil {
			return err
		}
		if len(b.s.Destinations) == 0 {
			plan.Destinations = nil // those of the workers, which make their durables themselves
			b.log.Info("no destination is configured here: telemetry is kept until a worker with destinations has drained it")
		}
		if err := b.makeStreams(ctx, q, plan); err != nil {
			return err
		}
		b.ignores(ofWorkers...)
		w := b.serveQueue(ctx, q, plan, true)
		b.janitor(ctx, q, plan)
		_, err = b.gateway(ctx, q, plan, w)
		return err
	})
}

func (b *base) gateway(ctx context.Context, q queue.Queue, plan topology.Plan, w *queuewatch.Watch) (*gateway.Gateway, error) {
	guard := b.pressure(w, plan)
	g, err := gateway.Start(ctx, b.app, gateway.Options{Config: b.s.Gateway, Queue: q, Plan: plan, Wire: b.s.Wire(),
		Door: receiver.Door{Authenticate: b.auth.Authenticate, Tenants: b.tenants, Audit: b.audit}, Pressure: guard.Refuse, Full: guard.RetryAfter,
		Unrouted: b.unrouted(ctx, q, plan), Registry: b.reg, TLSFiles: b.files, Logger: app.Component(b.log, "gateway")})
	if err != nil {
		return nil, err
	}
	b.reload.Add(reload.Part{Name: "gateway", Keys: []string{"gateway.limits.reject_bad_utf8"},
		Prepare: func(s *settings.Settings) (func(), error) { return g.Prepare(s.Gateway) }})
	return g, nil
}
