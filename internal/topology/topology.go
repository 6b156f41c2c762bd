// Package topology names the streams and durable consumers that all roles
// share, and makes them. Any role may apply the same plan at any time: making
// is idempotent, and nothing that exists is shrunk or emptied. The settings of
// a durable belong to the workers, which live by them.
//
//	PENSTOCK_TRACES_0 … _n   one stream a signal and shard    export-<destination>
//	PENSTOCK_METRICS_0 …                                      export-<destination>
//	PENSTOCK_LOGS_0 …                                         export-<destination>
//	PENSTOCK_DLQ             what no retry can deliver        (none)
//	PENSTOCK_AUDIT           who operated, who was refused    (none)
//	PENSTOCK_ALERTS          what happens to alerts           (none)
//
// The durable of each destination is made here and never by the first worker,
// so that what is accepted before any worker runs is kept for it.
package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// DeadLetters is the stream of messages that no retry can deliver.
const DeadLetters = "PENSTOCK_DLQ"

// dedupWindow is longer than the publish horizon of 45 s.
const dedupWindow = 60 * time.Second

// deadLetterWindow has to outlast more than a publish: a worker whose ack is
// lost after it buried a message gets that message again after the ack wait,
// and whatever it then waits for a slot or a back-off, and buries it again
// under the same id.
const deadLetterWindow = 10 * time.Minute

// deadLetterShare of the queue's bytes belongs to the dead-letter stream.
const deadLetterShare = 10 // 1/10

// MinStreamBytes is the least a stream may hold: one group of the default
// gateway.batch.max_bytes that does not compress. Less could refuse a message
// for ever, and a dead-letter stream that does so blocks what it is for.
const MinStreamBytes = 4 << 20

// Plan is what must exist.
type Plan struct {
	// Shards is the number of streams a signal, from 1.
	Shards int
	// MaxBytes is the budget of all streams together: a tenth for dead
	// letters, the rest in equal parts.
	MaxBytes int64
	// Destinations each get a durable on the streams of their signals.
	Destinations []Destination
	// AckWait and MaxAckPending of each durable that is made, and of those that
	// exist by ApplyConsumers; 0: the queue's defaults.
	AckWait       time.Duration
	MaxAckPending int
}

// Destination is one reader of the queue.
type Destination struct {
	Name    string
	Signals []otlp.Signal // empty: all
}

// Takes tells whether the destination wants a signal.
func (d Destination) Takes(s otlp.Signal) bool {
	return len(d.Signals) == 0 || slices.Contains(d.Signals, s)
}

// Untaken tells that there are destinations and none of them takes a signal. Without
// any it is false: those of the workers are not known then.
func (p Plan) Untaken(s otlp.Signal) bool {
	return len(p.Destinations) > 0 && !slices.ContainsFunc(p.Destinations, func(d Destination) bool { return d.Takes(s) })
}

// Stream names the stream of a signal's shard.
func Stream(s otlp.Signal, shard int) string {
	return fmt.Sprintf("PENSTOCK_%s_%d", strings.ToUpper(s.String()), shard)
}

// Durable names the consumer of a destination, the same on each stream.
func Durable(destination string) string { return durablePrefix + destination }

const durablePrefix = "export-"

// IsDurable tells whether a consumer is that of a destination, known here or not.
func IsDurable(consumer string) bool { return strings.HasPrefix(consumer, durablePrefix) }

// Streams lists the telemetry streams of a signal.
func (p Plan) Streams(s otlp.Signal) []string {
	names := make([]string, p.Shards)
	for i := range names {
		names[i] = Stream(s, i)
	}
	return names
}

// AllStreams lists every stream of the plan, dead letters last.
func (p Plan) AllStreams() []string {
	var names []string
	for _, s := range otlp.Signals {
		names = append(names, p.Streams(s)...)
	}
	return append(names, DeadLetters)
}

// Beyond lists the telemetry streams that exist and are not the plan's: a plan
// with more shards made them, and processes of this one neither fill nor drain
// them.
func (p Plan) Beyond(ctx context.Context, q queue.Provisioner) ([]string, error) {
	var names []string
	for _, s := range otlp.Signals {
		for shard := p.Shards; ; shard++ {
			name := Stream(s, shard)
			_, err := q.StreamState(ctx, name)
			if errors.Is(err, queue.ErrNotFound) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("look for stream %s: %w", name, err)
			}
			names = append(names, name)
		}
	}
	return names, nil
}

