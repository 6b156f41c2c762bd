package queuetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

func (s *suite) redelivery() {
	s.make(1 << 20)
	s.consumer("c", s.o.AckWait)
	s.put("a")
	c := s.read("c")
	first := s.expect(c, "a", 1)
	handed := time.Now()
	s.expect(c, "a", 2)
	if waited := time.Since(handed); waited < s.o.AckWait/2 {
		s.t.Fatalf("came back after %s, ack wait is %s", waited, s.o.AckWait)
	}
	s.until("c", "a redelivery", func(c queue.ConsumerState) bool { return c.Redelivered == 1 && c.AckPending == 1 })
	d := s.expect(c, "a", 3)
	s.must(d.AckSync(s.ctx))
	s.must(first.Ack()) // late, and harmless
	s.until("c", "the message settled", func(c queue.ConsumerState) bool { return c.AckFloor == 1 && c.AckPending == 0 })
}

func (s *suite) retry() {
	s.make(1<<20, "c")
	s.put("a", "b")
	c := s.read("c")
	const after = 400 * time.Millisecond
	s.must(s.expect(c, "a", 1).Retry(after))
	asked := time.Now()
	s.must(s.expect(c, "b", 1).Ack())
	d := s.expect(c, "a", 2)
	if waited := time.Since(asked); waited < after*9/10 {
		s.t.Fatalf("came back after %s, asked for %s", waited, after)
	}
	s.must(d.Retry(0))
	s.must(s.expect(c, "a", 3).AckSync(s.ctx))
}

func (s *suite) reject() {
	s.make(1 << 20)
	s.consumer("c", s.o.AckWait*2)
	s.consumer("other", s.o.AckWait*100)
	s.put("poison")
	c := s.read("c")
	s.must(s.expect(c, "poison", 1).Reject("not\r\nUTF-8"))
	s.until("c", "the message settled", func(c queue.ConsumerState) bool { return c.AckFloor == 1 && c.AckPending == 0 })
	s.quiet(c, s.o.AckWait*5/2)
	s.expect(s.read("other"), "poison", 1) // to this consumer alone
	_, _, err := s.q.Get(s.ctx, s.stream, 1)
	s.must(err)
}

// extend leaves room for a slow machine: a delivery is extended six times within
// its ack wait, for longer than that.
func (s *suite) extend() {
	s.make(1 << 20)
	s.consumer("c", s.o.AckWait*3)
	s.put("a")
	c := s.read("c")
	d := s.expect(c, "a", 1)
	for range 8 {
		s.quiet(c, s.o.AckWait/2)
		s.must(d.Extend())
	}
	s.must(d.AckSync(s.ctx))
	if d.Extend() == nil {
		s.t.Fatal("a settled delivery was extended")
	}
}

func (s *suite) ackSync() {
	s.make(1<<20, "c")
	s.put("a", "b")
	c := s.read("c")
	s.must(s.expect(c, "a", 1).AckSync(s.ctx))
	st, err := s.q.ConsumerState(s.ctx, s.stream, "c")
	s.must(err)
	if st.AckFloor != 1 {
		s.t.Fatalf("state after a confirmed ack: %+v", st)
	}
	b := s.expect(c, "b", 1)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	s.wantErr(b.AckSync(ctx), queue.ErrUnavailable)
	s.must(b.AckSync(s.ctx)) // it failed, so it did not count
}

func (s *suite) settleOnce() {
	s.make(1<<20, "c")
	settle := map[string]func(queue.Delivery) error{
		"ack":      queue.Delivery.Ack,
		"ack sync": func(d queue.Delivery) error { return d.AckSync(s.ctx) },
		"retry":    func(d queue.Delivery) error { return d.Retry(time.Hour) },
		"reject":   func(d queue.Delivery) error { return d.Reject("no") },
	}
	c := s.read("c")
	for _, first := range slices.Sorted(maps.Keys(settle)) {
		s.put(first)
		d := s.expect(c, first, 1)
		s.must(settle[first](d))
		for _, second := range slices.Sorted(maps.Keys(settle)) {
			if settle[second](d) == nil {
				s.t.Errorf("%s after %s is accepted", second, first)
			}
		}
	}
	s.put("racing")
	d := s.expect(c, "racing", 1)
	var wg sync.WaitGroup
	won := make(chan struct{}, 8)
	for range 8 {
		wg.Go(func() {
			if d.Ack() == nil {
				won <- struct{}{}
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		s.t.Fatalf("%d of 8 acks of one delivery counted", len(won))
	}
}

func (s *suite) ackFloor() {
	s.make(1<<20, "c")
	s.put(ids(5)...)
	c := s.read("c")
	var ds []queue.Delivery
	for range 5 {
		ds = append(ds, s.next(c))
	}
	floor := func(want uint64, pending int) {
		s.t.Helper()
		s.until("c", fmt.Sprintf("floor %d with %d in hand", want, pending),
			func(c queue.ConsumerState) bool { return c.AckFloor == want && c.AckPending == pending })
	}
	s.must(ds[1].Ack())
	s.must(ds[2].Reject("bad"))
	floor(0, 3)
	s.must(ds[0].Ack())
	floor(3, 2)
	s.must(ds[4].Ack())
	floor(3, 1)
	s.must(ds[3].Ack())
	floor(5, 0)
}
