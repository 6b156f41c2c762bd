package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship/shiptest"
)

func refused(code string) error {
	return &exporter.Error{Kind: exporter.Permanent, Code: code, Err: errors.New("not you")}
}

// One item, or twenty, that the destination rejects are dead-lettered alone; the
// other ten thousand arrive once, whether they came merged or as one group.
func TestPoisonItemsAreDeadLetteredAlone(t *testing.T) {
	twenty := make([]int, 20)
	for i := range twenty {
		twenty[i] = i*500 + i*13%100
	}
	for _, bad := range [][]int{{7321}, twenty} {
		for _, each := range []int{50, 10_000} {
			t.Run(fmt.Sprint(len(bad), " in groups of ", each), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := &shiptest.Backend{Judge: rejecting(bad...)}
					r := booked(t, b, merging)
					for at := 0; at < 10_000; at += each {
						r.items(at, each)
					}
					r.start()
					wait(time.Minute)
					r.stop()
					if dead := r.balance(b, 10_000, 10_000/each); !slices.Equal(dead, bad) {
						t.Errorf("dead are %v, want %v", dead, bad)
					}
					if len(r.dead()) != len(bad) || r.possible() != 0 {
						t.Errorf("%d letters, %d possible duplicates", len(r.dead()), r.possible())
					}
					for _, m := range r.dead() {
						if m.Header[deadletter.HeaderPart] == "" || m.Header[deadletter.HeaderReason] != deadletter.ReasonRejected {
							t.Errorf("letter %v", m.Header)
						}
					}
					r.wantMetric(float64(10_000-len(bad)), "penstock_exporter_sent_log_records_total")
					r.wantMetric(float64(len(bad)), "penstock_exporter_dead_lettered_log_records_total")
					if r.metric("penstock_exporter_bisections_total") == 0 || (each == 50) != (r.metric("penstock_exporter_merged_messages_total") > 0) {
						t.Errorf("%g bisections, %g merged", r.metric("penstock_exporter_bisections_total"), r.metric("penstock_exporter_merged_messages_total"))
					}
				})
			})
		}
	}
}

// What is larger than max_request_bytes is split before it is sent.
func TestLargeGroupsAreSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &shiptest.Backend{}
		r := booked(t, b, func(d *worker.Destination) { d.MaxRequestBytes = 100 * config.KiB })
		for i := range 5 {
			r.items(i*10_000, 10_000)
		}
		r.start()
		wait(time.Minute)
		r.stop()
		r.balance(b, 50_000, 5)
		if n, largest := b.Requests(); largest > 100<<10 || n > 5*8 {
			t.Errorf("%d requests, the largest of %d bytes", n, largest)
		}
		r.wantMetric(5, "penstock_exporter_splits_total")
		r.wantMetric(0, "penstock_exporter_redeliveries_total")
	})
}

// A destination that takes less than it is configured to is not asked with each
// group, and its limit grows back.
func TestLimitIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusals := 0
		var limit atomic.Int64
		limit.Store(100 << 10)
		b := &shiptest.Backend{Judge: func(_ []int, n int) error {
			if n > int(limit.Load()) {
				refusals++
				return &exporter.Error{Kind: exporter.TooLarge, Code: "RESOURCE_EXHAUSTED", Err: errors.New("larger than max")}
			}
			return nil
		}}
		r := booked(t, b, slots(1, 64<<20))
		r.start()
		for i := range 30 { // an hour
			r.items(i*5000, 5000) // 140 kB
			wait(2 * time.Minute)
		}
		if refusals > 15 {
			t.Errorf("refused %d times for 30 groups", refusals)
		}
		if r.metric("penstock_exporter_request_limit_bytes") > 140_000 {
			t.Errorf("limit is %g", r.metric("penstock_exporter_request_limit_bytes"))
		}
		limit.Store(4 << 20)
		before, _ := b.Requests()
		wait(time.Hour)
		r.items(150_000, 5000)
		wait(time.Second)
		if after, _ := b.Requests(); after != before+1 {
			t.Errorf("%d requests for a group once the limit is as configured", after-before)
		}
		r.stop()
		r.balance(b, 155_000, 31)
	})
}

