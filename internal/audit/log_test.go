package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// moody is a queue that fails as it is told.
type moody struct {
	*memory.Queue
	publish atomic.Pointer[func(last uint64) error]
}

func (q *moody) PublishNext(ctx context.Context, stream string, m *queue.Message, last uint64) (queue.Receipt, error) {
	if f := q.publish.Load(); f != nil {
		if err := (*f)(last); err != nil {
			return queue.Receipt{}, err
		}
	}
	return q.Queue.PublishNext(ctx, stream, m, last)
}

func (q *moody) fail(f func(last uint64) error) {
	if f == nil {
		q.publish.Store(nil)
		return
	}
	q.publish.Store(&f)
}

// TestBeforeTheQueue: what happens before there is a queue is stored once there is
// one, operators' actions first.
func TestBeforeTheQueue(t *testing.T) {
	q := memory.New()
	r := newRig(t, "gateway-a")
	r.Record(Event{Action: Authenticate, Outcome: Refused, Reason: "unknown", Peer: "192.0.2.1:1"})
	for i := range 3 {
		r.Record(Event{Action: fmt.Sprint("action ", i), Outcome: Done})
	}
	r.Start(q)
	r.stop(t)
	items, last, err := List(t.Context(), q, Filter{}, 0, 0, false)
	if err != nil || len(items) != 4 || last != 4 {
		t.Fatalf("%+v, %d, %v", items, last, err)
	}
	for i, want := range []string{"action 0", "action 1", "action 2", Authenticate} {
		if e := items[i].Event; e.Action != want || e.Process != "gateway-a" || e.At.IsZero() {
			t.Errorf("entry %d is %+v", i, e)
		}
	}
	if h := whole(t, q, 4).Head; h != r.Head() || h.N != 4 || testutil.ToFloat64(r.metrics.head) != 4 {
		t.Errorf("head is %v, of the log %v", h, r.Head())
	}
	for outcome, want := range map[string]float64{Done: 3, Refused: 1} {
		if got := testutil.ToFloat64(r.metrics.entries.WithLabelValues(outcome)); got != want {
			t.Errorf("%v entries %s", got, outcome)
		}
	}
}

// TestOverflow: who records is never held up, and what finds no place is in the
// log. Refusals take no place of actions.
func TestOverflow(t *testing.T) {
	r := newRig(t, "p")
	for i := range 10 * maxRefusals {
		r.Record(Event{Action: Authenticate, Outcome: Refused, Reason: "unknown", Peer: fmt.Sprintf("10.%d.%d.1:1", i/200, i%200)})
	}
	for i := range maxActions + 3 {
		r.Record(Event{Action: fmt.Sprint("action ", i), Outcome: Done})
	}
	events, reasons := r.lines.unrecorded(t)
	if len(events) != 3 || events[0].Action != fmt.Sprint("action ", maxActions) || reasons[0] != reasonOverflow || r.lost(reasonOverflow) != 3 {
		t.Fatalf("%v %v", events, reasons)
	}
	q := memory.New()
	r.Start(q)
	r.stop(t)
	rep := whole(t, q, -1)
	if rep.Entries < maxActions || rep.Entries > maxActions+burst+maxKeys {
		t.Errorf("%d entries", rep.Entries)
	}
	total := 0
	for after := uint64(0); ; {
		items, last, err := List(t.Context(), q, Filter{Outcome: Refused}, after, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			total += max(1, i.Event.Count)
		}
		if after = last; len(items) == 0 {
			break
		}
	}
	if total != 10*maxRefusals {
		t.Errorf("%d refusals are counted, want %d", total, 10*maxRefusals)
	}
}

// TestNeverStarted: without a queue nothing is lost in silence.
func TestNeverStarted(t *testing.T) {
	r := newRig(t, "p")
	r.Record(Event{Action: "a", Outcome: Done})
	r.Record(Event{Action: Authenticate, Outcome: Refused, Peer: "192.0.2.1:1"})
	r.Record(Event{Action: Authenticate, Outcome: Refused, Peer: "192.0.2.1:1"}) // counted
	r.stop(t)
	r.Start(memory.New())
	r.Record(Event{Action: "late", Outcome: Done})
	events, _ := r.lines.unrecorded(t)
	if len(events) != 4 || r.lost(reasonStopped) != 4 || events[3].Action != "late" || r.Head() != (Head{}) {
		t.Fatalf("%+v", events)
	}
}

