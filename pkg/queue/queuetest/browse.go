package queuetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// browse opens a browser that is closed with the test.
func (s *suite) browse(o queue.BrowseOptions) queue.Browser {
	s.t.Helper()
	b, err := s.q.Browse(s.ctx, s.stream, o)
	s.must(err)
	s.t.Cleanup(func() { _ = b.Close() }) // Close is idempotent
	return b
}

// expectEntry wants the next entry to be of this sequence, made by put.
func (s *suite) expectEntry(b queue.Browser, seq uint64, id string) queue.Entry {
	s.t.Helper()
	e, err := b.Next(s.ctx)
	s.must(err)
	if e.Sequence != seq || e.Message.ID != id || string(e.Message.Body) != "body of "+id || e.Size != len(e.Message.Body) ||
		e.Message.Header["Penstock-Signal"] != "traces" || e.StoredAt.IsZero() {
		s.t.Fatalf("entry %d of %d bytes, stored at %s: %+v; want %s at %d", e.Sequence, e.Size, e.StoredAt, e.Message, id, seq)
	}
	return e
}

// still wants no entry for a while.
func (s *suite) still(b queue.Browser, d time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, d)
	defer cancel()
	e, err := b.Next(ctx)
	if err == nil {
		s.t.Fatalf("entry %d: %s, want none", e.Sequence, e.Message.ID)
	}
	s.wantErr(err, context.DeadlineExceeded)
}

// browseOrder also shows that nothing is left behind, and that no consumer is
// disturbed.
func (s *suite) browseOrder() {
	s.make(1<<20, "c")
	s.put(ids(5)...)
	b := s.browse(queue.BrowseOptions{})
	for i, id := range ids(5) {
		s.expectEntry(b, uint64(i+1), id)
	}
	s.still(b, 50*time.Millisecond)
	s.put("late")
	s.expectEntry(b, 6, "late")
	st, err := s.q.StreamState(s.ctx, s.stream)
	s.must(err)
	if !slices.Equal(st.Consumers, []string{"c"}) || st.Messages != 6 {
		s.t.Fatalf("a browser is told as a consumer, or has taken something: %+v", st)
	}
	s.until("c", "an untouched consumer", func(c queue.ConsumerState) bool { return c.Pending == 6 && c.AckPending == 0 && c.AckFloor == 0 })
	s.must(b.Close())
	s.must(b.Close())
	s.expect(s.read("c"), "m001", 1)
}

func (s *suite) browseFrom() {
	s.make(1 << 20)
	s.put(ids(5)...)
	for from, want := range map[uint64]uint64{0: 1, 1: 1, 3: 3, 5: 5} {
		s.expectEntry(s.browse(queue.BrowseOptions{From: from}), want, ids(5)[want-1])
	}
	// Beyond the end it waits for the sequence that was asked for.
	b := s.browse(queue.BrowseOptions{From: 7})
	s.put("six")
	s.still(b, 50*time.Millisecond)
	s.put("seven")
	s.expectEntry(b, 7, "seven")
	empty := s.browse(queue.BrowseOptions{From: 8})
	s.put("eight")
	s.expectEntry(empty, 8, "eight")
}

func (s *suite) browseHeaders() {
	s.make(16 << 20)
	sizes := []int{0, 1, 200 << 10}
	for i, size := range sizes {
		_, err := s.q.Publish(s.ctx, s.stream, &queue.Message{ID: fmt.Sprint(i), Header: map[string]string{"Penstock-Items": fmt.Sprint(size)}, Body: make([]byte, size)})
		s.must(err)
	}
	headers, whole := s.browse(queue.BrowseOptions{HeadersOnly: true, MaxBytes: 1000}), s.browse(queue.BrowseOptions{})
	for i, size := range sizes {
		e, err := headers.Next(s.ctx)
		s.must(err)
		if e.Message.Body != nil || e.Size != size || e.Message.ID != fmt.Sprint(i) || e.Message.Header["Penstock-Items"] != fmt.Sprint(size) || len(e.Message.Header) != 1 {
			s.t.Fatalf("headers of %d: size %d, %+v; want %d bytes", e.Sequence, e.Size, e.Message, size)
		}
		w, err := whole.Next(s.ctx)
		s.must(err)
		if len(w.Message.Body) != size || w.Size != size || w.Sequence != e.Sequence || !w.StoredAt.Equal(e.StoredAt) {
			s.t.Fatalf("entry %d has %d bytes, size %d, at %s; want %d bytes at %s", w.Sequence, len(w.Message.Body), w.Size, w.StoredAt, size, e.StoredAt)
		}
	}
}

func (s *suite) browsePurged() {
	s.make(1 << 20)
	s.put(ids(6)...)
	s.must(s.q.Purge(s.ctx, s.stream, 2))
	b := s.browse(queue.BrowseOptions{From: 1, MaxMessages: 1})
	s.expectEntry(b, 3, "m003")
	s.must(s.q.Purge(s.ctx, s.stream, 6))
	s.put("seven")
	// What was read in advance may still come, and in order.
	last := uint64(3)
	for last < 7 {
		e, err := b.Next(s.ctx)
		s.must(err)
		if e.Sequence <= last || e.Sequence > 5 && e.Sequence < 7 {
			s.t.Fatalf("entry %d after %d", e.Sequence, last)
		}
		last = e.Sequence
	}
}

