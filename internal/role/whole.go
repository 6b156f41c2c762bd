package role

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// whole watches the queue with the destinations of other processes too, which
// this one knows by their durables: any process answers for the whole queue.
// While there are none it is the process's own watch.
type whole struct {
	own   *queuewatch.Watch
	q     queue.Provisioner
	plan  topology.Plan
	items queuewatch.Counter // nil: messages alone

	mu     sync.Mutex
	others []topology.Destination // mu; sorted by name
	watch  *queuewatch.Watch      // mu; nil without others
}

// run looks as often as the watch itself does, so that rates are known when
// somebody asks.
func (x *whole) run(ctx context.Context) error {
	for t := time.NewTicker(queuewatch.Every); ; {
		if w := x.refresh(ctx); w != x.own {
			w.Look(ctx)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// Fresh is a view no older than age.
func (x *whole) Fresh(ctx context.Context, age time.Duration) queuewatch.View {
	return x.refresh(ctx).Fresh(ctx, age)
}

// refresh finds whose durables there are. When that cannot be asked it is as it
// was.
func (x *whole) refresh(ctx context.Context) *queuewatch.Watch {
	found, err := x.find(ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil && !slices.EqualFunc(found, x.others, same) {
		x.others, x.watch = found, nil
		if len(found) > 0 {
			plan := x.plan
			plan.Destinations = append(slices.Clone(plan.Destinations), found...)
			x.watch = queuewatch.New(x.q, plan, prometheus.NewRegistry()) // its gauges are those of the processes that have them
			x.watch.Count(x.items)
		}
	}
	if x.watch == nil {
		return x.own
	}
	return x.watch
}

// find lists the destinations that have a durable and are not the plan's.
func (x *whole) find(ctx context.Context) ([]topology.Destination, error) {
	by := map[string][]otlp.Signal{}
	for _, s := range otlp.Signals {
		for _, stream := range x.plan.Streams(s) {
			st, err := x.q.StreamState(ctx, stream)
			if err != nil {
				return nil, err
			}
			for _, c := range st.Consumers {
				name, ok := strings.CutPrefix(c, topology.Durable(""))
				known := slices.ContainsFunc(x.plan.Destinations, func(d topology.Destination) bool { return d.Name == name })
				if ok && !known && !slices.Contains(by[name], s) {
					by[name] = append(by[name], s)
				}
			}
		}
	}
	var out []topology.Destination
	for name, signals := range by {
		out = append(out, topology.Destination{Name: name, Signals: signals})
	}
	slices.SortFunc(out, func(a, b topology.Destination) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out, nil
}

func same(a, b topology.Destination) bool {
	return a.Name == b.Name && slices.Equal(a.Signals, b.Signals)
}
