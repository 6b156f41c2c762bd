package role

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// unroutedEvery is the pace at which a signal that no destination takes is looked
// at: a worker of another configuration may have come that does.
const unroutedEvery = 10 * time.Second

// unrouted tells of which signals no destination of this configuration and no
// durable of another's takes anything, and says so in the log. nil: of none, or the
// destinations are not known here.
func (b *base) unrouted(ctx context.Context, q queue.Provisioner, plan topology.Plan) func(otlp.Signal) bool {
	var nobody [otlp.NumSignals]atomic.Bool
	var signals []otlp.Signal
	look := func(ctx context.Context) {
		for _, s := range signals {
			is, err := untaken(ctx, q, plan.Streams(s))
			switch {
			case err != nil: // it is as it was; the queue's own trouble is told elsewhere
				b.log.Debug("who takes a signal is not known", "signal", s.String(), "error", err)
			case is && !nobody[s].Swap(true):
				b.log.Warn("no destination takes a signal: what is sent of it is accepted, kept for retention.replay_window and purged then; add a destination, or do not send it", "signal", s.String())
			case !is && nobody[s].Swap(false):
				b.log.Info("a destination of another worker takes the signal now", "signal", s.String())
			}
		}
	}
	for _, s := range otlp.Signals {
		if plan.Untaken(s) {
			signals = append(signals, s)
		}
	}
	if len(signals) == 0 {
		return nil
	}
	look(ctx)
	b.app.Go("look for who takes signals", func(ctx context.Context) error {
		for t := time.NewTicker(unroutedEvery); ; {
			select {
			case <-t.C:
				look(ctx)
			case <-ctx.Done():
				t.Stop()
				return nil
			}
		}
	})
	return func(s otlp.Signal) bool { return nobody[s].Load() }
}

// untaken tells that no destination has a durable on the streams.
func untaken(ctx context.Context, q queue.Provisioner, streams []string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	for _, name := range streams {
		st, err := q.StreamState(ctx, name)
		if err != nil || slices.ContainsFunc(st.Consumers, topology.IsDurable) {
			return false, err
		}
	}
	return true, nil
}