func (s *suite) browseLarge() {
	const n, size = 40, 100 << 10
	s.make(n*size+8<<20, "c")
	for i, id := range ids(n) {
		body := make([]byte, size)
		body[0], body[size-1] = byte(i), byte(i)
		_, err := s.q.Publish(s.ctx, s.stream, &queue.Message{ID: id, Body: body})
		s.must(err)
	}
	for _, bytes := range []int{1 << 20, 64 << 10} { // the second is less than a message
		b := s.browse(queue.BrowseOptions{MaxBytes: bytes, MaxMessages: 7})
		for i := range n {
			e, err := b.Next(s.ctx)
			s.must(err)
			if body := e.Message.Body; e.Sequence != uint64(i+1) || len(body) != size || body[0] != byte(i) || body[size-1] != byte(i) {
				s.t.Fatalf("entry %d has %d bytes, want %d", e.Sequence, len(body), i+1)
			}
		}
	}
}

// browseBusy: two browsers beside publishers and a consumer, which all end.
func (s *suite) browseBusy() {
	s.make(64<<20, "c")
	const workers, each = 4, 60
	var wg sync.WaitGroup
	for _, o := range []queue.BrowseOptions{{MaxMessages: 5}, {HeadersOnly: true}} {
		b := s.browse(o)
		wg.Go(func() {
			seen := map[string]bool{}
			for want := uint64(1); want <= workers*each; want++ {
				e, err := b.Next(s.ctx)
				if err != nil || e.Sequence != want || seen[e.Message.ID] || e.Size != 5000 {
					s.t.Errorf("entry %d, %v; want %d", e.Sequence, err, want)
					return
				}
				seen[e.Message.ID] = true
			}
		})
	}
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if _, err := s.q.Publish(s.ctx, s.stream, &queue.Message{ID: fmt.Sprintf("%d-%d", w, i), Body: make([]byte, 5000)}); err != nil {
					s.t.Error(err)
					return
				}
			}
		})
	}
	c := s.read("c")
	for range workers * each {
		s.must(s.next(c).Ack())
	}
	wg.Wait()
}

func (s *suite) browseEnds() {
	s.make(1 << 20)
	missing := s.stream + "_X"
	_, err := s.q.Browse(s.ctx, missing, queue.BrowseOptions{})
	s.wantErr(err, queue.ErrNotFound)
	_, err = s.q.SequenceAt(s.ctx, missing, time.Now())
	s.wantErr(err, queue.ErrNotFound)
	for _, o := range []queue.BrowseOptions{{MaxBytes: -1}, {MaxMessages: -1}} {
		if _, err := s.q.Browse(s.ctx, s.stream, o); err == nil {
			s.t.Errorf("%+v is accepted", o)
		}
	}
	b := s.browse(queue.BrowseOptions{})
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err = b.Next(ctx)
	s.wantErr(err, context.Canceled)
	s.put("a")
	s.expectEntry(b, 1, "a") // an ended Next loses nothing

	waits := func(b queue.Browser, end func() error) {
		s.t.Helper()
		waiting := make(chan error, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := b.Next(s.ctx)
			waiting <- err
		})
		s.must(end())
		wg.Wait()
		s.wantErr(<-waiting, queue.ErrClosed)
		_, err := b.Next(s.ctx)
		s.wantErr(err, queue.ErrClosed)
	}
	waits(b, b.Close)
	b = s.browse(queue.BrowseOptions{From: 2})
	waits(b, s.q.Close)
	s.must(b.Close())
	_, err = s.q.Browse(s.ctx, s.stream, queue.BrowseOptions{})
	s.wantErr(err, queue.ErrClosed)
	_, err = s.q.SequenceAt(s.ctx, s.stream, time.Now())
	s.wantErr(err, queue.ErrClosed)
}

func (s *suite) sequenceAt() {
	s.must(s.q.EnsureStream(s.ctx, queue.StreamConfig{Name: s.stream, MaxBytes: 1 << 20, Removable: true}))
	f := func(t time.Time, want uint64) {
		s.t.Helper()
		got, err := s.q.SequenceAt(s.ctx, s.stream, t)
		s.must(err)
		if got != want {
			s.t.Fatalf("at %s: sequence %d, want %d", t, got, want)
		}
	}
	never, always := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Time{}
	for _, t := range []time.Time{always, time.Now(), never} {
		f(t, 1) // empty
	}
	for _, id := range ids(5) {
		s.put(id)
		s.pause(2 * time.Millisecond)
	}
	b := s.browse(queue.BrowseOptions{HeadersOnly: true})
	var at []time.Time
	for range 5 {
		e, err := b.Next(s.ctx)
		s.must(err)
		at = append(at, e.StoredAt)
	}
	f(always, 1)
	f(time.Unix(0, 0), 1)
	for i, t := range at {
		f(t, uint64(i+1))
		f(t.Add(-time.Nanosecond), uint64(i+1))
		f(t.Add(time.Nanosecond), uint64(i+2))
		f(t.In(time.FixedZone("east", 7200)), uint64(i+1))
	}
	f(never, 6)

	s.must(s.q.RemoveMessage(s.ctx, s.stream, 3)) // a hole
	f(at[2], 4)
	f(at[1].Add(1), 4)
	s.must(s.q.Purge(s.ctx, s.stream, 1))
	f(always, 2)
	s.must(s.q.RemoveMessage(s.ctx, s.stream, 5)) // the last one
	f(at[4], 6)
	f(at[3], 4)
	s.must(s.q.Purge(s.ctx, s.stream, 5))
	for _, t := range []time.Time{always, at[0], at[4], never} {
		f(t, 6) // empty again
	}
	s.put("six")
	f(at[4], 6)
	f(always, 6)
}