// A failure for now in the midst of parts: what was taken is not sent again.
func TestFailureWithinPartsRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		bad := rejecting(123, 4567)
		b := &shiptest.Backend{Judge: func(items []int, bytes int) error {
			if n++; n%3 == 0 {
				return retryable(0)
			}
			return bad(items, bytes)
		}}
		r := booked(t, b, func(d *worker.Destination) { d.MaxRequestBytes = 100 * config.KiB })
		r.items(0, 10_000)
		r.start()
		wait(time.Hour)
		r.stop()
		dead := r.balance(b, 10_000, 1)
		if !slices.Equal(dead, []int{123, 4567}) || r.possible() != 0 {
			t.Errorf("dead are %v; %d possible duplicates", dead, r.possible())
		}
		for i, times := range b.Got() {
			if times != 1 {
				t.Fatalf("item %d was taken %d times", i, times)
			}
		}
	})
}

// Another worker does not know what was taken: it sends all, and counts it.
func TestAnotherWorkerCountsWhatMayComeTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var second atomic.Bool
		b := &shiptest.Backend{Judge: func(items []int, _ int) error {
			if !second.Load() && items[0] > 0 {
				return retryable(0)
			}
			return nil
		}}
		r := booked(t, b, func(d *worker.Destination) { d.MaxRequestBytes = 100 * config.KiB })
		r.items(0, 10_000)
		r.start()
		wait(5 * time.Second)
		r.stop()
		if n := len(b.Got()); n == 0 || n == 10_000 {
			t.Fatalf("%d items were taken by the first", n)
		}
		second.Store(true)
		r.start()
		wait(time.Minute)
		r.stop()
		r.balance(b, 10_000, 1)
		if r.possible() != 10_000 || r.w.Tally()[0].PossibleDuplicates != 10_000 {
			t.Errorf("%d possible duplicates, tally %+v", r.possible(), r.w.Tally())
		}
	})
}

// A request that was lost on its way back may have been taken; a destination
// that could not be reached took nothing.
func TestLostAnswersAreCounted(t *testing.T) {
	for code, want := range map[string]int{"timeout": 100, "no_connection": 100, "UNAVAILABLE": 0, "busy": 0} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			lost := &exporter.Error{Kind: exporter.Retryable, Code: code, Err: errors.New("no answer")}
			b := &shiptest.Backend{Judge: func([]int, int) error {
				if n++; n == 1 {
					return lost
				}
				return nil
			}, Lost: func(err error) bool { return want > 0 && err == lost }}
			r := booked(t, b)
			r.items(0, 100)
			r.start()
			wait(time.Minute)
			r.stop()
			r.balance(b, 100, 1)
			if r.possible() != want {
				t.Errorf("%s: %d possible duplicates, want %d", code, r.possible(), want)
			}
		})
	}
}

// Wrong credentials bury nothing: the data waits, few requests are made, and it
// flows once they are put right.
func TestRefusalHolds(t *testing.T) {
	for _, code := range []string{"UNAUTHENTICATED", "HTTP 404"} {
		synctest.Test(t, func(t *testing.T) {
			var well atomic.Bool
			b := &shiptest.Backend{Judge: func([]int, int) error {
				if !well.Load() {
					return refused(code)
				}
				return nil
			}}
			r := booked(t, b, merging)
			for i := range 300 {
				r.items(i*10, 10)
			}
			r.start()
			wait(time.Hour)
			if n, _ := b.Requests(); n > 1100 || len(r.dead()) != 0 {
				t.Errorf("%s: %d requests in an hour, %d letters", code, n, len(r.dead()))
			}
			if r.log.count("level=ERROR") == 0 || r.log.count("see to its credentials") == 0 {
				t.Errorf("nothing loud in the log:\n%s", r.log)
			}
			well.Store(true)
			wait(time.Minute)
			r.stop()
			r.balance(b, 3000, 300)
			if r.possible() != 0 {
				t.Errorf("%d possible duplicates", r.possible())
			}
		})
	}
}

// The same, where the operator wants it dead: one request for each group.
func TestRefusalIsDeadByOption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &shiptest.Backend{Judge: func([]int, int) error { return refused("PERMISSION_DENIED") }}
		r := booked(t, b, func(d *worker.Destination) { d.OnRefusal = worker.DeadLetter })
		for i := range 50 {
			r.items(i*100, 100)
		}
		r.start()
		wait(time.Minute)
		r.stop()
		r.balance(b, 5000, 50)
		if n, _ := b.Requests(); n != 50 || len(r.dead()) != 50 {
			t.Errorf("%d requests and %d letters, want one for each group", n, len(r.dead()))
		}
	})
}

