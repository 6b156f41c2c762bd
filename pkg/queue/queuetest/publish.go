package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

func (s *suite) publishConfirmed() {
	s.make(1 << 20)
	before := time.Now().Add(-time.Minute)
	header := map[string]string{"Penstock-Signal": "metrics", "Penstock-Items": "17"}
	for i, body := range [][]byte{[]byte("one"), {}, {0, 1, 2, 255, '\r', '\n'}, bytes.Repeat([]byte("x"), 300_000)} {
		id := "id-" + strconv.Itoa(i)
		m := &queue.Message{ID: id, Header: maps.Clone(header), Body: bytes.Clone(body)}
		r, err := s.q.Publish(s.ctx, s.stream, m)
		s.must(err)
		if r.Sequence != uint64(i+1) || r.Duplicate {
			s.t.Fatalf("receipt %+v, want sequence %d", r, i+1)
		}
		if m.ID != id || !maps.Equal(m.Header, header) || !bytes.Equal(m.Body, body) {
			s.t.Fatal("the caller's message was changed")
		}
		clear(m.Body) // it belongs to the caller again
		got, at, err := s.q.Get(s.ctx, s.stream, r.Sequence)
		s.must(err)
		if got.ID != id || !maps.Equal(got.Header, header) || !bytes.Equal(got.Body, body) {
			s.t.Fatalf("read back %q %v and %d bytes, want %q %v and %d bytes", got.ID, got.Header, len(got.Body), id, header, len(body))
		}
		if at.Before(before) || at.After(time.Now().Add(time.Minute)) {
			s.t.Fatalf("stored at %s", at)
		}
	}
	s.must(s.q.Ready(s.ctx))
}

func (s *suite) dedup() {
	s.make(1 << 20)
	s.put("a", "b")
	r, err := s.q.Publish(s.ctx, s.stream, msg("a"))
	s.must(err)
	if !r.Duplicate || r.Sequence != 1 {
		s.t.Fatalf("receipt of a repetition: %+v", r)
	}
	st, err := s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if st.Messages != 2 {
		s.t.Fatalf("%d messages, want 2", st.Messages)
	}
}

// dedupWindow checks only the default's lower bound: a window that tests could
// wait for is below what implementations accept.
func (s *suite) dedupWindow() {
	s.must(s.q.EnsureStream(s.ctx, queue.StreamConfig{Name: s.stream, MaxBytes: 1 << 20, DedupWindow: 2 * time.Minute}))
	s.put("a")
	s.must(s.q.Purge(s.ctx, s.stream, 1))
	r, err := s.q.Publish(s.ctx, s.stream, msg("a"))
	s.must(err)
	if !r.Duplicate {
		s.t.Fatalf("an ID was forgotten within the window: %+v", r)
	}
}

