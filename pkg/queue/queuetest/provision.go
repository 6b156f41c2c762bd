package queuetest

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

func (s *suite) ensure() {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := s.q.EnsureStream(s.ctx, queue.StreamConfig{Name: s.stream, MaxBytes: 1 << 20}); err != nil {
				s.t.Errorf("stream: %v", err)
				return
			}
			if err := s.q.EnsureConsumer(s.ctx, s.stream, queue.ConsumerConfig{Name: "c"}); err != nil {
				s.t.Errorf("consumer: %v", err)
			}
		})
	}
	wg.Wait()
	s.put("a", "b")
	c := s.read("c")
	s.must(s.expect(c, "a", 1).AckSync(s.ctx))
	// Ensuring what exists, also with another ack wait, moves nothing.
	s.make(1 << 20)
	s.must(s.q.EnsureConsumer(s.ctx, s.stream, queue.ConsumerConfig{Name: "c", AckWait: 10 * time.Second, MaxAckPending: 7}))
	st, err := s.q.ConsumerState(s.ctx, s.stream, "c")
	s.must(err)
	if st.AckFloor != 1 {
		s.t.Fatalf("state after ensuring again: %+v", st)
	}
	s.must(s.expect(c, "b", 1).Ack())
}

func (s *suite) resize() {
	s.make(64 << 10)
	s.put("a", "b")
	s.make(128 << 10)
	st, err := s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if st.MaxBytes != 128<<10 || st.Messages != 2 {
		s.t.Fatalf("after growing: %+v", st)
	}
	if s.q.EnsureStream(s.ctx, queue.StreamConfig{Name: s.stream, MaxBytes: 10}) == nil {
		s.t.Fatal("shrunk below what is stored")
	}
	st, err = s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if st.MaxBytes != 128<<10 || st.Messages != 2 {
		s.t.Fatalf("after the refusal: %+v", st)
	}
}

func (s *suite) purge() {
	s.make(1<<20, "c")
	s.put(ids(5)...)
	s.must(s.q.Purge(s.ctx, s.stream, 0)) // nothing
	s.must(s.q.Purge(s.ctx, s.stream, 3))
	for seq := range uint64(6) {
		_, _, err := s.q.Get(s.ctx, s.stream, seq)
		if seq == 4 || seq == 5 {
			s.must(err)
		} else {
			s.wantErr(err, queue.ErrNotFound)
		}
	}
	s.expect(s.read("c"), "m004", 1)
	s.must(s.q.Purge(s.ctx, s.stream, 2)) // gone already
	s.must(s.q.Purge(s.ctx, s.stream, 5))
	st, err := s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if st.Messages != 0 || st.FirstSeq != 6 || st.LastSeq != 5 {
		s.t.Fatalf("empty stream: %+v", st)
	}
	s.until("c", "ack floor at the purged", func(c queue.ConsumerState) bool { return c.AckFloor == 5 && c.AckPending == 0 })
	r, err := s.q.Publish(s.ctx, s.stream, msg("next"))
	s.must(err)
	if r.Sequence != 6 {
		s.t.Fatalf("sequence after purge of all: %d, want 6", r.Sequence)
	}
}

func (s *suite) streamState() {
	s.make(1<<20, "b", "a")
	st, err := s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if st.Name != s.stream || st.Messages != 0 || st.FirstSeq != 1 || st.LastSeq != 0 || st.MaxBytes != 1<<20 ||
		!slices.Equal(st.Consumers, []string{"a", "b"}) || !st.FirstTime.IsZero() {
		s.t.Fatalf("empty stream: %+v", st)
	}
	for i := range 3 {
		_, err := s.q.Publish(s.ctx, s.stream, &queue.Message{ID: strconv.Itoa(i), Body: make([]byte, 1000)})
		s.must(err)
	}
	st, err = s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if st.Messages != 3 || st.FirstSeq != 1 || st.LastSeq != 3 || st.Bytes < 3000 ||
		st.FirstTime.IsZero() || st.LastTime.Before(st.FirstTime) {
		s.t.Fatalf("three messages: %+v", st)
	}
}
