package queuetest

import (
	"strings"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

func (s *suite) removeConsumer() {
	s.make(1<<20, "c", "other")
	s.wantErr(s.q.RemoveConsumer(s.ctx, s.stream, "none"), queue.ErrNotFound)
	s.wantErr(s.q.RemoveConsumer(s.ctx, s.stream+"_X", "c"), queue.ErrNotFound)
	s.put("a", "b")
	c, other := s.read("c"), s.read("other")
	s.must(s.expect(c, "a", 1).AckSync(s.ctx))
	s.expect(other, "a", 1)
	s.must(s.q.RemoveConsumer(s.ctx, s.stream, "c"))
	s.wantErr(s.q.RemoveConsumer(s.ctx, s.stream, "c"), queue.ErrNotFound)
	_, err := s.q.ConsumerState(s.ctx, s.stream, "c")
	s.wantErr(err, queue.ErrNotFound)
	for err = nil; err == nil; { // what was read in advance may still come
		_, err = c.Next(s.ctx)
	}
	s.wantErr(err, queue.ErrNotFound)
	s.expect(other, "b", 1)
	s.consumer("c", time.Minute) // anew, from the start
	s.expect(s.read("c"), "a", 1)
}

func (s *suite) removeMessage() {
	s.must(s.q.EnsureStream(s.ctx, queue.StreamConfig{Name: s.stream, MaxBytes: 1 << 20, Removable: true}))
	s.consumer("c", 30*time.Second)
	s.put(ids(6)...)
	c := s.read("c")
	first := s.expect(c, "m001", 1)
	before, err := s.q.StreamState(s.ctx, s.stream)
	s.must(err)

	for _, seq := range []uint64{3, 6} {
		s.must(s.q.RemoveMessage(s.ctx, s.stream, seq))
		_, _, err := s.q.Get(s.ctx, s.stream, seq)
		s.wantErr(err, queue.ErrNotFound)
	}
	for _, seq := range []uint64{0, 3, 6, 7, 1 << 40} {
		s.wantErr(s.q.RemoveMessage(s.ctx, s.stream, seq), queue.ErrNotFound)
	}
	s.wantErr(s.q.RemoveMessage(s.ctx, s.stream+"_X", 1), queue.ErrNotFound)
	st, err := s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if st.Messages != 4 || st.FirstSeq != 1 || st.LastSeq != 6 || st.Bytes >= before.Bytes {
		s.t.Fatalf("state is %+v, was %+v", st, before)
	}
	b := s.browse(queue.BrowseOptions{From: 2})
	for _, seq := range []uint64{2, 4, 5} {
		s.expectEntry(b, seq, ids(6)[seq-1])
	}
	s.must(s.q.RemoveMessage(s.ctx, s.stream, 1))
	st, err = s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if st.Messages != 3 || st.FirstSeq != 2 {
		s.t.Fatalf("state is %+v", st)
	}
	// A consumer misses nothing else, and has what is gone settled.
	s.must(first.Ack())
	for seen := 0; seen < 3; {
		d := s.next(c)
		switch d.Sequence() {
		case 2, 4, 5:
			seen++
		case 3, 6: // it was under way
		default:
			s.t.Fatalf("delivered %d", d.Sequence())
		}
		s.must(d.AckSync(s.ctx))
	}
	s.until("c", "nothing to do", func(c queue.ConsumerState) bool { return c.Pending == 0 && c.AckPending == 0 && c.AckFloor >= 5 })
	s.must(s.q.Purge(s.ctx, s.stream, 4))
	s.must(s.q.RemoveMessage(s.ctx, s.stream, 5))
	st, err = s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if st.Messages != 0 || st.FirstSeq != 7 || st.LastSeq != 6 {
		s.t.Fatalf("an emptied stream is %+v", st)
	}
	s.put("seven")
	s.expectEntry(b, 7, "seven")
}

// notRemovable: what a stream is not made for it does not become.
func (s *suite) notRemovable() {
	s.make(1 << 20)
	s.put("a")
	for range 2 {
		err := s.q.RemoveMessage(s.ctx, s.stream, 1)
		if err == nil || !strings.Contains(err.Error(), "not made removable") || !strings.Contains(err.Error(), s.stream) {
			s.t.Fatalf("error is %v", err)
		}
		s.must(s.q.EnsureStream(s.ctx, queue.StreamConfig{Name: s.stream, MaxBytes: 1 << 20, Removable: true}))
	}
	_, _, err := s.q.Get(s.ctx, s.stream, 1)
	s.must(err)
	removable := s.stream + "_R"
	s.must(s.q.EnsureStream(s.ctx, queue.StreamConfig{Name: removable, MaxBytes: 1 << 20, Removable: true}))
	s.must(s.q.EnsureStream(s.ctx, queue.StreamConfig{Name: removable, MaxBytes: 2 << 20}))
	_, err = s.q.Publish(s.ctx, removable, msg("a"))
	s.must(err)
	s.must(s.q.RemoveMessage(s.ctx, removable, 1))
}

func (s *suite) tryNext() {
	s.make(1<<20, "c")
	c := s.read("c")
	none := func(c queue.Consumer) {
		s.t.Helper()
		if d, ok := c.TryNext(); ok || d != nil {
			s.t.Fatalf("there is %s", d.Message().ID)
		}
	}
	none(c)
	s.put(ids(5)...)
	s.expect(c, "m001", 1)
	// In order with Next, and without it once they are here.
	for i := 1; i < 5; {
		d, ok := c.TryNext()
		if !ok {
			s.pause(time.Millisecond)
			continue
		}
		if d.Message().ID != ids(5)[i] || d.Attempt() != 1 || d.Sequence() != uint64(i+1) {
			s.t.Fatalf("%s at attempt %d, want %s", d.Message().ID, d.Attempt(), ids(5)[i])
		}
		s.must(d.AckSync(s.ctx))
		i++
	}
	none(c)
	s.put("six")
	s.expect(c, "six", 1)
	s.put("seven")
	s.must(c.Close())
	none(c)
	c = s.read("c")
	s.must(s.q.Close())
	none(c)
}
