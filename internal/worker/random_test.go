package worker_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship/shiptest"
)

// A destination that answers anything, for half an hour, and then as it should,
// over restarts of the worker: exactly the bad items are dead, all others arrive,
// and no item arrives twice without being counted.
func TestRandomAnswersBalance(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd, chance := rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 3)) // the second is the destination's
				end := time.Now().Add(30 * time.Minute)
				limit := 500 + rnd.IntN(5000)
				moody := rnd.IntN(10)
				bad := map[int]bool{}
				for range 30 {
					bad[rnd.IntN(3000)] = true
				}
				lost := &exporter.Error{Kind: exporter.Retryable, Code: "timeout", Err: errors.New("no answer")}
				b := &shiptest.Backend{Lost: func(err error) bool { return err == lost }}
				b.Judge = func(items []int, bytes int) error {
					var err error
					switch {
					case bytes > limit:
						err = &exporter.Error{Kind: exporter.TooLarge, Code: "HTTP 413", Err: errors.New("too large")}
					case slices.ContainsFunc(items, func(i int) bool { return bad[i] }):
						err = permanent()
					}
					if time.Now().Before(end) && chance.IntN(10) < moody {
						switch n := chance.IntN(6); {
						case n == 0 && err == nil:
							return lost
						case n == 1:
							return retryable(time.Duration(chance.IntN(5)) * time.Second)
						case n == 2:
							return refused("PERMISSION_DENIED")
						case n == 3:
							return &exporter.Error{Kind: exporter.Retryable, Code: "no_connection", Err: errors.New("lost")}
						}
						return retryable(0)
					}
					return err
				}
				r := booked(t, b, func(d *worker.Destination) {
					d.MergeMessages = 1 + rnd.IntN(64)
					d.MaxInFlight = 1 + rnd.IntN(8)
					d.MaxRequestBytes = config.ByteSize(2000 + rnd.IntN(20_000))
				})
				items, messages := 0, 0
				for part := range 3 {
					r.start()
					for range 20 {
						n := 1 + rnd.IntN(100)
						r.items(items, n)
						items, messages = items+n, messages+1
						wait(time.Duration(rnd.IntN(20)) * time.Second)
					}
					if part < 2 {
						r.stop()
					}
				}
				wait(2 * time.Hour)
				r.stop()
				got := b.Got()
				buried, _ := r.buried()
				twice := 0
				for i := range items {
					if want := 1; bad[i] && (buried[i] != 1 || got[i] != 0) || !bad[i] && (got[i] < want || buried[i] != 0) {
						t.Errorf("item %d (bad %t) was taken %d times and has %d letters", i, bad[i], got[i], buried[i])
					}
					twice += min(1, max(0, got[i]-1))
				}
				if p := r.possible(); twice > p {
					t.Errorf("%d items came twice, %d are counted as possible", twice, p)
				}
				r.settled(otlp.Logs, "backend", messages)
			})
		})
	}
}
