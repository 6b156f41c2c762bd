package worker_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship/shiptest"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Small neighbours go out as one request, up to the bounds in messages and
// bytes, and what lies alone goes at once.
func TestNeighboursAreMerged(t *testing.T) {
	for _, c := range []struct {
		messages, each, most int
		edit                 func(*worker.Destination)
		requests             int
	}{
		{128, 10, 64, merging, 2},
		{128, 10, 16, func(d *worker.Destination) { d.MergeMessages = 16 }, 8},
		{128, 10, 1, func(d *worker.Destination) { d.MergeMessages = 1 }, 128},
		{100, 1000, 37, func(d *worker.Destination) { d.MergeMessages, d.MaxRequestBytes = 64, 1*config.MiB }, 3}, // of 28 kB
		{8, 10_000, 1, merging, 8}, // of 280 kB: large enough
	} {
		t.Run(fmt.Sprint(c.messages, " of ", c.each, " by ", c.most), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				most := 0
				b := &shiptest.Backend{Judge: func(items []int, _ int) error { most = max(most, len(items)/c.each); return nil }}
				r := booked(t, b, c.edit)
				for i := range c.messages {
					r.items(i*c.each, c.each)
				}
				r.start()
				synctest.Wait() // no time passes
				r.stop()
				r.balance(b, c.messages*c.each, c.messages)
				if n, _ := b.Requests(); n != c.requests || most != c.most {
					t.Errorf("%d requests of %d messages at most, want %d of %d", n, most, c.requests, c.most)
				}
				if got := r.metric("penstock_exporter_merged_messages_total"); (got > 0) != (c.most > 1) {
					t.Errorf("%g merged", got)
				}
			})
		})
	}
}

// All of a merged request are settled by its answer, and none before.
func TestMergedAreAckedByTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		b := &shiptest.Backend{Each: func(context.Context, *exporter.Request) { <-answer }}
		r := booked(t, b, merging)
		for i := range 20 {
			r.items(i*10, 10)
		}
		r.start()
		synctest.Wait()
		if c := r.state(otlp.Logs, "backend"); c.AckFloor != 0 || c.AckPending != 20 {
			t.Errorf("before the answer: %+v", c)
		}
		wait(10 * time.Minute) // far beyond the ack wait
		close(answer)
		synctest.Wait()
		r.stop()
		r.balance(b, 200, 20)
		r.wantMetric(0, "penstock_exporter_redeliveries_total")
	})
}

// After a failure for now each goes alone.
func TestMergedThatFailGoAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []int
		b := &shiptest.Backend{Judge: func(items []int, _ int) error {
			seen = append(seen, len(items))
			if len(seen) == 1 {
				return retryable(0)
			}
			return nil
		}}
		r := booked(t, b, merging)
		for i := range 5 {
			r.items(i*10, 10)
		}
		r.start()
		wait(time.Minute)
		r.stop()
		r.balance(b, 50, 5)
		if !slices.Equal(seen, []int{50, 10, 10, 10, 10, 10}) {
			t.Errorf("requests of %v items", seen)
		}
		if r.possible() != 0 {
			t.Errorf("%d possible duplicates", r.possible())
		}
	})
}

// Tenants are never mixed.
func TestTenantsAreNotMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenants := map[string]int{}
		b := &shiptest.Backend{}
		b.Each = func(_ context.Context, q *exporter.Request) { tenants[q.Tenant] += q.Items }
		r := booked(t, b, merging, slots(1, 64<<20))
		for i := range 30 {
			r.itemsOf([]string{"a", "b"}[i/7%2], i*10, 10, 0)
		}
		r.start()
		synctest.Wait()
		r.stop()
		r.balance(b, 300, 30)
		if n, _ := b.Requests(); n != 5 || tenants["a"] != 160 || tenants["b"] != 140 {
			t.Errorf("%d requests, %v", n, tenants)
		}
		if got := r.w.Tally(); len(got) != 2 || got[0].Tenant != "a" || got[0].Exported != 160 || got[1].Messages != 14 || got[1].Signal != "logs" || got[1].Destination != "backend" {
			t.Errorf("tally %+v", got)
		}
	})
}

// A damaged message among others is buried alone, also when it comes first.
func TestDamagedAmongMerged(t *testing.T) {
	for at := range 3 {
		synctest.Test(t, func(t *testing.T) {
			b := &shiptest.Backend{}
			r := booked(t, b, merging)
			for i := range 3 {
				if i != at {
					r.items(i*10, 10)
					continue
				}
				m := message(otlp.Logs, 4)
				m.Body[2] ^= 1
				r.publish(topology.Stream(otlp.Logs, 0), m)
			}
			r.start()
			wait(time.Second)
			r.stop()
			r.settled(otlp.Logs, "backend", 3)
			if n, _ := b.Requests(); n != 1 || len(b.Got()) != 20 || len(r.dead()) != 1 {
				t.Errorf("damaged at %d: %d requests, %d items, %d letters", at, n, len(b.Got()), len(r.dead()))
			}
		})
	}
}

