package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// TestRetention: what is too old goes, behind a snapshot, and what goes on stays.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		defer func() { _ = q.Close() }() // always nil
		r := newReplica(t, q).follow()
		r.fires("A", 2, "")
		tidier := r.Tidier()
		tidier.Round(t.Context())
		if st := streamState(t, q); st.FirstSeq != 1 || st.LastSeq != 1 {
			t.Errorf("a young stream: %+v", st)
		}
		sleep := func(d time.Duration) { // nobody looks at the stream for so long
			r.stop()
			time.Sleep(d)
			r.follow()
		}
		for range 10 {
			sleep(20 * 24 * time.Hour)
			r.ticks(3)
			r.reaches(streamState(t, q).LastSeq)
			tidier.Round(t.Context())
			r.reaches(streamState(t, q).LastSeq)
		}
		st := streamState(t, q)
		if age := time.Since(st.FirstTime); age > 90*24*time.Hour || age < 60*24*time.Hour {
			t.Errorf("the oldest is %s old", age)
		}
		other := newReplica(t, q).follow()
		other.reaches(r.state.At())
		same(t, r, other)
		if n := other.firing(); n != 2 {
			t.Errorf("%d alerts", n)
		}
		other.counts(map[string]float64{"gaps": 0})
		// Nothing happens for a year: the state is kept, and no more than that.
		other.stop()
		sleep(365 * 24 * time.Hour)
		tidier.Round(t.Context())
		r.reaches(streamState(t, q).LastSeq)
		st = streamState(t, q)
		sleep(time.Hour)
		tidier.Round(t.Context())
		if now := streamState(t, q); now.LastSeq != st.LastSeq || now.Messages != 1 {
			t.Errorf("%+v, then %+v", st, now)
		}
		r.stop()
	})
}

// TestASnapshotEveryTenThousand entries, counted from the last one.
func TestASnapshotEveryTenThousand(t *testing.T) {
	if c := alerting.DefaultHistory(); time.Duration(c.Retention) != 90*24*time.Hour || c.Validate() != nil {
		t.Errorf("%+v", c)
	}
	if err := (alerting.History{Retention: config.Duration(time.Minute)}).Validate(); err == nil || !strings.Contains(err.Error(), "retention") {
		t.Error(err)
	}
	q := memory.New()
	defer func() { _ = q.Close() }() // always nil
	r := newReplica(t, q).follow()
	if every := r.Tidier().every; every != 10_000 {
		t.Errorf("%d", every)
	}
	r.fires("A", 1, "")
	for n := range 40 {
		r.tidy(10)
		r.reaches(streamState(t, q).LastSeq)
		r.tidy(10) // it has just been
		r.reaches(streamState(t, q).LastSeq)
		// The first comes when there are ten entries, each other nine behind the one before.
		want := 0
		if n >= 9 {
			want = 1 + (n-9)/9
		}
		r.counts(map[string]float64{"snapshots": float64(want)})
		r.ticks(1)
	}
}

// TestRoundSaysOnce what is wrong, and does nothing in between.
func TestRoundSaysOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &broken{Queue: memory.New()}
		defer func() { _ = q.Close() }() // always nil
		r := newReplica(t, q)
		tidier := r.Tidier()
		tidier.Round(t.Context()) // there is no stream
		if n := r.lines.count("is not tidied"); n != 0 {
			t.Errorf("said %d times", n)
		}
		if _, err := r.Append(t.Context(), 0, []alerts.Event{{Kind: "x"}}); err != nil {
			t.Fatal(err)
		}
		q.fails.Store(true)
		for range 5 {
			time.Sleep(tidyEvery)
			for range 3 {
				tidier.Round(t.Context())
			}
		}
		if n, asked := r.lines.count("is not tidied"), q.asked.Load(); n != 1 || asked != 5 {
			t.Errorf("said %d times, asked %d times", n, asked)
		}
		// A state that lags writes no snapshot.
		q.fails.Store(false)
		tidier.every = 1
		if err := tidier.tidy(t.Context()); !errors.Is(err, errBehind) {
			t.Error(err)
		}
	})
}

// broken answers no Load.
type broken struct {
	*memory.Queue
	fails atomic.Bool
	asked atomic.Int32
}

func (q *broken) Load(ctx context.Context, key string) (queue.Value, error) {
	if q.fails.Load() {
		q.asked.Add(1)
		return queue.Value{}, queue.ErrUnavailable
	}
	return q.Queue.Load(ctx, key)
}

// TestSnapshotAmongWriters: others append all the time, and it is written all the same,
// and what is read is what was.
func TestSnapshotAmongWriters(t *testing.T) {
	_, q := serve(t)
	a, b := newReplica(t, q).follow(), newReplica(t, q).follow()
	a.fires("A", 50, noise(1, 1000))
	b.reaches(1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 200 {
			b.fires(fmt.Sprint("B", n), 1, "")
		}
	}()
	wrote := 0
	for busy := true; busy; {
		select {
		case <-done:
			busy = false
		default:
		}
		tidier := a.Tidier()
		tidier.every = 20
		if err := tidier.tidy(t.Context()); err == nil {
			wrote++
		} else if !errors.Is(err, alerts.ErrConflict) {
			t.Fatal(err)
		}
		other := newReplica(t, q).follow()
		other.reaches(1)
		other.stop()
	}
	a.reaches(streamState(t, q).LastSeq)
	b.reaches(a.state.At())
	a.tidy(1)
	b.reaches(streamState(t, q).LastSeq)
	a.reaches(b.state.At())
	other := newReplica(t, q).follow()
	other.reaches(a.state.At())
	same(t, a, b)
	same(t, a, other)
	if n := other.firing(); n != 250 || wrote == 0 {
		t.Errorf("%d alerts, %d rounds without an error", n, wrote)
	}
	other.counts(map[string]float64{"gaps": 0, "unreadable": 0})
	if err := q.Purge(t.Context(), topology.Alerts, other.entries()[0].At-1); err != nil {
		t.Fatal(err)
	}
	last := newReplica(t, q).follow()
	last.reaches(a.state.At())
	same(t, a, last)
}
