package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestLogOnMemory(t *testing.T) {
	alertstest.RunLog(t, func(t *testing.T) func() alerts.Log {
		q := memory.New()
		t.Cleanup(func() { _ = q.Close() }) // always nil
		return func() alerts.Log { return newReplica(t, q).Journal }
	})
}

func TestLogOnJetStream(t *testing.T) {
	alertstest.RunLog(t, func(t *testing.T) func() alerts.Log {
		s, _ := serve(t)
		return func() alerts.Log {
			return newReplica(t, open(t, jetstream.Config{URL: s.ClientURL(), Durability: jetstream.Process})).Journal
		}
	})
}

// lossy loses what the queue answers; with ErrClosed what it is asked too.
type lossy struct {
	*memory.Queue
	mu   sync.Mutex
	lose []error // one each; nil: the answer comes
	ids  []string
}

func (q *lossy) PublishNext(ctx context.Context, stream string, m *queue.Message, last uint64) (queue.Receipt, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ids = append(q.ids, m.ID)
	var lost error
	if len(q.lose) > 0 {
		lost, q.lose = q.lose[0], q.lose[1:]
	}
	if errors.Is(lost, queue.ErrClosed) {
		return queue.Receipt{}, lost
	}
	r, err := q.Queue.PublishNext(ctx, stream, m, last)
	if lost != nil {
		return queue.Receipt{}, lost
	}
	return r, err
}

// TestALostAnswer: what is stored and not confirmed is repeated with its id, and is
// there once.
func TestALostAnswer(t *testing.T) {
	q := &lossy{Queue: memory.New(), lose: []error{queue.ErrUnavailable, queue.ErrUnavailable, nil}}
	defer func() { _ = q.Close() }() // always nil
	r := newReplica(t, q)
	at, err := r.Append(t.Context(), 0, []alerts.Event{{Kind: "x"}})
	if err != nil || at != 1 || len(q.ids) != 3 || q.ids[0] != q.ids[2] || q.ids[0] == "" {
		t.Errorf("%d, %v, ids %v", at, err, q.ids)
	}
	if st := streamState(t, q); st.Messages != 1 {
		t.Errorf("%d messages", st.Messages)
	}
	r.counts(map[string]float64{"entries": 1, "conflicts": 0, "unavailable": 0})
}

// TestTheOutcomeIsUnknown when ctx ends first: the error says so.
func TestTheOutcomeIsUnknown(t *testing.T) {
	q := &lossy{Queue: memory.New(), lose: []error{queue.ErrUnavailable, queue.ErrClosed}}
	defer func() { _ = q.Close() }() // always nil
	r := newReplica(t, q)
	ctx, cancel := context.WithTimeout(t.Context(), retryPause/4)
	defer cancel()
	if _, err := r.Append(ctx, 0, []alerts.Event{{Kind: "x"}}); !errors.Is(err, alerts.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if _, err := r.Append(t.Context(), 0, []alerts.Event{{Kind: "y"}}); !errors.Is(err, alerts.ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	r.counts(map[string]float64{"entries": 0, "unavailable": 2})
	r.follow().reaches(1)
}

// TestNoRoomForTheStream: that is a full log, with nothing in it. With room it is one
// as any other.
func TestNoRoomForTheStream(t *testing.T) {
	q := &cramped{Queue: memory.New()}
	defer func() { _ = q.Close() }() // always nil
	r := newReplica(t, q).follow()
	r.reaches(0)
	if _, err := r.Append(t.Context(), 0, []alerts.Event{{Kind: "x"}}); !errors.Is(err, alerts.ErrFull) {
		t.Error(err)
	}
	r.counts(map[string]float64{"full": 1})
	if n := r.lines.count("cannot be read"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
	q.room.Store(true)
	r.fires("A", 1, "")
}

type cramped struct {
	*memory.Queue
	room atomic.Bool
}

func (q *cramped) EnsureStream(ctx context.Context, c queue.StreamConfig) error {
	if !q.room.Load() {
		return queue.ErrNoRoom
	}
	return q.Queue.EnsureStream(ctx, c)
}

// TestAFullStream refuses events while there is still room for a snapshot, and takes
// them again once it is tidied.
func TestAFullStream(t *testing.T) {
	for name, q := range map[string]Queue{"memory": memory.New(), "jetstream": func() Queue { _, q := serve(t); return q }()} {
		t.Run(name, func(t *testing.T) {
			if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: topology.Alerts, MaxBytes: 1 << 20}); err != nil {
				t.Fatal(err)
			}
			r := newReplica(t, q).follow()
			r.fires("A", 3, "x")
			fill := []alerts.Event{{Kind: "x", Reason: string(make([]byte, 4096))}}
			var err error
			for n := 0; err == nil; n++ {
				if n > 1000 {
					t.Fatal("it never is full")
				}
				r.resized()
				_, err = alerts.Do(t.Context(), r, r.state, func() ([]alerts.Event, error) { return fill, nil })
			}
			if st := streamState(t, q); !errors.Is(err, alerts.ErrFull) || st.Bytes < uint64(st.MaxBytes)/100*85 || st.Bytes > uint64(st.MaxBytes)/100*95 {
				t.Fatalf("%d of %d bytes: %v", st.Bytes, st.MaxBytes, err)
			}
			r.reaches(streamState(t, q).LastSeq)
			r.tidy(1 << 30)
			if st := streamState(t, q); st.Bytes > uint64(st.MaxBytes)/100*shortAt {
				t.Errorf("tidied it has %d of %d bytes", st.Bytes, st.MaxBytes)
			}
			r.ticks(1)
			other := newReplica(t, q).follow()
			other.reaches(r.state.At())
			if n := other.firing(); n != 3 {
				t.Errorf("%d alerts", n)
			}
			if st := streamState(t, q); st.FirstSeq == 1 {
				t.Error("nothing is purged")
			}
			other.counts(map[string]float64{"gaps": 0, "unreadable": 0})
		})
	}
}

// TestTwoReplicasSeeTheSame: an ack and what escalates have one order.
func TestTwoReplicasSeeTheSame(t *testing.T) {
	q := memory.New()
	defer func() { _ = q.Close() }() // always nil
	a, b := newReplica(t, q).follow(), newReplica(t, q).follow()
	a.fires("A", 1, "")
	b.reaches(1)
	id := b.state.Incidents(alerts.Filter{})[0].ID
	var wg sync.WaitGroup
	for n, r := range []*replica{a, b} {
		wg.Go(func() {
			for done := 0; done < 20; {
				wanted := 0
				_, err := alerts.Do(context.Background(), r, r.state, func() (events []alerts.Event, err error) {
					if i, _ := r.state.Incident(id); i.Status == alerts.Taken {
						events, err = r.state.Unack(id, fmt.Sprint(n), "", time.Now())
					} else {
						events, err = r.state.Ack(id, fmt.Sprint(n), "", time.Time{}, time.Now())
					}
					wanted = len(events) // none where the other's came between the two questions
					return events, err
				})
				if err != nil {
					t.Error(err)
					return
				}
				done += wanted
			}
		})
	}
	wg.Wait()
	a.reaches(41)
	b.reaches(41)
	x, _ := a.state.Incident(id)
	y, _ := b.state.Incident(id)
	if c := a.state.Counts(); c.Misfits != 0 || x.Generation != 41 || y.Generation != 41 {
		t.Errorf("%+v, generations %d and %d", c, x.Generation, y.Generation)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	NewMetrics(reg)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
