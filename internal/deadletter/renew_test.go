package deadletter_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func only(t *testing.T, q queue.Queue, f deadletter.Filter) deadletter.Info {
	t.Helper()
	infos, _, err := deadletter.List(t.Context(), q, "DEAD", f, 0, 0)
	if err != nil || len(infos) != 1 || infos[0].Problem != "" {
		t.Fatalf("got %+v, %v; want one letter", infos, err)
	}
	return infos[0]
}

// A letter that a redrive cannot deliver is kept anew, with its history, before
// the old one goes.
func TestRenewKeepsTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		dead(t, q)
		stored := time.Now().UTC()
		o := deadletter.Origin{Stream: "PENSTOCK_LOGS_0", Sequence: 17, ID: "01ABC", Attempts: 3, StoredAt: stored}
		r := &record.Record{ID: "01ABC", Signal: otlp.Logs, Codec: "none", Items: 4}
		time.Sleep(time.Second)
		if err := deadletter.Publish(t.Context(), q, "DEAD", o, r, "10-13", deadletter.Letter{Reason: "rejected", Code: "X", Destination: "old name"}); err != nil {
			t.Fatal(err)
		}
		old := only(t, q, deadletter.Filter{})
		renew := func(old deadletter.Info, items int, part, destination string) deadletter.Info {
			t.Helper()
			time.Sleep(time.Second)
			r := *r
			r.Items = items
			for range 2 { // a repetition stores nothing
				if err := deadletter.Renew(t.Context(), q, "DEAD", old, &r, part, 2, deadletter.Letter{Reason: "expired", Destination: destination}); err != nil {
					t.Fatal(err)
				}
			}
			remove(t, q, old.Sequence)
			return only(t, q, deadletter.Filter{})
		}
		got := renew(old, 4, "", "")
		want := old
		want.Sequence, want.LetterID, want.Reason, want.Code = 2, "dead-old name-PENSTOCK_LOGS_0-17-01ABC-p10-13-r1", "expired", ""
		want.Attempts, want.Redrives, want.FirstAt = 5, 1, stored.Add(time.Second)
		want.KeptAt, want.DiedAt = stored.Add(2*time.Second), stored.Add(2*time.Second)
		if got != want {
			t.Errorf("renewed is\n%+v\nwant\n%+v", got, want)
		}
		got = renew(got, 1, deadletter.Part(got.Part, 2, 1), "new name")
		if got.Part != "12-12" || got.Redrives != 2 || got.Attempts != 7 || got.Items != 1 || got.Destination != "new name" ||
			!got.FirstAt.Equal(stored.Add(time.Second)) || !got.StoredAt.Equal(stored) || !got.DiedAt.Equal(stored.Add(3*time.Second)) {
			t.Errorf("renewed is %+v", got)
		}
	})
}

// Two letters of which nothing is known do not become one.
func TestRenewOfForeignLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		dead(t, q)
		kept := time.Now().UTC()
		for _, id := range []string{"x", "y"} {
			if _, err := q.Publish(t.Context(), "DEAD", &queue.Message{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		infos, _, err := deadletter.List(t.Context(), q, "DEAD", deadletter.Filter{}, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for _, i := range infos {
			if err := deadletter.Renew(t.Context(), q, "DEAD", i, &record.Record{Codec: "none"}, "", 1, deadletter.Letter{Reason: "rejected", Destination: "backend"}); err != nil {
				t.Fatal(err)
			}
			remove(t, q, i.Sequence)
		}
		list(t, q, deadletter.Filter{Destination: "backend"}, 0, 0, 0, 3, 4)
		got := only(t, q, deadletter.Filter{Sequences: []uint64{4}})
		if got.Stream != "DEAD" || got.OriginSequence != 2 || !got.FirstAt.Equal(kept) || !got.StoredAt.Equal(kept) || got.Redrives != 1 || got.Attempts != 1 {
			t.Errorf("renewed is %+v", got)
		}
	})
}

// A dead-letter stream that is full takes no letter, and says so: the message,
// or the old letter, stays where it is.
func TestFullStreamRefuses(t *testing.T) {
	for name, q := range map[string]queue.Queue{"memory": memory.New(), "jetstream": realQueue(t)} {
		t.Run(name, func(t *testing.T) {
			if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: "DEAD", MaxBytes: 10_000, Removable: true}); err != nil {
				t.Fatal(err)
			}
			letter(t, q, 6000, otlp.Logs, "", "backend", "rejected")
			old := only(t, q, deadletter.Filter{})
			r := &record.Record{Codec: "none", Body: make([]byte, 6000)}
			if err := deadletter.Renew(t.Context(), q, "DEAD", old, r, "", 1, deadletter.Letter{Reason: "rejected"}); !errors.Is(err, queue.ErrFull) {
				t.Errorf("got %v", err)
			}
			if got := only(t, q, deadletter.Filter{}); got != old {
				t.Errorf("the old letter is %+v", got)
			}
		})
	}
}
