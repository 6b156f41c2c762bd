package role

import (
	"context"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/janitor"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/ledger"
	"github.com/penstock-otel/penstock/internal/pressure"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/reload"
	"github.com/penstock-otel/penstock/internal/settings"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// janitor purges what is exported, in one of the processes that put something in:
// they know the streams and their budget, and without them nothing fills. What a
// job still reads and what the ledger has not counted stays. The ledger is there
// already.
func (b *base) janitor(ctx context.Context, q queue.Queue, plan topology.Plan) {
	holder := b.presence.id
	// Makes the bucket of leases now, not while the process may be stopping
	// already. That it cannot be made is what the janitor tells.
	if err := q.Release(ctx, "janitor", holder); err != nil {
		b.log.Debug("the bucket of leases is not there yet", "error", err)
	}
	uncounted := ledger.NewHolds(q, plan, app.Component(b.log, "ledger"))
	counted := func(ctx context.Context) (map[string]uint64, error) {
		b.keeper.Count(ctx) // else what came in since its last look waits for the next one
		return uncounted.Needed(ctx)
	}
	var leading func(context.Context)
	if b.trail != nil {
		leading = b.trail.Tidier().Round
	}
	j := janitor.New(janitor.Options{Config: b.s.Retention, Queue: q, Plan: plan, Holder: holder,
		Holds:       janitor.HoldsOf(janitor.HeldBy("a replay", job.NewStore(q).Holds), janitor.HeldBy("the ledger", counted)),
		BeforePurge: ledger.NewRecorder(q).Purging, Leading: leading,
		Metrics: janitor.NewMetrics(b.reg), Logger: app.Component(b.log, "janitor")})
	b.app.Go("janitor", j.Run)
	b.reload.Add(reload.Part{Name: "janitor", Keys: []string{"retention"}, Prepare: func(s *settings.Settings) (func(), error) { return j.Prepare(s.Retention) }})
	b.status("retention", func(context.Context) any { return j.View() })
}

// ledger adds up what became of everything, in one of the processes that put
// something in.
func (b *base) ledger(q queue.Queue, plan topology.Plan) *ledger.Keeper {
	k := ledger.New(ledger.Options{Queue: q, Plan: plan, Holder: b.presence.id, Metrics: ledger.NewMetrics(b.reg), Logger: app.Component(b.log, "ledger")})
	b.app.Go("ledger", k.Run)
	b.status("ledger", func(context.Context) any { return k.View() })
	return k
}

// pressure refuses early what the queue has no room for.
func (b *base) pressure(w *queuewatch.Watch, plan topology.Plan) *pressure.Guard {
	o := pressure.Options{View: w.View, Plan: plan, Metrics: pressure.NewMetrics(b.reg), Logger: app.Component(b.log, "pressure")}
	if b.server != nil {
		o.Disk = pressure.Volume(b.s.Queue.Dir)
	}
	g := pressure.New(o)
	b.app.Go("pressure guard", g.Run)
	return g
}
