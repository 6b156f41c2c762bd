package queuetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

func (s *suite) independent() {
	s.make(1<<20, "a", "b")
	s.put(ids(3)...)
	a, b := s.read("a"), s.read("b")
	for _, id := range ids(3) {
		s.must(s.expect(a, id, 1).AckSync(s.ctx))
	}
	for _, id := range ids(3) {
		d := s.expect(b, id, 1)
		if d.Stream() != s.stream || string(d.Message().Body) != "body of "+id || d.Message().Header["Penstock-Signal"] != "traces" || d.StoredAt().IsZero() {
			s.t.Fatalf("delivery %s of %s: %+v stored at %s", id, d.Stream(), d.Message(), d.StoredAt())
		}
	}
	s.until("a", "all acked", func(c queue.ConsumerState) bool { return c.AckFloor == 3 && c.AckPending == 0 && c.Pending == 0 })
	s.until("b", "none acked", func(c queue.ConsumerState) bool { return c.AckFloor == 0 && c.AckPending == 3 && c.Pending == 0 })
}

func (s *suite) consumerFirst() {
	s.make(1<<20, "c")
	s.put("a", "b")
	s.until("c", "pending without readers", func(c queue.ConsumerState) bool { return c.Pending == 2 && c.AckPending == 0 })
	c := s.read("c")
	s.must(s.expect(c, "a", 1).AckSync(s.ctx))
	s.must(c.Close())
	s.put("c")
	// Without readers the consumer lives on, at its place. What a reader held and
	// gave back may count as an attempt.
	c = s.read("c")
	got := []string{s.next(c).Message().ID, s.next(c).Message().ID}
	slices.Sort(got)
	if !slices.Equal(got, []string{"b", "c"}) {
		s.t.Fatalf("delivered %v, want b and c", got)
	}
}

func (s *suite) order() {
	s.make(1<<20, "c")
	c := s.read("c")
	s.put(ids(100)...)
	for i, id := range ids(100) {
		d := s.expect(c, id, 1)
		if d.Sequence() != uint64(i+1) {
			s.t.Fatalf("%s has sequence %d", id, d.Sequence())
		}
		s.must(d.Ack())
	}
}

func (s *suite) maxAckPending() {
	s.make(1 << 20)
	s.must(s.q.EnsureConsumer(s.ctx, s.stream, queue.ConsumerConfig{Name: "c", AckWait: 30 * time.Second, MaxAckPending: 3}))
	s.put(ids(5)...)
	c := s.read("c")
	first := s.expect(c, "m001", 1)
	s.expect(c, "m002", 1)
	s.expect(c, "m003", 1)
	s.quiet(c, 200*time.Millisecond)
	s.must(first.Ack())
	s.expect(c, "m004", 1)
}

