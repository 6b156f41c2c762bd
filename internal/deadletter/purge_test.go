package deadletter_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// purges wants that many letters to be gone.
func purges(t *testing.T, q deadletter.Purger, f deadletter.Filter, b *book, want int) deadletter.Summary {
	t.Helper()
	s, err := deadletter.Purge(t.Context(), q, "DEAD", f, false, b, nil)
	if err != nil || s.Letters != uint64(want) {
		t.Errorf("purged %d, %v; want %d", s.Letters, err, want)
	}
	return s
}

func TestPurgeRemovesWhatMatches(t *testing.T) {
	both(t, func(t *testing.T, q queue.Queue) {
		for n := 1; n <= 6; n++ {
			letter(t, q, n, otlp.Logs, "acme", []string{"a", "b"}[n%2], "rejected")
		}
		b := &book{}
		dry, err := deadletter.Purge(t.Context(), q, "DEAD", deadletter.Filter{Destination: "a"}, true, nil, nil)
		if err != nil || dry.Letters != 3 || dry.Items != 2+4+6 {
			t.Errorf("would purge %+v, %v", dry, err)
		}
		list(t, q, deadletter.Filter{}, 0, 0, 0, 1, 2, 3, 4, 5, 6)
		s := purges(t, q, deadletter.Filter{Destination: "a"}, b, 3)
		if s.Items != 2+4+6 || len(s.Groups) != 1 || s.Groups[0].Tenant != "acme" || s.Groups[0].Signal != "logs" || s.Groups[0].Destination != "a" {
			t.Errorf("purged %+v", s)
		}
		list(t, q, deadletter.Filter{}, 0, 0, 0, 1, 3, 5)
		if l := b.letters["DEAD-4"]; len(b.letters) != 3 || l.Items != 4 || l.Destination != "a" || l.Sequence != 4 {
			t.Errorf("recorded %+v", b.letters)
		}
		purges(t, q, deadletter.Filter{Sequences: []uint64{3, 4}}, b, 1)
		purges(t, q, deadletter.Filter{UpTo: 3}, b, 1)
		list(t, q, deadletter.Filter{}, 0, 0, 0, 5)
		purges(t, q, deadletter.Filter{}, b, 1)
		purges(t, q, deadletter.Filter{}, b, 0)
		list(t, q, deadletter.Filter{}, 0, 0, 0)
		if len(b.letters) != 6 || len(b.calls) != 4 {
			t.Errorf("recorded %d letters in %v", len(b.letters), b.calls)
		}
		letter(t, q, 9, otlp.Logs, "", "a", "rejected")
		list(t, q, deadletter.Filter{}, 0, 0, 0, 7)
	})
}

// A stream whose letters cannot be removed one by one can still be emptied from
// its begin on; else nothing is recorded that cannot be removed.
func TestPurgeOfAStreamThatIsNotRemovable(t *testing.T) {
	for name, q := range map[string]queue.Queue{"memory": memory.New(), "jetstream": realQueue(t)} {
		t.Run(name, func(t *testing.T) {
			if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: "DEAD", MaxBytes: 1 << 20}); err != nil {
				t.Fatal(err)
			}
			letters(t, q, 4)
			letter(t, q, 5, otlp.Logs, "", "other", "rejected")
			letter(t, q, 6, otlp.Logs, "", "backend", "rejected")
			b := &book{}
			_, err := deadletter.Purge(t.Context(), q, "DEAD", deadletter.Filter{Sequences: []uint64{2}}, false, b, nil)
			if err == nil || !strings.Contains(err.Error(), "not made removable") || b.calls != nil {
				t.Errorf("got %v, recorded %v", err, b.calls)
			}
			s, err := deadletter.Purge(t.Context(), q, "DEAD", deadletter.Filter{Destination: "backend"}, false, b, nil)
			if err == nil || !strings.Contains(err.Error(), "not made removable") || !strings.Contains(err.Error(), "; 4 letters were purged before") || s.Letters != 4 || len(b.letters) != 4 {
				t.Errorf("purged %d, recorded %v, %v", s.Letters, b.calls, err)
			}
			list(t, q, deadletter.Filter{}, 0, 0, 0, 5, 6)
			purges(t, q, deadletter.Filter{}, b, 2)
		})
	}
}