// TestUnavailable: an event is tried again and stored once when the queue comes
// back; one for which it does not is in the log.
func TestUnavailable(t *testing.T) {
	q := &moody{Queue: memory.New()}
	r := newRig(t, "p")
	tries := make(chan struct{}, 100)
	q.fail(func(uint64) error { tries <- struct{}{}; return queue.ErrUnavailable })
	r.Start(q)
	r.Record(Event{Action: "patient", Outcome: Done})
	<-tries
	<-tries
	q.fail(nil)
	for r.Head().N != 1 {
		time.Sleep(time.Millisecond)
	}
	q.fail(func(uint64) error { tries <- struct{}{}; return queue.ErrUnavailable })
	r.Record(Event{Action: "hopeless", Outcome: Done})
	r.Record(Event{Action: "behind it", Outcome: Done})
	<-tries
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Stop(ctx); err == nil {
		t.Error("a stop that is cut off is no error")
	}
	if err := r.Stop(ctx); err != nil {
		t.Error(err)
	}
	events, _ := r.lines.unrecorded(t)
	if len(events) != 2 || events[0].Action != "hopeless" || events[1].Action != "behind it" || r.lost(reasonStopped) != 2 {
		t.Fatalf("%+v", events)
	}
	whole(t, q, 1)
}

// TestLostConfirmation: what was stored although the answer said nothing is not
// stored again.
func TestLostConfirmation(t *testing.T) {
	q := &moody{Queue: memory.New()}
	if err := topology.EnsureAudit(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	r := newRig(t, "p")
	lost := &losing{moody: q, lose: &once}
	r.Start(lost)
	r.Record(Event{Action: "a", Outcome: Done})
	r.Record(Event{Action: "b", Outcome: Done})
	r.stop(t)
	whole(t, q, 2)
}

// losing stores the first message and says that it does not know.
type losing struct {
	*moody
	lose *sync.Once
}

func (q *losing) PublishNext(ctx context.Context, stream string, m *queue.Message, last uint64) (r queue.Receipt, err error) {
	r, err = q.moody.PublishNext(ctx, stream, m, last)
	q.lose.Do(func() { r, err = queue.Receipt{}, queue.ErrUnavailable })
	return r, err
}

// TestFull: a stream at its limit takes nothing, and the log has it.
func TestFull(t *testing.T) {
	q := memory.New()
	if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: topology.Audit, MaxBytes: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	fill(t, q, 4<<20*95/100)
	r := newRig(t, "p")
	r.Start(q)
	r.Record(Event{Action: "a", Outcome: Done})
	r.stop(t)
	events, _ := r.lines.unrecorded(t)
	if len(events) != 1 || r.lost(reasonFull) != 1 {
		t.Fatalf("%+v", events)
	}
}

// fill appends valid entries until the stream has so many bytes.
func fill(t *testing.T, q Queue, bytes int) {
	t.Helper()
	r := newRig(t, "filler")
	c := newChain(q, r.metrics, r.o.Logger)
	for {
		st, err := q.StreamState(t.Context(), topology.Audit)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			t.Fatal(err)
		}
		if int(st.Bytes) >= bytes {
			return
		}
		e := Event{At: time.Now(), Action: "filler", Outcome: Done}
		for range maxDetails {
			e.Details = append(e.Details, Detail{"x", string(make([]byte, 200))})
		}
		for range 20 {
			if _, err := c.append(t.Context(), e.bounded(), nil, true); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRecordWhileStopping: every event is in the stream or in the log.
func TestRecordWhileStopping(t *testing.T) {
	q := memory.New()
	r := newRig(t, "p")
	r.Start(q)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				r.Record(Event{Action: "a", Outcome: Done})
			}
		})
	}
	r.stop(t)
	wg.Wait()
	events, _ := r.lines.unrecorded(t)
	whole(t, q, 200-len(events))
}