// Apply makes what is missing. A durable that exists is left as it is: its
// settings are those of the workers (ApplyConsumers), and a gateway that knows
// others must not change the ack wait under an export. An error names the
// stream or consumer.
func Apply(ctx context.Context, q queue.Provisioner, p Plan) error {
	each, dead, err := p.budget()
	if err != nil {
		return err
	}
	for _, s := range otlp.Signals {
		for _, name := range p.Streams(s) {
			if err := ensureStream(ctx, q, queue.StreamConfig{Name: name, MaxBytes: each, DedupWindow: dedupWindow}); err != nil {
				return err
			}
		}
	}
	if err := ensureStream(ctx, q, queue.StreamConfig{Name: DeadLetters, MaxBytes: dead, DedupWindow: deadLetterWindow, Removable: true}); err != nil {
		return err
	}
	return p.durables(func(stream string, c queue.ConsumerConfig) error {
		if _, err := q.ConsumerState(ctx, stream, c.Name); !errors.Is(err, queue.ErrNotFound) {
			return err
		}
		return q.EnsureConsumer(ctx, stream, c)
	})
}

// budget splits MaxBytes.
func (p Plan) budget() (each, dead int64, err error) {
	if p.Shards < 1 {
		return 0, 0, fmt.Errorf("queue.shards is %d: want at least 1", p.Shards)
	}
	n := int64(p.Shards * otlp.NumSignals)
	dead = p.MaxBytes / deadLetterShare
	each = (p.MaxBytes - dead) / n
	if least := min(each, dead); least < MinStreamBytes {
		want := max(deadLetterShare*MinStreamBytes, (n*MinStreamBytes*deadLetterShare+deadLetterShare-2)/(deadLetterShare-1))
		return 0, 0, fmt.Errorf("queue.max_bytes of %d bytes leaves %d for each of %d streams and %d for dead letters: want at least %d in each, so queue.max_bytes of at least %d",
			p.MaxBytes, each, n, dead, MinStreamBytes, want)
	}
	return each, dead, nil
}

// ApplyConsumers makes the durables alone and gives those that exist the plan's
// AckWait and MaxAckPending: for processes that run workers. It returns
// queue.ErrNotFound when a stream does not exist yet.
func ApplyConsumers(ctx context.Context, q queue.Provisioner, p Plan) error {
	return p.durables(func(stream string, c queue.ConsumerConfig) error {
		return q.EnsureConsumer(ctx, stream, c)
	})
}

// durables calls make for each durable of the plan.
func (p Plan) durables(make func(stream string, c queue.ConsumerConfig) error) error {
	for _, d := range p.Destinations {
		c := queue.ConsumerConfig{Name: Durable(d.Name), AckWait: p.AckWait, MaxAckPending: p.MaxAckPending}
		for _, s := range otlp.Signals {
			if !d.Takes(s) {
				continue
			}
			for _, stream := range p.Streams(s) {
				if err := make(stream, c); err != nil {
					return fmt.Errorf("make consumer %s of stream %s: %w", c.Name, stream, err)
				}
			}
		}
	}
	return nil
}

// Tries to make a stream that finds no room, and the wait between them: while
// two roles make the same stream at once, a server may count it twice.
const (
	roomTries = 4
	roomPause = 250 * time.Millisecond
)

func ensureStream(ctx context.Context, q queue.Provisioner, c queue.StreamConfig) error {
	err := q.EnsureStream(ctx, c)
	for try := 1; try < roomTries && errors.Is(err, queue.ErrNoRoom); try++ {
		select {
		case <-time.After(roomPause):
		case <-ctx.Done():
			return fmt.Errorf("make stream %s: %w: %w", c.Name, ctx.Err(), err)
		}
		err = q.EnsureStream(ctx, c)
	}
	switch {
	case errors.Is(err, queue.ErrNoRoom):
		return fmt.Errorf("make stream %s of %d bytes: %w; lower queue.max_bytes or give the server a larger store", c.Name, c.MaxBytes, err)
	case err != nil:
		return fmt.Errorf("make stream %s: %w", c.Name, err)
	}
	return nil
}
