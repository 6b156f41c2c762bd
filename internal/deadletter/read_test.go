package deadletter_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestListInPages(t *testing.T) {
	both(t, func(t *testing.T, q queue.Queue) {
		all := deadletter.Filter{}
		list(t, q, all, 0, 0, 0)
		letters(t, q, 5)
		list(t, q, all, 0, 0, 0, 1, 2, 3, 4, 5)
		list(t, q, all, 2, 0, 2, 1, 2)
		list(t, q, all, 2, 2, 4, 3, 4)
		list(t, q, all, 2, 4, 0, 5)
		list(t, q, all, 5, 0, 0, 1, 2, 3, 4, 5)
		list(t, q, all, 5, 5, 0)
		list(t, q, all, 5, 500, 0)
		list(t, q, deadletter.Filter{Sequences: []uint64{4, 2, 9, 4}}, 0, 0, 0, 2, 4)
		list(t, q, deadletter.Filter{Sequences: []uint64{4, 2}}, 1, 2, 0, 4)
		list(t, q, deadletter.Filter{Sequences: []uint64{4}, Signal: "traces"}, 1, 2, 0)
		list(t, q, deadletter.Filter{IDs: []string{"01M3"}}, 0, 0, 0, 3)
		list(t, q, deadletter.Filter{UpTo: 2}, 0, 0, 0, 1, 2)
		list(t, q, deadletter.Filter{UpTo: 2}, 0, 2, 0)
		list(t, q, deadletter.Filter{Destination: "renamed since"}, 0, 0, 0)
		list(t, q, deadletter.Filter{Destination: "backend"}, 4, 0, 4, 1, 2, 3, 4)
	})
}

// A listing ends, wherever letters were removed.
func TestHolesEndNoListing(t *testing.T) {
	both(t, func(t *testing.T, q queue.Queue) {
		all := deadletter.Filter{}
		letters(t, q, 200)
		remove(t, q, 200, 198, 3, 1)
		list(t, q, all, 2, 196, 0, 197, 199)
		list(t, q, all, 2, 199, 0)
		list(t, q, deadletter.Filter{UpTo: 3}, 0, 0, 0, 2)
		list(t, q, deadletter.Filter{UpTo: 1}, 0, 0, 0)
		for seq := uint64(20); seq < 200; seq++ { // more than are tried one by one
			if seq != 198 {
				remove(t, q, seq)
			}
		}
		list(t, q, all, 4, 15, 0, 16, 17, 18, 19)
		list(t, q, all, 4, 19, 0)
		list(t, q, deadletter.Filter{UpTo: 190}, 4, 17, 0, 18, 19)
		if err := q.Purge(t.Context(), "DEAD", 19); err != nil {
			t.Fatal(err)
		}
		list(t, q, all, 0, 0, 0)
		list(t, q, all, 0, 19, 0)
		letter(t, q, 300, otlp.Logs, "", "backend", "rejected")
		list(t, q, all, 0, 0, 0, 201)
		list(t, q, deadletter.Filter{UpTo: 200}, 0, 0, 0)
	})
}

// Bounds of time are those of the queue's clock, to the nanosecond.
func TestSinceAndUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		dead(t, q)
		begin := time.Now()
		for i := range 200 {
			letter(t, q, i+1, otlp.Logs, "", "backend", "rejected")
			time.Sleep(time.Second)
		}
		after := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
		list(t, q, deadletter.Filter{Since: after(197)}, 0, 0, 0, 198, 199, 200)
		list(t, q, deadletter.Filter{Until: after(2)}, 0, 0, 0, 1, 2)
		list(t, q, deadletter.Filter{Since: after(100), Until: after(102)}, 0, 0, 0, 101, 102)
		list(t, q, deadletter.Filter{Since: after(100).Add(1), Until: after(102).Add(1)}, 0, 0, 0, 102, 103)
		list(t, q, deadletter.Filter{Since: after(200)}, 0, 0, 0)
		list(t, q, deadletter.Filter{Until: begin}, 0, 0, 0)
		for seq := uint64(50); seq <= 180; seq++ {
			remove(t, q, seq)
		}
		list(t, q, deadletter.Filter{Since: after(47), Until: after(180)}, 0, 0, 0, 48, 49)
		list(t, q, deadletter.Filter{Since: after(60), Until: after(180)}, 0, 0, 0)
		list(t, q, deadletter.Filter{Since: after(170), Until: after(181)}, 0, 0, 0, 181)
	})
}

// Letters that were stored in the same moment as the last one before a long
// hole are seen too.
func TestSameMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New() // time stands still
		dead(t, q)
		letters(t, q, 150)
		for seq := uint64(6); seq <= 150; seq++ {
			remove(t, q, seq)
		}
		list(t, q, deadletter.Filter{}, 0, 0, 0, 1, 2, 3, 4, 5)
	})
}