func (s *suite) shared() {
	s.make(1<<20, "c")
	const n, readers = 200, 3
	s.put(ids(n)...)
	var mu sync.Mutex
	got := map[string]int{}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var one sync.WaitGroup // each reader has its first delivery
	one.Add(readers)
	var wg sync.WaitGroup
	for range readers {
		c := s.readWith("c", queue.ConsumeOptions{MaxMessages: 4})
		wg.Go(func() {
			for first := true; ; first = false {
				d, err := c.Next(ctx)
				if first {
					one.Done()
					one.Wait()
				}
				if err != nil {
					return
				}
				if err := d.AckSync(s.ctx); err != nil {
					s.t.Errorf("ack: %v", err)
				}
				mu.Lock()
				got[d.Message().ID]++
				if len(got) == n {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(got) != n {
		s.t.Fatalf("%d of %d messages were delivered", len(got), n)
	}
	for id, times := range got {
		if times != 1 {
			s.t.Errorf("%s was delivered %d times", id, times)
		}
	}
}

func (s *suite) closeGivesBack() {
	s.make(1<<20, "c") // ack wait is longer than the test
	s.put(ids(20)...)
	c := s.readWith("c", queue.ConsumeOptions{MaxMessages: 10})
	held := s.expect(c, "m001", 1)
	s.must(c.Close())
	s.must(c.Close())
	_, err := c.Next(s.ctx)
	s.wantErr(err, queue.ErrClosed)

	other := s.read("c")
	seen := map[string]bool{}
	for len(seen) < 19 {
		d := s.next(other)
		seen[d.Message().ID] = true
		s.must(d.Ack())
	}
	if seen["m001"] {
		s.t.Fatal("a delivery in hand was given back")
	}
	s.must(held.AckSync(s.ctx)) // still possible
	s.until("c", "all settled", func(c queue.ConsumerState) bool { return c.AckFloor == 20 })
}

func (s *suite) largeMessages() {
	const n, size = 200, 256 << 10
	s.make(n*size+16<<20, "c")
	c := s.readWith("c", queue.ConsumeOptions{MaxBytes: 2 << 20})
	var wg sync.WaitGroup
	wg.Go(func() {
		body := make([]byte, size)
		for i, id := range ids(n) {
			body[0], body[size-1] = byte(i), byte(i)
			if _, err := s.q.Publish(s.ctx, s.stream, &queue.Message{ID: id, Body: body}); err != nil {
				s.t.Errorf("publish: %v", err)
				return
			}
		}
	})
	for i, id := range ids(n) {
		d := s.expect(c, id, 1)
		if b := d.Message().Body; len(b) != size || b[0] != byte(i) || b[size-1] != byte(i) {
			s.t.Fatalf("%s has %d bytes, from %d to %d", id, len(b), b[0], b[len(b)-1])
		}
		s.must(d.Ack())
	}
	wg.Wait()
}

// aboveBound: a bound that is too small for a message slows, and never stops.
func (s *suite) aboveBound() {
	s.make(16<<20, "c")
	for _, id := range ids(3) {
		_, err := s.q.Publish(s.ctx, s.stream, &queue.Message{ID: id, Body: make([]byte, 200<<10)})
		s.must(err)
	}
	c := s.readWith("c", queue.ConsumeOptions{MaxBytes: 64 << 10})
	for _, id := range ids(3) {
		s.must(s.expect(c, id, 1).Ack())
	}
}

func (s *suite) nextContext() {
	s.make(1<<20, "c")
	c := s.read("c")
	s.quiet(c, 20*time.Millisecond)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err := c.Next(ctx)
	s.wantErr(err, context.Canceled)
	s.put("a")
	s.expect(c, "a", 1) // an ended Next loses nothing
}

func (s *suite) closed() {
	s.make(1<<20, "c")
	s.put("a")
	c := s.read("c")
	d := s.expect(c, "a", 1)
	waiting := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.Next(s.ctx)
		waiting <- err
	})
	s.must(s.q.Close())
	s.must(s.q.Close())
	wg.Wait()
	want := func(err error) { s.t.Helper(); s.wantErr(err, queue.ErrClosed) }
	want(<-waiting)
	_, err := c.Next(s.ctx)
	want(err)
	s.must(c.Close())
	_, err = s.q.Publish(s.ctx, s.stream, msg("b"))
	want(err)
	want(s.q.EnsureStream(s.ctx, queue.StreamConfig{Name: s.stream, MaxBytes: 1 << 20}))
	want(s.q.EnsureConsumer(s.ctx, s.stream, queue.ConsumerConfig{Name: "c"}))
	_, err = s.q.StreamState(s.ctx, s.stream)
	want(err)
	_, err = s.q.ConsumerState(s.ctx, s.stream, "c")
	want(err)
	_, _, err = s.q.Get(s.ctx, s.stream, 1)
	want(err)
	want(s.q.Purge(s.ctx, s.stream, 1))
	want(s.q.RemoveConsumer(s.ctx, s.stream, "c"))
	want(s.q.RemoveMessage(s.ctx, s.stream, 1))
	_, err = s.q.Consume(s.ctx, s.stream, "c", queue.ConsumeOptions{})
	want(err)
	want(s.q.Ready(s.ctx))
	want(d.Ack())
	want(d.AckSync(s.ctx))
}