// A server at fault that says so with a code that is not to be retried buries a
// message now and then, not the queue.
func TestFaultOfTheServerBuriesLittle(t *testing.T) {
	for _, code := range []string{"INTERNAL", "HTTP 500"} {
		synctest.Test(t, func(t *testing.T) {
			var well atomic.Bool
			b := &shiptest.Backend{Judge: func([]int, int) error {
				if !well.Load() {
					return refused(code)
				}
				return nil
			}}
			r := booked(t, b)
			for i := range 2000 {
				r.items(i*10, 10)
			}
			r.start()
			wait(10 * time.Minute)
			well.Store(true)
			wait(time.Minute)
			r.stop()
			r.balance(b, 20_000, 2000)
			if n := len(r.dead()); n > 200 {
				t.Errorf("%s: %d letters after 10 minutes of fault", code, n)
			}
		})
	}
}

// A quota that is told as a size holds the data.
func TestQuotaHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		b := &shiptest.Backend{Judge: func([]int, int) error {
			if !well.Load() {
				return &exporter.Error{Kind: exporter.TooLarge, Code: "RESOURCE_EXHAUSTED", Err: errors.New("rate limited")}
			}
			return nil
		}}
		r := booked(t, b, merging)
		for i := range 10 {
			r.items(i*1000, 1000)
		}
		r.start()
		wait(10 * time.Minute)
		well.Store(true)
		wait(2 * time.Minute)
		r.stop()
		if dead := r.balance(b, 10_000, 10); len(dead) > 0 {
			t.Errorf("%d items are dead of a quota", len(dead))
		}
	})
}

// Groups that are taken apart leave a place to others (I8).
func TestBisectionsLeaveAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &shiptest.Backend{Judge: func(items []int, _ int) error {
			for _, i := range items {
				if i < 16_000 && i%7 == 0 {
					return permanent()
				}
			}
			return nil
		}, Each: func(context.Context, *exporter.Request) { time.Sleep(100 * time.Millisecond) }}
		r := booked(t, b, slots(4, 64<<20))
		for i := range 40 { // each takes minutes
			r.items(i*400, 400)
		}
		r.start()
		wait(10 * time.Second)
		r.items(16_000, 10)
		begin := time.Now()
		for b.Got()[16_009] == 0 && time.Since(begin) < time.Hour {
			wait(100 * time.Millisecond)
		}
		if after := time.Since(begin); after > 15*time.Second {
			t.Errorf("a good message was out after %s", after)
		}
		wait(3 * time.Hour)
		r.stop()
		r.balance(b, 16_010, 41)
	})
}

// retry.max_elapsed ends what is not taken, never early, and only that.
func TestMaxElapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &shiptest.Backend{Judge: func(items []int, _ int) error {
			if items[0] >= 5000 {
				return retryable(0)
			}
			return nil
		}}
		r := booked(t, b, func(d *worker.Destination) {
			d.MaxRequestBytes, d.Retry.MaxElapsed = 100*config.KiB, config.Duration(10*time.Minute)
		})
		r.items(0, 10_000)
		wait(time.Hour) // what waits in the queue does not age
		r.start()
		wait(10*time.Minute - time.Second)
		if len(r.dead()) != 0 {
			t.Error("dead before its time")
		}
		wait(time.Minute)
		r.stop()
		dead := r.balance(b, 10_000, 1)
		if len(dead) != 5000 || dead[0] != 5000 {
			t.Errorf("%d items are dead, want the 5000 that were not taken", len(dead))
		}
		_, reasons := r.buried()
		if reasons[deadletter.ReasonExpired] != 1 || len(reasons) != 1 {
			t.Errorf("letters %v", reasons)
		}
		if m := r.dead()[0]; m.Header[deadletter.HeaderPart] != "5000-9999" || m.Header[deadletter.HeaderCode] != "UNAVAILABLE" || m.Header[deadletter.HeaderFirstAt] == "" {
			t.Errorf("letter %v", m.Header)
		}
	})
}

// More messages that fail alone than the old bound of a durable let others pass.
func TestLoneFailuresDoNotStopADurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &shiptest.Backend{Judge: func(items []int, _ int) error {
			if items[0] < 600 {
				return retryable(0)
			}
			return nil
		}}
		r := booked(t, b)
		r.plan.MaxAckPending = worker.DefaultConfig().MaxAckPending
		if err := applyConsumers(r); err != nil {
			t.Fatal(err)
		}
		for i := range 600 {
			r.items(i, 1)
			if i%3 == 0 {
				r.items(600+i/3, 1)
			}
		}
		r.start()
		wait(10 * time.Minute)
		r.items(800, 1)
		wait(30 * time.Second)
		if n := len(b.Got()); n != 201 {
			t.Errorf("%d of 201 good items are out beside 600 that fail", n)
		}
		if c := r.state(otlp.Logs, "backend"); c.AckPending != 600 {
			t.Errorf("%+v", c)
		}
		r.stop()
	})
}