// What comes while a listing is read is not waited for, and what is removed
// meanwhile does not hold it up.
func TestReadingBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		dead(t, q)
		letters(t, q, 6)
		seen := []uint64{}
		for found, err := range deadletter.Read(t.Context(), q, "DEAD", deadletter.Filter{}, deadletter.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if seen = append(seen, found.Sequence); len(seen) == 1 {
				letter(t, q, 7, otlp.Logs, "", "backend", "rejected")
			}
		}
		if !slices.Equal(seen, []uint64{1, 2, 3, 4, 5, 6}) {
			t.Errorf("saw %v", seen)
		}
		seen = nil
		for found, err := range deadletter.Read(t.Context(), q, "DEAD", deadletter.Filter{}, deadletter.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if seen = append(seen, found.Sequence); len(seen) == 2 {
				remove(t, q, 4, 5, 6, 7)
			}
		}
		if !slices.Equal(seen, []uint64{1, 2, 3}) {
			t.Errorf("saw %v", seen)
		}
	})
}

func TestReadGivesBodiesWhenAsked(t *testing.T) {
	both(t, func(t *testing.T, q queue.Queue) {
		letters(t, q, 3)
		for _, f := range []deadletter.Filter{{}, {Sequences: []uint64{1, 2, 3}}} {
			for _, bodies := range []bool{false, true} {
				n := 0
				for found, err := range deadletter.Read(t.Context(), q, "DEAD", f, deadletter.ReadOptions{Bodies: bodies}) {
					if n++; err != nil || found.Size != n || bodies != (found.Message.Body != nil) || bodies && len(found.Message.Body) != n {
						t.Errorf("letter %d: size %d, body of %d bytes, %v", n, found.Size, len(found.Message.Body), err)
					}
					if n == 2 {
						break
					}
				}
				if n != 2 {
					t.Errorf("%d letters", n)
				}
			}
		}
	})
}

func TestReadingFails(t *testing.T) {
	q := &faulty{Queue: memory.New()}
	dead(t, q)
	letters(t, q, 200)
	for seq := uint64(6); seq <= 199; seq++ {
		remove(t, q, seq)
	}
	f := func(op string, after int, filter deadletter.Filter) {
		t.Helper()
		q.fails = map[string]int{op: after}
		if _, _, err := deadletter.List(t.Context(), q, "DEAD", filter, 0, 0); !errors.Is(err, errBroken) || !strings.HasPrefix(err.Error(), "read dead letters of DEAD: ") {
			t.Errorf("%s: got %v", op, err)
		}
		q.fails[op] = after
		if _, err := deadletter.Summarize(t.Context(), q, "DEAD", filter); !errors.Is(err, errBroken) {
			t.Errorf("%s: got %v", op, err)
		}
		q.fails[op] = after
		if _, err := deadletter.Purge(t.Context(), q, "DEAD", filter, true, nil, nil); !errors.Is(err, errBroken) {
			t.Errorf("%s: got %v", op, err)
		}
	}
	f("state", 0, deadletter.Filter{})
	f("state", 0, deadletter.Filter{Sequences: []uint64{1}})
	f("state", 1, deadletter.Filter{UpTo: 199}) // over the hole
	f("get", 0, deadletter.Filter{})
	f("get", 0, deadletter.Filter{Sequences: []uint64{1}})
	f("get", 64, deadletter.Filter{UpTo: 199})
	f("at", 0, deadletter.Filter{UpTo: 199})
	f("at", 0, deadletter.Filter{Since: time.Unix(0, 0)})
	f("at", 0, deadletter.Filter{Until: time.Now().Add(time.Hour)})
	f("browse", 0, deadletter.Filter{})
	f("next", 2, deadletter.Filter{})

	q.fails = nil
	if _, _, err := deadletter.List(t.Context(), q, "NONE", deadletter.Filter{}, 0, 0); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("of no stream: %v", err)
	}
	if _, _, err := deadletter.List(t.Context(), q, "NONE", deadletter.Filter{Sequences: []uint64{1}}, 0, 0); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("of no stream: %v", err)
	}
	if _, _, err := deadletter.List(t.Context(), q, "DEAD", deadletter.Filter{Signal: "x"}, 0, 0); err == nil {
		t.Error("a filter was not checked")
	}
	if _, _, err := deadletter.List(t.Context(), q, "DEAD", deadletter.Filter{}, -1, 0); err == nil || !strings.Contains(err.Error(), "limit is -1: want 1 to 1000") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := deadletter.List(ctx, q, "DEAD", deadletter.Filter{}, 0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// An answer is bounded whatever is asked for.
func TestListIsBounded(t *testing.T) {
	q := memory.New()
	dead(t, q)
	for i := range deadletter.MaxList + 1 {
		letter(t, q, i%9, otlp.Logs, "", "backend"+strings.Repeat("d", i/9), "rejected")
	}
	infos, next, err := deadletter.List(t.Context(), q, "DEAD", deadletter.Filter{}, 1<<30, 0)
	if err != nil || len(infos) != deadletter.MaxList || next != deadletter.MaxList {
		t.Errorf("%d letters, next %d, %v", len(infos), next, err)
	}
	if infos, next, err = deadletter.List(t.Context(), q, "DEAD", deadletter.Filter{}, 0, 0); err != nil || len(infos) != deadletter.DefaultList || next != deadletter.DefaultList {
		t.Errorf("%d letters, next %d, %v", len(infos), next, err)
	}
}
