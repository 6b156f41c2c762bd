package memory_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// TestClock: all times are exact under a clock that the test owns.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		q := memory.New()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(q.EnsureStream(ctx, queue.StreamConfig{Name: "S", MaxBytes: 1 << 20}))
		must(q.EnsureConsumer(ctx, "S", queue.ConsumerConfig{Name: "c"}))
		publish := func() queue.Receipt {
			t.Helper()
			r, err := q.Publish(ctx, "S", &queue.Message{ID: "a"})
			must(err)
			return r
		}
		publish()
		c, err := q.Consume(ctx, "S", "c", queue.ConsumeOptions{})
		must(err)
		start := time.Now()
		after := func(want time.Duration, attempt int) queue.Delivery {
			t.Helper()
			d, err := c.Next(ctx)
			must(err)
			if got := time.Since(start); got != want || d.Attempt() != attempt {
				t.Fatalf("attempt %d after %s, want attempt %d after %s", d.Attempt(), got, attempt, want)
			}
			return d
		}
		after(0, 1)
		d := after(time.Minute, 2) // ack wait
		must(d.Retry(time.Hour))
		d = after(time.Hour+time.Minute, 3)
		time.Sleep(59 * time.Second)
		must(d.Extend())
		d = after(time.Hour+time.Minute+59*time.Second+time.Minute, 4)
		must(d.Ack())

		// The window of 60 s has passed long ago.
		if r := publish(); r.Duplicate || r.Sequence != 2 {
			t.Fatalf("receipt %+v", r)
		}
		time.Sleep(time.Minute - time.Nanosecond)
		if r := publish(); !r.Duplicate {
			t.Fatalf("receipt %+v within the window", r)
		}
		time.Sleep(time.Nanosecond)
		if r := publish(); r.Duplicate {
			t.Fatalf("receipt %+v after the window", r)
		}
		must(c.Close())
	})
}

// TestSequenceAtOneInstant: of those stored at the same time it is the first that
// is there.
func TestSequenceAtOneInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		q := memory.New()
		if err := q.EnsureStream(ctx, queue.StreamConfig{Name: "S", MaxBytes: 1 << 20, Removable: true}); err != nil {
			t.Fatal(err)
		}
		f := func(at time.Time, want uint64) {
			t.Helper()
			if got, err := q.SequenceAt(ctx, "S", at); err != nil || got != want {
				t.Fatalf("at %s: %d, %v; want %d", at, got, err, want)
			}
		}
		var times []time.Time
		for i, id := range []string{"a", "b", "c", "d", "e", "f"} {
			if i%3 == 0 {
				time.Sleep(time.Second)
				times = append(times, time.Now())
			}
			if _, err := q.Publish(ctx, "S", &queue.Message{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		f(times[0], 1)
		f(times[0].Add(1), 4)
		f(times[1].Round(0), 4) // as it comes from elsewhere, without a monotonic clock
		f(times[1].Add(1), 7)
		if err := q.RemoveMessage(ctx, "S", 4); err != nil {
			t.Fatal(err)
		}
		f(times[1], 5)
	})
}

func TestMaxMessageBytes(t *testing.T) {
	q := memory.New(memory.WithMaxMessageBytes(100))
	if q.MaxMessageBytes() != 100 {
		t.Fatal(q.MaxMessageBytes())
	}
}
