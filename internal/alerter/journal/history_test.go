package journal

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// told is one event as History gives it.
type told struct {
	at     uint64
	stored time.Time
	kind   alerts.Kind
}

// history asks for all since a time.
func (r *replica) history(since time.Time) (all []told) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := r.History(ctx, since, func(at uint64, stored time.Time, e *alerts.Event) error {
		all = append(all, told{at, stored, e.Kind})
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// onBoth runs a test on the memory queue and on an embedded server.
func onBoth(t *testing.T, f func(t *testing.T, q Queue)) {
	t.Run("memory", func(t *testing.T) {
		q := memory.New()
		t.Cleanup(func() { _ = q.Close() }) // always nil
		f(t, q)
	})
	t.Run("jetstream", func(t *testing.T) {
		_, q := serve(t)
		f(t, q)
	})
}

// TestHistory: events alone, in order, from a time on, up to the end that was there.
func TestHistory(t *testing.T) {
	onBoth(t, func(t *testing.T, q Queue) {
		r := newReplica(t, q)
		if all := r.history(time.Time{}); len(all) != 0 {
			t.Fatalf("without a stream: %v", all)
		}
		r.follow()
		r.fires("a", 3, "x") // opened, fired of each
		r.tidy(1)            // a snapshot
		r.ticks(2)
		if _, err := q.Publish(t.Context(), topology.Alerts, &queue.Message{ID: "other", Header: map[string]string{headerVersion: "9"}, Body: []byte("{")}); err != nil {
			t.Fatal(err)
		}
		r.reaches(streamState(t, q).LastSeq)
		r.fires("b", 1, "x")

		all := r.history(time.Time{})
		var kinds string
		for n, x := range all {
			kinds += string(x.kind) + " "
			if n > 0 && (x.at < all[n-1].at || x.stored.Before(all[n-1].stored)) || x.stored.IsZero() {
				t.Errorf("%d: %+v behind %+v", n, x, all[max(0, n-1)])
			}
		}
		if kinds != "opened fired opened fired opened fired tick tick opened fired " {
			t.Fatalf("they are %s", kinds)
		}
		last := all[len(all)-1]
		if some := r.history(last.stored); len(some) == 0 || some[len(some)-1] != last || some[0].stored.Before(last.stored) {
			t.Errorf("since %s: %v", last.stored, some)
		}
		if none := r.history(last.stored.Add(time.Hour)); len(none) != 0 {
			t.Errorf("since later than all: %v", none)
		}

		// What comes meanwhile is not given: it would never end.
		n := 0
		err := r.History(t.Context(), time.Time{}, func(uint64, time.Time, *alerts.Event) error {
			if n++; n == 1 {
				r.ticks(3)
			}
			return nil
		})
		if err != nil || n != len(all) {
			t.Errorf("%d events, want %d: %v", n, len(all), err)
		}
		stop := errors.New("enough")
		if err := r.History(t.Context(), time.Time{}, func(uint64, time.Time, *alerts.Event) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("stopped: %v", err)
		}
	})
}

// TestHistoryOfWhatIsGone: what was purged is not there, and what goes at the end while
// it is read does not hold the reader.
func TestHistoryOfWhatIsGone(t *testing.T) {
	onBoth(t, func(t *testing.T, q Queue) {
		r := newReplica(t, q).follow()
		r.ticks(6)
		if err := q.Purge(t.Context(), topology.Alerts, 2); err != nil {
			t.Fatal(err)
		}
		if all := r.history(time.Time{}); len(all) != 4 || all[0].at != 3 {
			t.Errorf("they are %v", all)
		}
		if err := q.Purge(t.Context(), topology.Alerts, 6); err != nil {
			t.Fatal(err)
		}
		if all := r.history(time.Time{}); len(all) != 0 {
			t.Errorf("of an empty stream: %v", all)
		}
		there, err := r.any(t.Context(), 1, 6)
		if err != nil || there {
			t.Errorf("any of what is purged: %t, %v", there, err)
		}
		r.ticks(1)
		if there, err = r.any(t.Context(), 1, 7); err != nil || !there {
			t.Errorf("any of what is there: %t, %v", there, err)
		}
	})
}

// TestHistoryIsCancelled says why, and does not hang.
func TestHistoryIsCancelled(t *testing.T) {
	q := memory.New()
	defer func() { _ = q.Close() }() // always nil
	r := newReplica(t, q).follow()
	r.ticks(1)
	ctx, cancel := context.WithCancel(t.Context())
	err := r.History(ctx, time.Time{}, func(uint64, time.Time, *alerts.Event) error { cancel(); return ctx.Err() })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := r.History(ctx, time.Time{}, func(uint64, time.Time, *alerts.Event) error { return fmt.Errorf("given") }); err == nil || err.Error() == "given" {
		t.Error(err)
	}
}
