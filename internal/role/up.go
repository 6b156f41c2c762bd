package role

import (
	"context"

	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/prometheus/client_golang/prometheus"
)

// Running is what can be seen of a running Up.
type Running struct {
	Registry *prometheus.Registry
	Watch    *queuewatch.Watch
	// Admin is the bound address of the admin server, "" without one.
	Admin string
	// Go runs fn until the process stops, before the gateway stops taking.
	Go func(name string, fn func(context.Context) error)
}

// Up runs gateway and worker over one queue, embedded unless queue.url is set,
// until ctx ends. started is called when both serve; it may be nil.
func Up(ctx context.Context, p Process, started func(Running)) error {
	return run(ctx, "up", p, func(ctx context.Context, b *base) error {
		q, plan, err := b.openQueue(ctx)
		if err != nil {
			return err
		}
		if err := topology.Apply(ctx, q, plan); err != nil {
			return fail("make streams and consumers", err)
		}
		w := b.watch(q, plan)
		if err := b.worker(q, plan); err != nil {
			return err
		}
		if err := b.gateway(ctx, q, plan); err != nil {
			return err
		}
		if started != nil {
			r := Running{Registry: b.reg, Watch: w, Go: b.app.Go}
			if b.admin != nil {
				r.Admin = b.admin.Addr()
			}
			started(r)
		}
		return nil
	})
}