func (s *suite) full() {
	const limit, size = 256 << 10, 10_000
	s.make(limit, "c")
	stored := map[uint64]string{}
	var refused int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 20 {
				id := fmt.Sprintf("w%d-%d", w, i)
				r, err := s.q.Publish(s.ctx, s.stream, &queue.Message{ID: id, Body: bytes.Repeat([]byte{byte(w)}, size)})
				mu.Lock()
				switch {
				case err == nil:
					stored[r.Sequence] = id
				case errors.Is(err, queue.ErrFull):
					refused++
				default:
					s.t.Errorf("publish %s: %v", id, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if refused == 0 || len(stored) < limit/size/2 {
		s.t.Fatalf("%d confirmed, %d refused", len(stored), refused)
	}
	for seq, id := range stored {
		m, _, err := s.q.Get(s.ctx, s.stream, seq)
		s.must(err)
		if m.ID != id {
			s.t.Fatalf("sequence %d holds %s, want %s", seq, m.ID, id)
		}
	}
	st, err := s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if st.Messages != uint64(len(stored)) || st.Bytes > limit {
		s.t.Fatalf("%d messages and %d bytes, want %d and at most %d", st.Messages, st.Bytes, len(stored), limit)
	}
	// A full stream delivers on, and consuming makes no room.
	c := s.read("c")
	for range stored {
		s.must(s.next(c).AckSync(s.ctx))
	}
	_, err = s.q.Publish(s.ctx, s.stream, &queue.Message{ID: "late", Body: make([]byte, size)})
	s.wantErr(err, queue.ErrFull)
}

func (s *suite) resumeAfterPurge() {
	s.make(64<<10, "c")
	last := uint64(0)
	fill := func(prefix string) (refused string) {
		for i := 0; ; i++ {
			id := prefix + strconv.Itoa(i)
			r, err := s.q.Publish(s.ctx, s.stream, &queue.Message{ID: id, Body: make([]byte, 8<<10)})
			if err != nil {
				s.wantErr(err, queue.ErrFull)
				return id
			}
			last = r.Sequence
		}
	}
	refused := fill("a")
	s.must(s.q.Purge(s.ctx, s.stream, last))
	// What was refused was not stored: its ID is free.
	r, err := s.q.Publish(s.ctx, s.stream, &queue.Message{ID: refused, Body: []byte("again")})
	s.must(err)
	if r.Duplicate || r.Sequence <= last {
		s.t.Fatalf("receipt %+v after purge up to %d", r, last)
	}
	fill("b")
	s.expect(s.read("c"), refused, 1)
}

func (s *suite) tooLarge() {
	s.make(64 << 20)
	limit := s.q.MaxMessageBytes()
	if limit < 64<<10 {
		s.t.Fatalf("largest message: %d bytes", limit)
	}
	_, err := s.q.Publish(s.ctx, s.stream, &queue.Message{ID: "big", Body: make([]byte, limit+1)})
	s.wantErr(err, queue.ErrTooLarge)
	h := map[string]string{"Penstock-Signal": "logs"}
	n := len("fits") + len("Penstock-Signal") + len("logs")
	_, err = s.q.Publish(s.ctx, s.stream, &queue.Message{ID: "fits", Header: h, Body: make([]byte, limit-n)})
	s.must(err)
}

func (s *suite) notFound() {
	missing := s.stream + "_X"
	want := func(err error) { s.t.Helper(); s.wantErr(err, queue.ErrNotFound) }
	_, err := s.q.Publish(s.ctx, missing, msg("a"))
	want(err)
	want(s.q.EnsureConsumer(s.ctx, missing, queue.ConsumerConfig{Name: "c"}))
	_, err = s.q.StreamState(s.ctx, missing)
	want(err)
	_, err = s.q.ConsumerState(s.ctx, missing, "c")
	want(err)
	_, _, err = s.q.Get(s.ctx, missing, 1)
	want(err)
	want(s.q.Purge(s.ctx, missing, 1))
	_, err = s.q.Consume(s.ctx, missing, "c", queue.ConsumeOptions{})
	want(err)

	s.make(1 << 20)
	_, err = s.q.ConsumerState(s.ctx, s.stream, "c")
	want(err)
	_, err = s.q.Consume(s.ctx, s.stream, "c", queue.ConsumeOptions{})
	want(err)
	for _, seq := range []uint64{0, 1} {
		_, _, err = s.q.Get(s.ctx, s.stream, seq)
		want(err)
	}
}

func (s *suite) badArguments() {
	s.make(1<<20, "c")
	refused := func(what string, err error) {
		s.t.Helper()
		if err == nil {
			s.t.Errorf("%s is accepted", what)
		}
	}
	_, err := s.q.Publish(s.ctx, s.stream, &queue.Message{Body: []byte("x")})
	refused("a message without ID", err)
	refused("a stream without limit", s.q.EnsureStream(s.ctx, queue.StreamConfig{Name: s.stream + "_Y"}))
	refused("a stream without name", s.q.EnsureStream(s.ctx, queue.StreamConfig{MaxBytes: 1 << 20}))
	refused("a consumer without name", s.q.EnsureConsumer(s.ctx, s.stream, queue.ConsumerConfig{}))
	refused("a negative ack wait", s.q.EnsureConsumer(s.ctx, s.stream, queue.ConsumerConfig{Name: "d", AckWait: -1}))
	_, err = s.q.Consume(s.ctx, s.stream, "c", queue.ConsumeOptions{MaxBytes: -1})
	refused("a negative byte bound", err)
}

func (s *suite) publishContext() {
	s.make(1 << 20)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err := s.q.Publish(ctx, s.stream, msg("a"))
	s.wantErr(err, queue.ErrUnavailable)
	s.wantErr(err, context.Canceled)
}

func (s *suite) manyPublishers() {
	s.make(64<<20, "c")
	const workers, each = 8, 25
	seqs := make([][]uint64, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				r, err := s.q.Publish(s.ctx, s.stream, &queue.Message{ID: fmt.Sprintf("%d-%d", w, i), Body: make([]byte, 10_000)})
				if err != nil {
					s.t.Error(err)
					return
				}
				seqs[w] = append(seqs[w], r.Sequence)
			}
		})
	}
	wg.Wait()
	seen := map[uint64]bool{}
	for _, ss := range seqs {
		for i, seq := range ss {
			if seen[seq] || i > 0 && seq <= ss[i-1] {
				s.t.Fatalf("sequences of one publisher: %v", ss)
			}
			seen[seq] = true
		}
	}
	if len(seen) != workers*each {
		s.t.Fatalf("%d sequences, want %d", len(seen), workers*each)
	}
}
