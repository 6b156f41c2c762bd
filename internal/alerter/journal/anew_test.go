package journal

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// lose deletes the stream behind everybody's back.
func lose(t *testing.T, url string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), topology.Alerts); err != nil {
		t.Fatal(err)
	}
}

// TestALostStreamIsMadeAnew from what the replicas know, with acks and silences; who
// follows from a position is told.
func TestALostStreamIsMadeAnew(t *testing.T) {
	s, q := serve(t)
	a, b := newReplica(t, q).follow(), newReplica(t, q).follow()
	a.fires("A", 3, "")
	id := a.state.Incidents(alerts.Filter{})[0].ID
	a.do(func() ([]alerts.Event, error) { return a.state.Ack(id, "ann", "", time.Time{}, time.Now()) })
	a.tidy(1)
	a.ticks(20)
	b.reaches(a.state.At())
	before := b.state.Snapshot()
	lose(t, s.ClientURL())
	for _, r := range []*replica{a, b} {
		r.until("the log that begins anew", func() bool { return r.state.At() < 10 && r.firing() == 3 })
	}
	at := b.do(func() ([]alerts.Event, error) {
		return b.state.Silence(alerts.Silence{Matchers: []string{"a=b"}, Ends: time.Now().Add(time.Hour), By: "ann"}, time.Now())
	})
	a.reaches(at)
	same(t, a, b)
	if i, ok := a.state.Incident(id); !ok || i.AckedBy != "ann" || len(before.Alerts) != len(a.state.Snapshot().Alerts) {
		t.Errorf("%+v", i)
	}
	fresh := newReplica(t, q).follow()
	fresh.reaches(at)
	same(t, a, fresh)
	for _, r := range []*replica{a, b} {
		n := 0
		for _, e := range r.entries() {
			if e.Anew {
				n++
			}
		}
		r.counts(map[string]float64{"anew": 1, "gaps": 0, "unreadable": 0})
		if n != 1 {
			t.Errorf("told %d times that it is anew", n)
		}
	}
	// Whoever comes with a position of before begins at the beginning.
	stop := errors.New("stop")
	var first alerts.Entry
	err := b.Follow(t.Context(), 1000, func(e alerts.Entry) error { first = e; return stop })
	if !errors.Is(err, stop) || !first.Anew {
		t.Errorf("%+v, %v", first, err)
	}
}

// swapped is a queue that is replaced by an empty one.
type swapped struct {
	*memory.Queue
	now   atomic.Pointer[memory.Queue]
	lossy atomic.Pointer[lossy] // publishes in its place
}

func (q *swapped) PublishNext(ctx context.Context, stream string, m *queue.Message, last uint64) (queue.Receipt, error) {
	if l := q.lossy.Load(); l != nil {
		return l.PublishNext(ctx, stream, m, last)
	}
	return q.now.Load().PublishNext(ctx, stream, m, last)
}
func (q *swapped) EnsureStream(ctx context.Context, c queue.StreamConfig) error {
	return q.now.Load().EnsureStream(ctx, c)
}
func (q *swapped) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	return q.now.Load().StreamState(ctx, stream)
}
func (q *swapped) Get(ctx context.Context, stream string, seq uint64) (*queue.Message, time.Time, error) {
	return q.now.Load().Get(ctx, stream, seq)
}
func (q *swapped) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	return q.now.Load().Browse(ctx, stream, o)
}
func (q *swapped) Load(ctx context.Context, key string) (queue.Value, error) {
	return q.now.Load().Load(ctx, key)
}
func (q *swapped) Save(ctx context.Context, key string, data []byte, revision uint64) (uint64, error) {
	return q.now.Load().Save(ctx, key, data, revision)
}

// TestAnotherWasQuicker: the new stream has more than was read of the old one, of
// somebody who knew nothing. What it has is what is.
func TestAnotherWasQuicker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &swapped{Queue: memory.New()}
		defer func() { _ = q.Close() }() // always nil
		q.now.Store(q.Queue)
		r := newReplica(t, q).follow()
		r.fires("A", 3, "")
		time.Sleep(time.Second)
		next := memory.New()
		defer func() { _ = next.Close() }() // always nil
		other := newReplica(t, next).follow()
		other.ticks(5)
		other.fires("B", 1, "")
		q.now.Store(next)
		r.until("the other log", func() bool { return r.state.At() == 6 })
		same(t, r, other)
		r.counts(map[string]float64{"anew": 1, "snapshots": 0})
	})
}

