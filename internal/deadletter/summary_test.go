package deadletter_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestSummaryAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		dead(t, q)
		begin := time.Now().UTC()
		for n, l := range []struct{ tenant, destination, reason string }{
			{"acme", "a", "rejected"}, {"acme", "a", "rejected"}, {"acme", "b", "rejected"}, {"", "a", "too_large"},
		} {
			letter(t, q, n+1, otlp.Logs, l.tenant, l.destination, l.reason)
			time.Sleep(time.Second)
		}
		group := func(destination, reason, tenant string, c deadletter.Counts) deadletter.Group {
			return deadletter.Group{Destination: destination, Reason: reason, Signal: "logs", Tenant: tenant, Counts: c}
		}
		counts := func(n, sum uint64, first, last int) deadletter.Counts {
			return deadletter.Counts{Letters: n, Items: sum, Bytes: sum, First: uint64(first), Last: uint64(last),
				Oldest: begin.Add(time.Duration(first-1) * time.Second), Newest: begin.Add(time.Duration(last-1) * time.Second)}
		}
		f := func(filter deadletter.Filter, want deadletter.Summary) {
			t.Helper()
			got, err := deadletter.Summarize(t.Context(), q, "DEAD", filter)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v: got\n%+v, %v\nwant\n%+v", filter, got, err, want)
			}
		}
		f(deadletter.Filter{}, deadletter.Summary{Counts: counts(4, 10, 1, 4), Groups: []deadletter.Group{
			group("a", "rejected", "acme", counts(2, 3, 1, 2)), group("a", "too_large", "", counts(1, 4, 4, 4)), group("b", "rejected", "acme", counts(1, 3, 3, 3))}})
		f(deadletter.Filter{Destination: "b"}, deadletter.Summary{Counts: counts(1, 3, 3, 3), Groups: []deadletter.Group{group("b", "rejected", "acme", counts(1, 3, 3, 3))}})
		f(deadletter.Filter{Destination: "c"}, deadletter.Summary{Groups: []deadletter.Group{}})

		s, err := deadletter.Summarize(t.Context(), q, "DEAD", deadletter.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		by := func(key func(deadletter.Group) deadletter.Group, want ...deadletter.Group) {
			t.Helper()
			if got := s.By(key); !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
		}
		by(deadletter.ByDestination, deadletter.Group{Destination: "a", Counts: counts(3, 7, 1, 4)}, deadletter.Group{Destination: "b", Counts: counts(1, 3, 3, 3)})
		by(deadletter.ByReason, deadletter.Group{Reason: "rejected", Counts: counts(3, 6, 1, 3)}, deadletter.Group{Reason: "too_large", Counts: counts(1, 4, 4, 4)})
		by(deadletter.ByTenant, deadletter.Group{Tenant: "acme", Counts: counts(3, 6, 1, 3)}, deadletter.Group{Counts: counts(1, 4, 4, 4)})
		by(deadletter.BySignal, deadletter.Group{Signal: "logs", Counts: counts(4, 10, 1, 4)})

		text, err := json.Marshal(s.By(deadletter.BySignal))
		want := `[{"destination":"","reason":"","signal":"logs","letters":4,"items":10,"bytes":10,"oldest":"2000-01-01T00:00:00Z","newest":"2000-01-01T00:00:03Z","first_sequence":1,"last_sequence":4}]`
		if err != nil || string(text) != want {
			t.Errorf("got  %s, %v\nwant %s", text, err, want)
		}
	})
}

// What others wrote cannot make a summary large, nor its sums small.
func TestSummaryIsBounded(t *testing.T) {
	q := memory.New()
	dead(t, q)
	put := func(n int, h map[string]string) {
		if _, err := q.Publish(t.Context(), "DEAD", &queue.Message{ID: fmt.Sprint(n), Header: h}); err != nil {
			t.Fatal(err)
		}
	}
	const n = 20_010 // more tenants than are told apart
	for i := range n {
		h := map[string]string{"Penstock-Dead-Reason": "r", "Penstock-Tenant": fmt.Sprint(i), "Penstock-Items": "9223372036854775807"}
		if i > 15_000 {
			h["Penstock-Dead-Reason"] = fmt.Sprint(i)
		}
		put(i, h)
	}
	for i := range 6000 {
		put(n+i, map[string]string{"Penstock-Dead-Reason": fmt.Sprint(n + i)})
	}
	s, err := deadletter.Summarize(t.Context(), q, "DEAD", deadletter.Filter{})
	if err != nil || s.Letters != n+6000 || s.Items != 1<<64-1 || len(s.Groups) != 20_001 {
		t.Fatalf("%d letters, %d items, %d groups, %v", s.Letters, s.Items, len(s.Groups), err)
	}
	sum := uint64(0)
	others := 0
	for _, g := range s.Groups {
		sum += g.Letters
		if g.Tenant == deadletter.OtherTenants && g.Reason == "r" {
			others = int(g.Letters)
		}
	}
	if sum != s.Letters || others != 5001 {
		t.Errorf("groups have %d letters of %d, others %d", sum, s.Letters, others)
	}
}
