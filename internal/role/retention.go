package role

import (
	"context"
	"crypto/rand"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/janitor"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/pressure"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// janitor purges what is exported, in one of the processes that put something in:
// they know the streams and their budget, and without them nothing fills.
func (b *base) janitor(ctx context.Context, q queue.Queue, plan topology.Plan) {
	holder := b.app.Name() + "-" + rand.Text()[:8]
	// Makes the bucket of leases now, not while the process may be stopping
	// already. That it cannot be made is what the janitor tells.
	if err := q.Release(ctx, "janitor", holder); err != nil {
		b.log.Debug("the bucket of leases is not there yet", "error", err)
	}
	j := janitor.New(janitor.Options{Config: b.s.Retention, Queue: q, Plan: plan, Holder: holder,
		Metrics: janitor.NewMetrics(b.reg), Logger: app.Component(b.log, "janitor")})
	b.app.Go("janitor", j.Run)
	b.status("retention", func(context.Context) any { return j.View() })
}

// pressure refuses early what the queue has no room for.
func (b *base) pressure(w *queuewatch.Watch, plan topology.Plan) func(otlp.Signal) *otlp.Refusal {
	o := pressure.Options{View: w.View, Plan: plan, Metrics: pressure.NewMetrics(b.reg), Logger: app.Component(b.log, "pressure")}
	if b.server != nil {
		o.Disk = pressure.Volume(b.s.Queue.Dir)
	}
	g := pressure.New(o)
	b.app.Go("pressure guard", g.Run)
	return g.Refuse
}
