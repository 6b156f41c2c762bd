package topology_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// A destination that is given up keeps nothing any more, on all streams that there
// are, and what the others need stays.
func TestDrop(t *testing.T) {
	for name, q := range map[string]queue.Queue{"memory": memory.New(), "jetstream": realQueue(t, 128<<20)} {
		t.Run(name, func(t *testing.T) {
			if err := topology.Apply(t.Context(), q, plan()); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				if _, err := q.Publish(t.Context(), "PENSTOCK_LOGS_1", &queue.Message{ID: fmt.Sprint(i), Body: []byte("x")}); err != nil {
					t.Fatal(err)
				}
			}
			c, err := q.Consume(t.Context(), "PENSTOCK_LOGS_1", "export-some", queue.ConsumeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			d, err := c.Next(t.Context())
			if err == nil {
				err = d.AckSync(t.Context())
			}
			if err := errors.Join(err, c.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := plan().Drop(t.Context(), q, "some"); err == nil || !strings.Contains(err.Error(), "is configured here") {
				t.Errorf("a destination that is configured: %v", err)
			}
			p := plan()
			p.Shards, p.Destinations = 1, p.Destinations[:1] // the second shard is beyond
			readers, err := p.Readers(t.Context(), q, "some")
			if err != nil || len(readers) != 4 {
				t.Fatalf("readers %+v, %v", readers, err)
			}
			dropped, err := p.Drop(t.Context(), q, "some")
			if err != nil || len(dropped) != 4 {
				t.Fatalf("dropped %+v, %v", dropped, err)
			}
			for _, x := range dropped {
				want := topology.Abandoned{Stream: x.Stream, Signal: x.Signal, From: 1}
				if x.Stream == "PENSTOCK_LOGS_1" {
					want.From, want.Messages = 2, 2
				}
				if x != want {
					t.Errorf("dropped %+v, want %+v", x, want)
				}
				if st, err := q.StreamState(t.Context(), x.Stream); err != nil || len(st.Consumers) != 1 || st.Consumers[0] != "export-all" {
					t.Errorf("%s: %+v, %v", x.Stream, st, err)
				}
			}
			if st, err := q.StreamState(t.Context(), "PENSTOCK_LOGS_1"); err != nil || st.Messages != 3 {
				t.Errorf("%+v, %v", st, err)
			}
			if _, err := p.Drop(t.Context(), q, "some"); !errors.Is(err, queue.ErrNotFound) || !strings.Contains(err.Error(), "no stream has its durable export-some") {
				t.Errorf("dropped again: %v", err)
			}
		})
	}
}

// balky fails at the third removal, and to look when it is told to.
type balky struct {
	*memory.Queue
	removals int
	look     error
}

func (q *balky) RemoveConsumer(ctx context.Context, stream, consumer string) error {
	if q.removals++; q.removals == 3 {
		return queue.ErrUnavailable
	}
	return q.Queue.RemoveConsumer(ctx, stream, consumer)
}

func (q *balky) ConsumerState(ctx context.Context, stream, consumer string) (queue.ConsumerState, error) {
	if q.look != nil {
		return queue.ConsumerState{}, q.look
	}
	return q.Queue.ConsumerState(ctx, stream, consumer)
}

func TestDropCanBeRepeated(t *testing.T) {
	q := &balky{Queue: memory.New()}
	if err := topology.Apply(t.Context(), q, plan()); err != nil {
		t.Fatal(err)
	}
	p := plan()
	p.Destinations = nil
	done, err := p.Drop(t.Context(), q, "all")
	if len(done) != 2 || !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), "2 of 6 streams are done, repeat it") {
		t.Errorf("%+v, %v", done, err)
	}
	if done, err := p.Drop(t.Context(), q, "all"); len(done) != 4 || err != nil {
		t.Errorf("the second time: %+v, %v", done, err)
	}
	q.look = queue.ErrUnavailable
	if _, err := p.Readers(t.Context(), q, "some"); !errors.Is(err, queue.ErrUnavailable) || !strings.HasPrefix(err.Error(), "look at destination some on stream PENSTOCK_TRACES_0: ") {
		t.Errorf("unavailable: %v", err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Readers(t.Context(), q, "some"); !errors.Is(err, queue.ErrClosed) || !strings.HasPrefix(err.Error(), "look for stream PENSTOCK_TRACES_0: ") {
		t.Errorf("closed: %v", err)
	}
}

// Letters can be taken out of the dead-letter stream one by one.
func TestDeadLettersAreRemovable(t *testing.T) {
	q := memory.New()
	if err := topology.Apply(t.Context(), q, plan()); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, err := q.Publish(t.Context(), topology.DeadLetters, &queue.Message{ID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.RemoveMessage(t.Context(), topology.DeadLetters, 2); err != nil {
		t.Error(err)
	}
	if err := q.RemoveMessage(t.Context(), "PENSTOCK_LOGS_0", 1); err == nil {
		t.Error("telemetry can be taken out")
	}
}