// TestTooSlow: what is purged before it was read has a snapshot in its place.
func TestTooSlow(t *testing.T) {
	q := memory.New()
	defer func() { _ = q.Close() }() // always nil
	r := newReplica(t, q).follow()
	r.fires("A", 3, "")
	r.ticks(10)
	first := r.state.At() + 1
	r.tidy(1)
	r.reaches(first)
	r.ticks(3)
	if err := q.Purge(t.Context(), topology.Alerts, first-1); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	var list []alerts.Entry
	err := r.Follow(t.Context(), 5, func(e alerts.Entry) error {
		if list = append(list, e); e.CaughtUp {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || len(list) != 4 || list[0].Snapshot == nil || list[0].At != first || list[0].Anew {
		t.Errorf("%+v, %v", list, err)
	}
	r.counts(map[string]float64{"gaps": 0, "anew": 0})
	// And without one that is said, and the rest is read.
	if err := q.Purge(t.Context(), topology.Alerts, first+1); err != nil {
		t.Fatal(err)
	}
	for n, after := range []uint64{0, 5} {
		other := newReplica(t, q)
		list = nil
		err = other.Follow(t.Context(), after, func(e alerts.Entry) error {
			if list = append(list, e); e.CaughtUp {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) || len(list) != 2 {
			t.Errorf("%d: %+v, %v", n, list, err)
		}
		other.counts(map[string]float64{"gaps": 1, "anew": 0})
	}
}

// TestPurgedToTheEnd: nothing comes that would show it, and events can be appended all
// the same.
func TestPurgedToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		defer func() { _ = q.Close() }() // always nil
		r := newReplica(t, q).follow()
		r.fires("A", 3, "")
		r.stop()
		if _, err := r.Append(t.Context(), 1, []alerts.Event{{Kind: "x"}}); err != nil {
			t.Fatal(err)
		}
		if err := q.Purge(t.Context(), topology.Alerts, 2); err != nil {
			t.Fatal(err)
		}
		r.follow()
		r.reaches(2)
		r.fires("B", 1, "")
		r.counts(map[string]float64{"gaps": 1, "anew": 0})
		// The state of who was there is put back by the next tidying.
		r.tidy(1)
		other := newReplica(t, q).follow()
		other.reaches(4)
		if n := other.firing(); n != 4 {
			t.Errorf("%d alerts", n)
		}
	})
}

// TestTakenOut: single messages that somebody took out of a stream that allows it, the last one among them, hold
// nobody up.
func TestTakenOut(t *testing.T) {
	_, q := serve(t)
	if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: topology.Alerts, MaxBytes: topology.AlertsBytes, Removable: true}); err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, q).follow()
	r.fires("A", 3, "")
	r.ticks(6)
	r.stop()
	for _, seq := range []uint64{4, 6, 7} {
		if err := q.RemoveMessage(t.Context(), topology.Alerts, seq); err != nil {
			t.Fatal(err)
		}
	}
	other := newReplica(t, q).follow()
	other.reaches(7)
	other.fires("B", 1, "")
	other.counts(map[string]float64{"gaps": 2, "anew": 0})
	if n := other.firing(); n != 4 {
		t.Errorf("%d alerts", n)
	}
	r.follow().reaches(8)
}

// skewed has a first message that is younger than all others, as of a server whose
// clock was ahead.
type skewed struct {
	*memory.Queue
	asked atomic.Int32
}

func (q *skewed) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	st, err := q.Queue.StreamState(ctx, stream)
	st.FirstTime = st.FirstTime.Add(time.Hour)
	return st, err
}

func (q *skewed) Get(ctx context.Context, stream string, seq uint64) (*queue.Message, time.Time, error) {
	q.asked.Add(1)
	return q.Queue.Get(ctx, stream, seq)
}

// TestAClockThatWasAhead makes no other stream of it.
func TestAClockThatWasAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &skewed{Queue: memory.New()}
		defer func() { _ = q.Close() }() // always nil
		r := newReplica(t, q).follow()
		r.fires("A", 3, "")
		time.Sleep(10 * lookEvery)
		r.fires("B", 1, "")
		r.stop()
		r.counts(map[string]float64{"anew": 0, "gaps": 0})
		if q.asked.Load() == 0 {
			t.Error("nobody has asked what is there")
		}
	})
}

// TestNothingCanBeStoredAnew at once: it is tried until it can, and only then begun
// anew.
func TestNothingCanBeStoredAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &lossy{Queue: memory.New()}
		defer func() { _ = q.Close() }() // always nil
		old := memory.New()
		defer func() { _ = old.Close() }() // always nil
		swap := &swapped{Queue: old}
		swap.now.Store(old)
		r := newReplica(t, swap).follow()
		r.fires("A", 3, "")
		q.lose = []error{queue.ErrClosed, queue.ErrClosed, queue.ErrClosed}
		swap.lossy.Store(q)
		swap.now.Store(q.Queue)
		r.until("the new log", func() bool { return r.entries()[len(r.entries())-1].Snapshot != nil })
		if n := r.firing(); n != 3 {
			t.Errorf("%d alerts", n)
		}
		for _, e := range r.entries() {
			if e.Anew && e.Snapshot == nil && e.CaughtUp {
				t.Errorf("it was told that there is nothing: %+v", e)
			}
		}
		r.counts(map[string]float64{"anew": 1})
	})
}
