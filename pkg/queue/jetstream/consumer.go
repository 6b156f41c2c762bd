package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// EnsureConsumer implements queue.Provisioner. AckWait and MaxAckPending of an
// existing consumer are updated; its position never changes.
func (q *Queue) EnsureConsumer(ctx context.Context, stream string, c queue.ConsumerConfig) error {
	if err := checkConsumer(c.Name); err != nil {
		return err
	}
	if c.AckWait < 0 || c.MaxAckPending < 0 {
		return fmt.Errorf("queue: consumer %s of stream %s: ack wait %s and max ack pending %d must not be negative",
			c.Name, stream, c.AckWait, c.MaxAckPending)
	}
	if c.AckWait == 0 {
		c.AckWait = DefaultAckWait
	}
	if c.MaxAckPending == 0 {
		c.MaxAckPending = DefaultMaxAckPending
	}
	ensure := func() error {
		return q.firmly(ctx, func(ctx context.Context) error { return q.ensureConsumer(ctx, stream, c) })
	}
	err := ensure()
	// In a cluster, who answers for what is missing may not know yet of a stream
	// that was just made.
	for try := 1; errors.Is(err, jetstream.ErrStreamNotFound) && q.control.nc.ConnectedClusterName() != "" &&
		try <= newsTries && q.pause(ctx, q.control, try); try++ {
		err = ensure()
	}
	return err
}

// newsTries is for about a second.
const newsTries = 6

func (q *Queue) ensureConsumer(ctx context.Context, stream string, c queue.ConsumerConfig) error {
	s, done, ctx, err := q.stream(ctx, stream)
	if err != nil {
		return err
	}
	defer done()
	want := jetstream.ConsumerConfig{
		Durable:       c.Name,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       c.AckWait,
		MaxDeliver:    -1, // giving up is the reader's decision, by Reject
		MaxAckPending: c.MaxAckPending,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		// InactiveThreshold 0: a consumer without readers lives for ever.
	}
	// An update without a change writes to the disk, which may be full: then the
	// consumer must still be usable, to drain the stream.
	switch have, err := s.Consumer(ctx, c.Name); {
	case err == nil:
		if sameConsumer(have.CachedInfo().Config, want) {
			return nil
		}
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return apiError("consumer "+c.Name+" of stream "+stream, err)
	}
	if _, err = s.CreateOrUpdateConsumer(ctx, want); err != nil {
		return apiError("consumer "+c.Name+" of stream "+stream, err)
	}
	return nil
}

// sameConsumer compares what an update could change, and what it would refuse.
func sameConsumer(have, want jetstream.ConsumerConfig) bool {
	return have.AckPolicy == want.AckPolicy && have.AckWait == want.AckWait && have.MaxDeliver == want.MaxDeliver &&
		have.MaxAckPending == want.MaxAckPending && have.DeliverPolicy == want.DeliverPolicy &&
		have.InactiveThreshold == 0 && have.FilterSubject == "" && len(have.FilterSubjects) == 0 && len(have.BackOff) == 0 &&
		have.DeliverSubject == "" && have.MaxRequestBatch == 0 && have.MaxRequestExpires == 0 && have.MaxRequestMaxBytes == 0 &&
		!have.HeadersOnly && have.PauseUntil == nil
}

// ConsumerState implements queue.Provisioner.
func (q *Queue) ConsumerState(ctx context.Context, stream, consumer string) (queue.ConsumerState, error) {
	info, err := q.consumerInfo(ctx, stream, consumer)
	if err != nil {
		return queue.ConsumerState{}, err
	}
	return queue.ConsumerState{
		Name: consumer, AckFloor: info.AckFloor.Stream,
		Pending: info.NumPending, AckPending: info.NumAckPending, Redelivered: info.NumRedelivered,
	}, nil
}

func (q *Queue) consumerInfo(ctx context.Context, stream, consumer string) (*jetstream.ConsumerInfo, error) {
	if err := checkStream(stream); err != nil {
		return nil, err
	}
	if err := checkConsumer(consumer); err != nil {
		return nil, err
	}
	ctx, done, err := q.call(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	c, err := q.js.Consumer(ctx, stream, consumer)
	if err != nil {
		return nil, apiError("consumer "+consumer+" of stream "+stream, err)
	}
	return c.CachedInfo(), nil
}
