package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Abandoned is what a destination had not taken of one stream.
type Abandoned struct {
	Stream string      `json:"stream"`
	Signal otlp.Signal `json:"-"`
	// From is the first sequence that it may not have had. Of what lies above,
	// Messages were not settled.
	From     uint64 `json:"from_sequence"`
	Messages uint64 `json:"pending_messages"`
}

// Readers lists the durables of a destination, on the streams of the plan and
// beyond, with what each has not settled. ErrNotFound when there are none.
func (p Plan) Readers(ctx context.Context, q queue.Provisioner, destination string) ([]Abandoned, error) {
	var out []Abandoned
	err := p.telemetry(ctx, q, func(s otlp.Signal, stream string) error {
		c, err := q.ConsumerState(ctx, stream, Durable(destination))
		if errors.Is(err, queue.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at destination %s on stream %s: %w", destination, stream, err)
		}
		out = append(out, Abandoned{Stream: stream, Signal: s, From: c.AckFloor + 1, Messages: c.Pending + uint64(c.AckPending)})
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("destination %s: no stream has its durable %s: %w", destination, Durable(destination), queue.ErrNotFound)
	}
	return out, err
}

// Drop removes the durables of a destination that is given up, on the streams of
// the plan and beyond, and returns what each had not settled: no one will deliver
// that to it any more, and the streams no longer wait for it. The messages stay
// for the others. It must not be configured anywhere, or it is made again and
// begins with the oldest message. The caller has told the ledger before. Drop can
// be repeated after an error: what it returns beside one was removed.
func (p Plan) Drop(ctx context.Context, q queue.Provisioner, destination string) ([]Abandoned, error) {
	if slices.ContainsFunc(p.Destinations, func(d Destination) bool { return d.Name == destination }) {
		return nil, fmt.Errorf("destination %s is configured here: take it out of the configuration of every gateway and worker first", destination)
	}
	readers, err := p.Readers(ctx, q, destination)
	if err != nil {
		return nil, err
	}
	for i, r := range readers {
		err := q.RemoveConsumer(ctx, r.Stream, Durable(destination))
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return readers[:i], fmt.Errorf("drop destination %s from stream %s: %w; %d of %d streams are done, repeat it", destination, r.Stream, err, i, len(readers))
		}
	}
	return readers, nil
}

// telemetry calls f for each telemetry stream that is there.
func (p Plan) telemetry(ctx context.Context, q queue.Provisioner, f func(s otlp.Signal, stream string) error) error {
	for _, s := range otlp.Signals {
		for shard := 0; ; shard++ {
			stream := Stream(s, shard)
			_, err := q.StreamState(ctx, stream)
			if errors.Is(err, queue.ErrNotFound) {
				if shard < p.Shards {
					continue
				}
				break
			}
			if err != nil {
				return fmt.Errorf("look for stream %s: %w", stream, err)
			}
			if err := f(s, stream); err != nil {
				return err
			}
		}
	}
	return nil
}
