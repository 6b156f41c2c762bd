package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestList(t *testing.T) {
	q := memory.New()
	if items, last, err := List(t.Context(), q, Filter{}, 0, 10, false); err != nil || len(items) != 0 || last != 0 {
		t.Fatalf("without a stream: %v, %d, %v", items, last, err)
	}
	r := newRig(t, "p")
	c := newChain(q, r.metrics, r.o.Logger)
	var middle time.Time
	for i := range 10 {
		if i == 5 {
			time.Sleep(2 * time.Millisecond)
			middle = time.Now()
			time.Sleep(2 * time.Millisecond)
		}
		e := Event{At: time.Now(), Action: fmt.Sprintf("Redrive %d", i%2), Outcome: []string{Done, Failed}[i/5], Subject: fmt.Sprintf("key:%d", i%3)}
		if _, err := c.append(t.Context(), e, nil, false); err != nil {
			t.Fatal(err)
		}
	}
	f := func(filter Filter, after uint64, limit int, newest bool, wantLast uint64, want ...uint64) {
		t.Helper()
		if err := filter.Validate(); err != nil {
			t.Fatal(err)
		}
		items, last, err := List(t.Context(), q, filter, after, limit, newest)
		var got []uint64
		for _, i := range items {
			got = append(got, i.N)
		}
		if err != nil || !slices.Equal(got, want) || last != wantLast {
			t.Errorf("%+v behind %d, %d: %v, last %d, %v; want %v, last %d", filter, after, limit, got, last, err, want, wantLast)
		}
	}
	f(Filter{}, 0, 0, false, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	f(Filter{}, 0, 3, false, 3, 1, 2, 3)
	f(Filter{}, 3, 3, false, 6, 4, 5, 6)
	f(Filter{}, 0, 3, true, 10, 8, 9, 10)
	f(Filter{}, 10, 3, false, 10)
	f(Filter{}, 99, 3, true, 99)
	f(Filter{Action: "redrive 1"}, 0, 2, true, 10, 8, 10)
	f(Filter{Action: "REDRIVE", Subject: "key:2"}, 0, 0, false, 10, 3, 6, 9)
	f(Filter{Outcome: Failed}, 0, 2, false, 7, 6, 7)
	f(Filter{Since: middle}, 0, 0, false, 10, 6, 7, 8, 9, 10)
	f(Filter{Until: middle}, 0, 0, false, 10, 1, 2, 3, 4, 5)
	f(Filter{Since: middle, Until: middle.Add(time.Hour)}, 7, 0, false, 10, 8, 9, 10)
	f(Filter{Since: middle.Add(time.Hour)}, 0, 0, false, 10)
	for _, bad := range []Filter{{Outcome: "good"}, {Since: middle, Until: middle}} {
		if err := bad.Validate(); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, ok := range []Config{DefaultConfig(), {}, {Enabled: true, Retention: 3600e9}} {
		if err := ok.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []Config{{Retention: -1}, {Retention: 60e9}} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "retention") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
