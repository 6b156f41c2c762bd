package ledger

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// What came in since the last look is held until it is counted, and whoever
// purges need not wait for the pace of looks.
func TestCountOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		ctx, stop := context.WithCancel(t.Context())
		var ended []chan error
		for _, k := range w.keepers {
			c := make(chan error, 1)
			ended = append(ended, c)
			go func() { c <- k.Run(ctx) }()
			synctest.Wait()
		}
		f := func(want map[string]uint64) {
			t.Helper()
			needed, err := w.holds.Needed(t.Context())
			w.ok(err)
			if len(needed) != len(want) || needed[logs] != want[logs] {
				t.Errorf("needed is %v, want %v", needed, want)
			}
		}
		w.publish(otlp.Logs, "", 3)
		f(map[string]uint64{logs: 1})
		w.keepers[1].Count(t.Context()) // which does not keep it
		f(map[string]uint64{logs: 1})
		w.keepers[0].Count(t.Context())
		f(map[string]uint64{})
		if items, _, ok := w.keepers[0].Total(logs); !ok || items != 0 {
			t.Errorf("total is %d, %t; a count is no look", items, ok)
		}

		w.publish(otlp.Logs, "", 3)
		w.q.save = func(string) (before, after error) { return queue.ErrUnavailable, nil }
		w.keepers[0].Count(t.Context())
		w.q.save = nil
		f(map[string]uint64{logs: 2})

		stop()
		for _, c := range ended {
			w.ok(<-c)
		}
		w.keepers[0].Count(t.Context()) // ends although nobody counts
		f(map[string]uint64{logs: 2})
	})
}
