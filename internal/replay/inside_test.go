package replay

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// A window that is too large to be counted in time is extrapolated, and says so.
func TestCountingIsBounded(t *testing.T) {
	q := memory.New()
	if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: "S", MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		m := record.Encode(&record.Record{ID: strings.Repeat("x", i+1), Codec: "none", Items: 2, RawBytes: 10, Body: make([]byte, 5)})
		if _, err := q.Publish(context.Background(), "S", m); err != nil {
			t.Fatal(err)
		}
	}
	f := func(c counter, want Size, estimated bool) {
		t.Helper()
		c.s = &Spec{}
		got, err := c.count(t.Context(), q, window{Stream: "S", First: 1, End: 101})
		if err != nil || got.Window != want || got.Match != want || got.Estimated != estimated {
			t.Errorf("got %+v (%v), want %+v, estimated %v", got, err, want, estimated)
		}
	}
	all := Size{Messages: 100, Items: 200, RawBytes: 1000, StoredBytes: 500}
	f(counter{left: 1000, until: time.Now().Add(time.Hour), streams: 1}, all, false)
	f(counter{left: 10, until: time.Now().Add(time.Hour), streams: 1}, all, true)
	f(counter{left: 40, until: time.Now().Add(time.Hour), streams: 2}, all, true)
}

func TestPartsAreShortEnoughToBeMadeLonger(t *testing.T) {
	f := func(part, want string) {
		t.Helper()
		if got := within(part); got != want {
			t.Errorf("%q: %q, want %q", part, got, want)
		}
	}
	f("", "")
	f("3-4", "3-4")
	f("replay-01ABC/3-4", "replay-01ABC/3-4")
	long := "replay-" + strings.Repeat("x", 64)
	f(long, within(long))
	if short := within(long); len(short) > 20 || !strings.HasPrefix(short, MarkPart) || short == within(long+"y") {
		t.Errorf("got %q", short)
	}
}
