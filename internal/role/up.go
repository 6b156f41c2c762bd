package role

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/queuewatch"
)

// Running is what can be seen of a running Up.
type Running struct {
	Registry *prometheus.Registry
	Watch    *queuewatch.Watch
	// GRPC, HTTP and Admin are the bound addresses, "" without that listener.
	GRPC, HTTP, Admin string
	// Go runs fn until the process stops, before the gateway stops taking.
	Go func(name string, fn func(context.Context) error)
}

// Up runs gateway, worker and, if it is configured, alerter over one queue, embedded
// unless queue.url is set, until ctx ends. started is called when both serve; it may be nil.
func Up(ctx context.Context, p Process, started func(Running)) error {
	return run(ctx, "up", p, func(ctx context.Context, b *base) error {
		q, plan, err := b.openQueue(ctx)
		if err != nil {
			return err
		}
		if err := b.makeStreams(ctx, q, plan); err != nil {
			return err
		}
		if err := b.attach(ctx, q, plan); err != nil {
			return err
		}
		w := b.serveQueue(ctx, q, plan, true)
		b.janitor(ctx, q, plan)
		if err := b.worker(q, plan); err != nil {
			return err
		}
		g, err := b.gateway(ctx, q, plan, w)
		if err != nil {
			return err
		}
		if b.alerting(b.s).Enabled() {
			if err := b.alerter(q, plan); err != nil {
				return err
			}
		}
		if started != nil {
			r := Running{Registry: b.reg, Watch: w, Go: b.app.Go}
			if a := g.GRPCAddr(); a != nil {
				r.GRPC = a.String()
			}
			if a := g.HTTPAddr(); a != nil {
				r.HTTP = a.String()
			}
			if b.admin != nil {
				r.Admin = b.admin.Addr()
			}
			started(r)
		}
		return nil
	})
}
