package audit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// cramped has no room for a new stream.
type cramped struct {
	*memory.Queue
	tries atomic.Int32
	room  atomic.Bool
}

func (q *cramped) EnsureStream(ctx context.Context, c queue.StreamConfig) error {
	if q.tries.Add(1); !q.room.Load() {
		return queue.ErrNoRoom
	}
	return q.Queue.EnsureStream(ctx, c)
}

// TestNoRoomForTheStream: a store without room for it is tried for a moment, then
// once for each event, which is logged at once; a stop does not wait for room, and
// once there is some events are stored.
func TestNoRoomForTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		q := &cramped{Queue: memory.New()}
		l := New(Options{Config: DefaultConfig(), Process: "p", Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.NewJSONHandler(&log, nil))})
		l.Start(q)
		record := func(action string, within time.Duration, want ...string) {
			t.Helper()
			l.Record(Event{Action: action, Outcome: Done})
			time.Sleep(within)
			events, reasons := log.unrecorded(t)
			var got []string
			for i, e := range events {
				got = append(got, e.Action+" "+reasons[i])
			}
			if !slices.Equal(got, want) {
				t.Errorf("after %s these are logged: %q, want %q", action, got, want)
			}
		}
		record("one", roomPatience-time.Second)
		record("two", 2*time.Second, "one full", "two full")
		before := q.tries.Load()
		record("three", time.Millisecond, "one full", "two full", "three full")
		if n := q.tries.Load() - before; n > 3 { // one of each size
			t.Errorf("the stream was tried to be made %d times for one event", n)
		}
		q.room.Store(true)
		record("four", time.Millisecond, "one full", "two full", "three full")
		if h := l.Head(); h.N != 1 {
			t.Errorf("with room the head is %s", h)
		}
		began := time.Now()
		if err := errors.Join(l.Stop(t.Context()), q.Close()); err != nil || time.Since(began) > 0 {
			t.Errorf("the stop took %s: %v", time.Since(began), err)
		}
	})
}
