package queuetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/penstock-otel/penstock/pkg/queue"
)

func (s *suite) publishNext() {
	s.make(1<<20, "c")
	next := func(id string, last uint64) (queue.Receipt, error) {
		return s.q.PublishNext(s.ctx, s.stream, msg(id), last)
	}
	stored := func(id string, last uint64) {
		s.t.Helper()
		r, err := next(id, last)
		s.must(err)
		if r.Sequence != last+1 || r.Duplicate {
			s.t.Fatalf("receipt %+v of %s after %d", r, id, last)
		}
	}
	refused := func(id string, last uint64) {
		s.t.Helper()
		_, err := next(id, last)
		s.wantErr(err, queue.ErrConflict)
	}
	refused("early", 1)
	stored("a", 0)
	refused("b", 0)
	refused("b", 2)
	stored("b", 1) // what was refused was not stored: its ID is free
	// A repetition is known again, also when others have followed.
	s.put("c")
	for range 2 {
		r, err := next("b", 1)
		s.must(err)
		if r.Sequence != 2 || !r.Duplicate {
			s.t.Fatalf("receipt of a repetition: %+v", r)
		}
	}
	// What is purged still counts.
	s.must(s.q.Purge(s.ctx, s.stream, 3))
	refused("d", 0)
	stored("d", 3)
	_, err := s.q.PublishNext(s.ctx, s.stream+"_X", msg("e"), 0)
	s.wantErr(err, queue.ErrNotFound)
	s.expect(s.read("c"), "d", 1)
	s.must(s.q.Close())
	_, err = next("f", 4)
	s.wantErr(err, queue.ErrClosed)
}

func (s *suite) publishNextFull() {
	s.make(64 << 10)
	var last uint64
	for {
		_, err := s.q.PublishNext(s.ctx, s.stream, &queue.Message{ID: fmt.Sprint(last), Body: make([]byte, 8<<10)}, last)
		if err != nil {
			s.wantErr(err, queue.ErrFull)
			break
		}
		last++
	}
	s.must(s.q.Purge(s.ctx, s.stream, last))
	r, err := s.q.PublishNext(s.ctx, s.stream, &queue.Message{ID: fmt.Sprint(last), Body: []byte("again")}, last)
	s.must(err)
	if r.Sequence != last+1 || r.Duplicate {
		s.t.Fatalf("receipt %+v after %d", r, last)
	}
}

// publishNextMany: writers at one stream make one chain, each message of which
// was written by who knew the one before.
func (s *suite) publishNextMany() {
	s.make(16 << 20)
	const workers, each = 4, 15
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			last := uint64(0)
			for i := 0; i < each; {
				r, err := s.q.PublishNext(s.ctx, s.stream, &queue.Message{ID: fmt.Sprintf("%d-%d-after-%d", w, i, last), Body: fmt.Append(nil, last)}, last)
				switch {
				case err == nil && r.Sequence == last+1:
					last = r.Sequence
					i++
				case errors.Is(err, queue.ErrConflict):
					st, err := s.q.StreamState(s.ctx, s.stream)
					if err != nil {
						s.t.Error(err)
						return
					}
					last = st.LastSeq
				default:
					s.t.Errorf("receipt %+v, %v", r, err)
					return
				}
			}
		})
	}
	wg.Wait()
	st, err := s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if st.Messages != workers*each || st.LastSeq != workers*each {
		s.t.Fatalf("%+v, want %d messages", st, workers*each)
	}
	b := s.browse(queue.BrowseOptions{})
	for i := range uint64(workers * each) {
		e, err := b.Next(s.ctx)
		s.must(err)
		if e.Sequence != i+1 || string(e.Message.Body) != fmt.Sprint(i) {
			s.t.Fatalf("entry %d was written after %s", e.Sequence, e.Message.Body)
		}
	}
}