// A message that does not decompress is at fault alone.
func TestUndecodableAmongMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &shiptest.Backend{}
		r := booked(t, b, merging)
		r.items(0, 10)
		r.publish(topology.Stream(otlp.Logs, 0), record.Encode(&record.Record{ID: "bad", Signal: otlp.Logs, Tenant: "acme", Codec: codec.Zstd, Items: 1, RawBytes: 10, Body: []byte("no zstd")}))
		r.items(10, 10)
		r.start()
		wait(time.Minute)
		r.stop()
		r.settled(otlp.Logs, "backend", 3)
		if len(b.Got()) != 20 || len(r.dead()) != 1 || r.dead()[0].Header["Penstock-Dead-Id"] != "bad" {
			t.Errorf("%d items, %d letters", len(b.Got()), len(r.dead()))
		}
	})
}

// What is rejected of a merged request is counted once.
func TestMergedPartialSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newQueue(), []worker.Destination{to("backend", merging, only("logs"))}, export(func(context.Context, *exporter.Request) (exporter.Result, error) {
			return exporter.Result{Rejected: 15, Message: "some were too old"}, nil
		}))
		for i := range 5 {
			r.items(i*10, 10)
		}
		r.start()
		synctest.Wait()
		r.stop()
		r.settled(otlp.Logs, "backend", 5)
		r.wantMetric(35, "penstock_exporter_sent_log_records_total")
		r.wantMetric(15, "penstock_exporter_rejected_log_records_total")
		if got := r.w.Tally(); len(got) != 1 || got[0].Exported != 35 || got[0].Rejected != 15 || r.log.count("some were too old") != 1 {
			t.Errorf("tally %+v\n%s", got, r.log)
		}
	})
}

// A merged request that is refused by the destination itself holds all.
func TestMergedRefusalHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		b := &shiptest.Backend{Judge: func([]int, int) error {
			if !well.Load() {
				return refused("UNAUTHENTICATED")
			}
			return nil
		}}
		r := booked(t, b, merging)
		for i := range 30 {
			r.items(i*10, 10)
		}
		r.start()
		synctest.Wait()
		if n, _ := b.Requests(); n != 1 || len(r.dead()) != 0 {
			t.Errorf("%d requests, %d letters", n, len(r.dead()))
		}
		well.Store(true)
		wait(time.Minute)
		r.stop()
		r.balance(b, 300, 30)
	})
}

// When the destination goes away while merged ones are tried alone, the others
// wait.
func TestUnmergeStopsInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []int
		var well atomic.Bool
		b := &shiptest.Backend{Judge: func(items []int, _ int) error {
			seen = append(seen, len(items))
			switch {
			case len(items) > 10 && !well.Load():
				return permanent()
			case !well.Load():
				return retryable(30 * time.Second)
			}
			return nil
		}}
		r := booked(t, b, merging)
		for i := range 10 {
			r.items(i*10, 10)
		}
		r.start()
		synctest.Wait()
		if n, _ := b.Requests(); n != 2 {
			t.Errorf("%d requests before it asked to be left alone, want the merged one and one alone", n)
		}
		well.Store(true)
		wait(2 * time.Minute)
		r.stop()
		r.balance(b, 100, 10)
		if !slices.Equal(seen[:2], []int{100, 10}) {
			t.Errorf("requests of %v items", seen)
		}
	})
}

// What has to be taken apart waits too, when the destination asks to be left alone
// while merged ones are tried alone.
func TestUnmergeTakesNothingApartInAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Bool
		after := 0
		b := &shiptest.Backend{Judge: func(items []int, _ int) error {
			switch {
			case asked.Load():
				after++
				return retryable(30 * time.Second)
			case slices.Contains(items, 3):
				return permanent()
			case items[0] == 90:
				asked.Store(true)
				return retryable(30 * time.Second)
			}
			return nil
		}}
		r := booked(t, b, merging)
		for i := range 10 {
			r.items(i*10, 10)
		}
		r.start()
		synctest.Wait()
		if !asked.Load() || after != 0 {
			t.Errorf("asked: %t, %d requests after it asked to be left alone", asked.Load(), after)
		}
		r.stop()
	})
}

// Groups that are shipped as they are stored are merged when they are tiny.
func TestShippedAsStoredIsMergedWhenTiny(t *testing.T) {
	for each, want := range map[int]int{100: 1, 1000: 4} { // of 3 and of 28 kB
		synctest.Test(t, func(t *testing.T) {
			b := &shiptest.Backend{}
			r := booked(t, b, merging, func(d *worker.Destination) { d.Compression = codec.S2 })
			for i := range 4 {
				r.items(i*each, each)
			}
			r.start()
			synctest.Wait()
			r.stop()
			r.balance(b, 4*each, 4)
			if n, _ := b.Requests(); n != want {
				t.Errorf("%d requests of groups of %d, want %d", n, each, want)
			}
		})
	}
}
