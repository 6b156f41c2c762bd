package role

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/broker"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// ReadQueue connects to a queue elsewhere (queue.url) for a command that only reads
// it, and disconnects when read is done. streams are those of metrics: as many as
// queue.shards says, and those that are left of more.
func ReadQueue(ctx context.Context, p Process, name string, read func(q queue.Queue, streams []string, log *slog.Logger) error) (err error) {
	if p.Log == nil {
		p.Log = os.Stderr
	}
	log, _, err := p.Settings.Log.Logger(p.Log)
	if err != nil {
		return err
	}
	c := p.Settings.Queue
	c.AllowUnverified = true
	q, err := broker.Open(ctx, c, nil, "penstock-"+name, slog.New(slog.DiscardHandler), nil) // what it says is for whoever stores
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	plan := p.Settings.Plan(0)
	more, err := plan.Beyond(ctx, q)
	if err != nil {
		return err
	}
	of := strings.TrimSuffix(topology.Stream(otlp.Metrics, 0), "0")
	more = slices.DeleteFunc(more, func(s string) bool { return !strings.HasPrefix(s, of) })
	return read(q, append(plan.Streams(otlp.Metrics), more...), app.Component(log, name))
}