// The record comes first: whatever dies then, the ledger has too much and not
// too little, and the next purge makes it right.
func TestPurgeIsRecordedFirst(t *testing.T) {
	for _, whole := range []bool{true, false} {
		q := &faulty{Queue: memory.New(), fails: map[string]int{}}
		dead(t, q)
		letters(t, q, 3)
		f, op := deadletter.Filter{}, "purge"
		if !whole {
			f, op = deadletter.Filter{IDs: []string{"01M2", "01M3"}}, "remove"
		}
		b := &book{}
		b.before = func(l []deadletter.Purged) error {
			st, err := q.Queue.StreamState(t.Context(), "DEAD")
			if err != nil || st.Messages != 3 {
				t.Errorf("%d letters are there when %d are recorded (%v)", st.Messages, len(l), err)
			}
			return errBroken
		}
		_, err := deadletter.Purge(t.Context(), q, "DEAD", f, false, b, nil)
		if !errors.Is(err, errBroken) || !strings.HasSuffix(err.Error(), "they are not removed") {
			t.Errorf("got %v", err)
		}
		list(t, q, deadletter.Filter{}, 0, 0, 0, 1, 2, 3)

		b.before = nil
		q.fails[op] = 0
		s, err := deadletter.Purge(t.Context(), q, "DEAD", f, false, b, nil)
		if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "they are recorded as purged and may be there still: purge them again") {
			t.Errorf("got %v", err)
		}
		delete(q.fails, op)
		recorded := len(b.letters)
		again, err := deadletter.Purge(t.Context(), q, "DEAD", f, false, b, nil)
		if err != nil || int(s.Letters+again.Letters) != recorded || len(b.letters) != recorded {
			t.Errorf("purged %d and %d, recorded %d and then %d, %v", s.Letters, again.Letters, recorded, len(b.letters), err)
		}
	}
}

// What was recorded is removed, also when the caller goes away meanwhile.
func TestPurgeFinishesItsBatch(t *testing.T) {
	both(t, func(t *testing.T, q queue.Queue) {
		letters(t, q, 3)
		ctx, cancel := context.WithCancel(t.Context())
		b := &book{before: func([]deadletter.Purged) error { cancel(); return nil }}
		s, err := deadletter.Purge(ctx, q, "DEAD", deadletter.Filter{IDs: []string{"01M3", "01M2"}}, false, b, nil)
		if s.Letters != 2 || err != nil {
			t.Errorf("purged %d, %v", s.Letters, err)
		}
		list(t, q, deadletter.Filter{}, 0, 0, 0, 1)
	})
}

// A redrive may have removed a letter in the same moment: it is not counted.
func TestPurgeBesideARedrive(t *testing.T) {
	both(t, func(t *testing.T, q queue.Queue) {
		letters(t, q, 4)
		b := &book{before: func([]deadletter.Purged) error { remove(t, q, 3); return nil }}
		if s := purges(t, q, deadletter.Filter{IDs: []string{"01M2", "01M3"}}, b, 1); s.Items != 2 {
			t.Errorf("purged %+v", s)
		}
		list(t, q, deadletter.Filter{}, 0, 0, 0, 1, 4)
	})
}

func TestPurgeInBatches(t *testing.T) {
	q := memory.New()
	dead(t, q)
	const n = 2*deadletter.MaxBatch + 10
	for i := range n {
		letter(t, q, 1, otlp.Logs, "", []string{"a", "b"}[i/(n/2)]+strings.Repeat("x", i), "rejected")
	}
	b, told := &book{}, []int{}
	purge := func(f deadletter.Filter) {
		t.Helper()
		if _, err := deadletter.Purge(t.Context(), q, "DEAD", f, false, b, func(n int) { told = append(told, n) }); err != nil {
			t.Fatal(err)
		}
	}
	remove(t, q, 2)
	purge(deadletter.Filter{Sequences: []uint64{1, 5}})
	purge(deadletter.Filter{})
	if !slices.Equal(b.calls, []int{2, 256, 256, 7}) || !slices.Equal(told, []int{2, 256, 512, 519}) || len(b.letters) != n-1 {
		t.Errorf("recorded %v, told %v", b.calls, told)
	}
}

func TestPurgeChecksItsFilter(t *testing.T) {
	q := memory.New()
	dead(t, q)
	if _, err := deadletter.Purge(t.Context(), q, "DEAD", deadletter.Filter{Signal: "x"}, false, &book{}, nil); err == nil {
		t.Error("a filter was not checked")
	}
	if _, err := deadletter.Purge(t.Context(), q, "NONE", deadletter.Filter{}, false, &book{}, nil); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("of no stream: %v", err)
	}
}
