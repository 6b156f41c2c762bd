package janitor

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// The window keeps what is exported, the floor what is not.
func TestWindowAndFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, everyHour)
		for i := range uint64(10) { // one each 10 minutes
			r.put(1)
			r.round(1, i+1)
			time.Sleep(10 * time.Minute)
		}
		r.round(1, 10) // 100 min old, and nobody has them
		r.take("all", 10)
		r.round(1, 10) // one destination is not enough
		r.take("logs", 2)
		r.round(3, 10) // all up to the floor are older
		r.metric("floor_sequence " + logs + " 2")
		r.metric("target_sequence " + logs + " 2")
		r.take("logs", 8)
		r.round(6, 10) // 60 min old: the fifth
		r.metric("purged_messages_total window " + logs + " 5")
		r.metric("replay_window_seconds " + logs + " 3000")
		r.metric("floor_sequence " + logs + " 10")
		time.Sleep(2 * time.Hour)
		r.round(11, 10)
		r.put(1)
		r.round(11, 11)
		if problems, err := testutil.GatherAndLint(r.reg); err != nil || len(problems) > 0 {
			t.Errorf("metrics: %v %v", problems, err)
		}
	})
}

func TestNoWindowKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow = 0 })
		r.put(3)
		r.round(1, 3)
		r.take("all", 3)
		r.take("logs", 2)
		r.round(3, 3)
		r.take("logs", 1)
		r.round(4, 3)
		if r.q.calls["get"] != 0 {
			t.Errorf("%d messages were read to find nothing out", r.q.calls["get"])
		}
	})
}

// A server may say that nothing is pending while messages wait. Purging up to the
// last sequence of a "caught-up" consumer would lose them.
func TestPendingIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow = 0 })
		r.q.stale = true
		r.put(3)
		r.take("all", 3)
		r.take("logs", 1)
		r.round(2, 3)
	})
}

// Nobody to export to: everything is kept.
func TestNoConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow, c.ReplayBytes = 0, 1 })
		for _, name := range []string{"all", "logs"} {
			r.ok(r.q.RemoveConsumer(t.Context(), logs, topology.Durable(name)))
		}
		r.j.o.Plan.Destinations = nil
		r.ok(r.q.EnsureConsumer(t.Context(), logs, queue.ConsumerConfig{Name: "alerter"})) // is no destination
		r.put(90)
		r.round(1, 90)
		r.metric("floor_sequence " + logs + " 0")
		r.metric("blocked " + logs + " 1")
		r.logged("nobody: no destination takes this stream", 1)
		r.round(1, 90)
		r.logged("nobody", 0)
		// A worker comes, with a destination that this process does not know.
		r.ok(r.q.EnsureConsumer(t.Context(), logs, queue.ConsumerConfig{Name: topology.Durable("new")}))
		r.round(1, 90)
		r.logged("whose destination is not configured here", 1)
		r.take("new", 90)
		r.round(91, 90)
		r.logged("a stream has space again", 1)
		r.metric("blocked " + logs + " 0")
	})
}

// A signal that no configured destination takes stays for the window alone, until
// somebody has a durable for it.
func TestNobodyTakesASignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow = config.Duration(time.Hour) })
		for _, name := range []string{"all", "logs"} {
			r.ok(r.q.RemoveConsumer(t.Context(), logs, topology.Durable(name)))
		}
		r.j.o.Plan.Destinations = []topology.Destination{{Name: "all", Signals: []otlp.Signal{otlp.Traces, otlp.Metrics}}}
		r.put(3)
		r.round(1, 3)
		time.Sleep(2 * time.Hour)
		r.put(2)
		r.round(4, 5) // what is older than the window
		time.Sleep(2 * time.Hour)
		r.ok(r.q.EnsureConsumer(t.Context(), logs, queue.ConsumerConfig{Name: topology.Durable("new")}))
		r.round(4, 5) // somebody wants it
		r.take("new", 1)
		r.round(5, 5)
	})
}

// A durable that the plan needs and that is gone stops the purge of its streams.
func TestMissingConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow = 0 })
		r.put(85)
		r.take("all", 85)
		r.take("logs", 85)
		r.ok(r.q.RemoveConsumer(t.Context(), logs, topology.Durable("logs")))
		r.round(1, 85)
		r.metric("missing_consumers " + logs + " 1")
		if v := r.j.View(); v.Streams[2].HeldBy != "export-logs" || !v.Streams[2].Blocked {
			t.Errorf("tells %+v", v)
		}
		r.logged("consumers=export-logs", 1)
		r.round(1, 85)
		r.logged("consumers=export-logs", 0)
		// Made again it begins at the first message: all are delivered again.
		r.ok(topology.ApplyConsumers(t.Context(), r.q, r.j.o.Plan))
		r.round(1, 85)
		r.metric("missing_consumers " + logs + " 0")
		r.logged("are there again", 1)
		r.take("logs", 85)
		r.round(86, 85)
	})
}

// A durable of somebody else's that is deleted no longer holds: that is the
// operator's command. One that vanishes during a round skips the stream.
func TestOthersConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow = 0 })
		other := topology.Durable("others")
		r.ok(r.q.EnsureConsumer(t.Context(), logs, queue.ConsumerConfig{Name: other}))
		r.put(3)
		r.take("all", 3)
		r.take("logs", 3)
		r.round(1, 3)
		asked := 0
		r.q.hook = func() {
			if asked++; asked == 8 { // the stream of logs has been looked at
				r.ok(r.q.RemoveConsumer(t.Context(), logs, other))
			}
		}
		r.round(1, 3)
		r.q.hook = nil
		r.logged("a consumer vanished while it was looked at", 1)
		r.round(4, 3)
	})
}

// A destination that is added later gets what the window has kept.
func TestDestinationAddedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, everyHour)
		r.put(2)
		time.Sleep(2 * time.Hour)
		r.put(3)
		r.take("all", 5)
		r.take("logs", 5)
		r.round(3, 5)
		r.j.o.Plan.Destinations = append(r.j.o.Plan.Destinations, topology.Destination{Name: "late"})
		time.Sleep(2 * time.Hour)
		r.round(3, 5) // its durable is not there yet
		r.ok(topology.ApplyConsumers(t.Context(), r.q, r.j.o.Plan))
		r.round(3, 5)
		r.take("late", 3)
		r.round(6, 5)
	})
}

// Space: the window gives way, once said, and never the floor.
func TestPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, everyHour)
		r.put(80)
		r.take("all", 80)
		r.take("logs", 80)
		r.round(1, 80) // 80 %, not above
		r.put(1)
		r.round(12, 81) // down to 70 %
		r.metric("purged_messages_total pressure " + logs + " 11")
		r.metric("replay_window_shortened " + logs + " 1")
		r.logged("exported data is kept for less than retention.replay_window", 1)
		r.put(12)
		r.round(24, 93)
		r.logged("exported data is kept for less", 0)
		// Nobody takes any more: the floor at 80 stops it.
		r.put(30)
		r.round(54, 123)
		r.put(29)
		r.round(81, 152) // 72 left, down to the floor... and not beyond
		r.metric("floor_sequence " + logs + " 80")
		r.put(18)
		r.round(81, 170)
		r.metric("blocked " + logs + " 1")
		r.logged("waits_for=export-all", 1)
		r.take("all", 90)
		r.take("logs", 90)
		r.round(101, 170)
		r.metric("replay_window_shortened " + logs + " 1")
		time.Sleep(2 * time.Hour) // the window is what bounds it
		r.round(171, 170)
		r.metric("replay_window_shortened " + logs + " 0")
		r.logged("has room for retention.replay_window again", 1)
	})
}

// A stream that fills by half its bytes in a round, all of it exported, never
// refuses: there is room for what comes in.
func TestQuickStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, everyHour)
		for _, n := range []int{5, 10, 20, 15, 30, 20, 20, 20, 30, 1} {
			for range 10 {
				r.put(n) // fails the test when it is refused
				r.take("all", n)
				r.take("logs", n)
				r.j.round(t.Context())
				time.Sleep(5 * time.Second)
			}
		}
		st, err := r.q.Queue.StreamState(t.Context(), logs)
		r.ok(err)
		if st.Bytes > 80_000 || st.Bytes < 15_000 {
			t.Errorf("%d bytes are kept of 100000", st.Bytes)
		}
		r.logged("exported data is kept for less than retention.replay_window", 1)
	})
}

func TestReplayBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow, c.ReplayBytes = config.Duration(time.Hour), 5000 })
		r.put(10)
		r.take("all", 10)
		r.take("logs", 3)
		r.round(4, 10)
		r.take("logs", 7)
		r.round(6, 10)
		r.metric("purged_messages_total bytes " + logs + " 5")
		r.put(1)
		r.take("all", 1)
		r.take("logs", 1)
		r.round(7, 11)
	})
}

// A large purge is done in steps.
func TestSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow = 0 })
		r.ok(r.q.EnsureStream(t.Context(), queue.StreamConfig{Name: logs, MaxBytes: 1 << 30}))
		for range 40 {
			r.n++
			_, err := r.q.Publish(t.Context(), logs, &queue.Message{ID: strings.Repeat("x", r.n), Body: make([]byte, 5<<20)})
			r.ok(err)
		}
		r.take("all", 40)
		r.take("logs", 40)
		r.round(41, 40)
		if n := r.q.calls["purge"]; n != 4 { // 200 MB by 64
			t.Errorf("%d purges", n)
		}
	})
}

// Clocks: neither a wrong one nor a step makes the window shorter.
func TestClockSteps(t *testing.T) {
	f := func(name string, before, after time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, everyHour)
			r.q.shift = before // the server's clock against ours
			r.put(1)
			r.take("all", 1)
			r.take("logs", 1)
			r.j.round(t.Context())
			time.Sleep(30 * time.Minute)
			r.put(1)
			r.take("all", 1)
			r.take("logs", 1)
			r.q.shift = after // all stored times move with it, as one step of the clock would the later ones
			r.round(1, 2)
			time.Sleep(20 * time.Minute)
			r.put(1)
			r.take("all", 1)
			r.take("logs", 1)
			r.round(1, 3)
			if name == "right" {
				time.Sleep(11 * time.Minute)
				r.round(2, 3)
			}
		})
	}
	f("right", 0, 0)
	f("the server is a day ahead", 24*time.Hour, 24*time.Hour)
	f("the server is a day behind", -24*time.Hour, -24*time.Hour)
	f("the server is set forward", 0, 24*time.Hour)
	f("the server is set back", 0, -24*time.Hour)
}

// The clock goes on by itself, also when nothing is stored.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := func(c *clock, stored, want time.Duration) {
			t.Helper()
			if got := c.now(queue.StreamState{LastTime: start.Add(stored)}).Sub(start); got != want {
				t.Errorf("now is %s, want %s", got, want)
			}
		}
		c := &clock{start: start}
		f(c, -time.Hour, -time.Hour) // idle since an hour, or the server is behind: unknown
		time.Sleep(time.Minute)
		f(c, -time.Hour, -59*time.Minute)
		f(c, 50*time.Second, 50*time.Second)
		time.Sleep(time.Minute)
		f(c, 50*time.Second, 110*time.Second)
		f(c, 24*time.Hour, 2*time.Minute) // ours bounds it
	})
}

// What cannot be read is left alone, and said once.
func TestFailures(t *testing.T) {
	for _, verb := range []string{"stream", "consumer", "get", "purge"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, everyHour)
			r.put(3)
			time.Sleep(2 * time.Hour)
			r.put(1)
			time.Sleep(time.Minute)
			r.take("all", 4)
			r.take("logs", 4)
			r.put(1) // so that a search is needed
			r.q.fail[verb] = errLuck
			r.round(1, 5)
			if v := r.j.View(); !strings.Contains(v.Error, "no luck") || !v.Leader {
				t.Errorf("%s: tells %+v", verb, v)
			}
			r.round(1, 5)
			times := 3 // streams
			if verb == "get" || verb == "purge" {
				times = 1
			}
			r.metric(strings.Replace("failures_total N", "N", map[int]string{3: "6", 1: "2"}[times], 1))
			r.logged("no luck", times)
			delete(r.q.fail, verb)
			r.round(4, 5)
			r.logged("no luck", 0)
			if v := r.j.View(); v.Error != "" {
				t.Errorf("%s: still tells %+v", verb, v)
			}
		})
	}
}

// remade gives a stream that has begun anew after a purge.
type remade struct {
	*odd
	purged bool
}

func (q *remade) Purge(ctx context.Context, stream string, seq uint64) error {
	q.purged = true
	return q.odd.Purge(ctx, stream, seq)
}

func (q *remade) StreamState(ctx context.Context, stream string) (queue.StreamState, error) {
	st, err := q.odd.StreamState(ctx, stream)
	if q.purged {
		st.FirstSeq, st.LastSeq = 1, 1
	}
	return st, err
}

func TestStreamMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow = 0 })
		r.put(3)
		r.take("all", 3)
		r.take("logs", 3)
		r.j.o.Queue = &remade{odd: r.q}
		r.j.round(t.Context())
		r.logged("made anew", 1)
	})
}

// The search reads a few messages a hundredth of the window, not each round.
func TestReadsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, everyHour)
		r.ok(r.q.EnsureStream(t.Context(), queue.StreamConfig{Name: logs, MaxBytes: 100 << 20}))
		for range 2 * 720 { // two hours of one message each round
			r.put(1)
			r.take("all", 1)
			r.take("logs", 1)
			r.j.round(t.Context())
			time.Sleep(5 * time.Second)
		}
		st, err := r.q.Queue.StreamState(t.Context(), logs)
		r.ok(err)
		if st.Messages < 720 || st.Messages > 730 {
			t.Errorf("%d messages are kept, want an hour of 720 and a hundredth", st.Messages)
		}
		if n := r.q.calls["get"]; n > 100*12 {
			t.Errorf("%d messages were read in an hour", n)
		}
	})
}

// Two janitors: one works, the other takes over when it is gone, at once after a
// clean stop.
func TestTwoJanitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow = 0 })
		reg := prometheus.NewRegistry()
		second := r.another("second", r.j.o.Config, r.j.o.Plan, reg)
		run := func(j *Janitor) func() {
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- j.Run(ctx) }()
			synctest.Wait()
			return func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		f := func(j *Janitor, want bool) {
			t.Helper()
			synctest.Wait() // for rounds of this moment
			if v := j.View(); v.Leader != want || len(v.Streams) != map[bool]int{true: 3}[want] {
				t.Errorf("%s tells %+v", j.o.Holder, v)
			}
		}
		stopFirst := run(r.j)
		stopSecond := run(second)
		f(r.j, true)
		f(second, false)
		r.metric("leader 1")
		time.Sleep(time.Minute)
		f(r.j, true)
		stopFirst()
		r.metric("leader 0")
		if n, err := testutil.GatherAndCount(r.reg, "penstock_janitor_floor_sequence"); err != nil || n != 0 {
			t.Errorf("%d floors of a janitor that does not lead, %v", n, err)
		}
		time.Sleep(5 * time.Second)
		f(second, true)
		r.put(1)
		r.take("all", 1)
		r.take("logs", 1)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		r.holds(2, 1)
		// The leader can no longer reach the queue: after three rounds the next.
		dead := r.another("dead", r.j.o.Config, r.j.o.Plan, prometheus.NewRegistry())
		stopSecond()
		dead.round(t.Context())
		third := r.another("third", r.j.o.Config, r.j.o.Plan, prometheus.NewRegistry())
		stopThird := run(third)
		f(third, false)
		time.Sleep(16 * time.Second)
		f(third, true)
		stopThird()
	})
}

// Purging is safe when two do it at the same time, lease or not.
func TestTwoLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow = 0 })
		r.put(10)
		r.take("all", 9)
		r.take("logs", 9)
		second := r.another("first", r.j.o.Config, r.j.o.Plan, prometheus.NewRegistry()) // of the same name
		busy := false
		r.q.hook = func() {
			if !busy {
				busy = true
				second.round(t.Context())
				busy = false
			}
		}
		r.round(10, 10)
	})
}

// Without its lease nothing is purged, and the queue refuses when it is full.
func TestNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplayWindow = 0 })
		r.q.fail["lease"] = errLuck
		r.put(100)
		r.take("all", 100)
		r.take("logs", 100)
		r.round(1, 100)
		r.round(1, 100)
		r.logged("nothing is purged: the janitor cannot get its lease", 1)
		r.metric("failures_total 2")
		if v := r.j.View(); v.Leader || v.Error != "no luck" {
			t.Errorf("tells %+v", v)
		}
		if _, err := r.q.Publish(t.Context(), logs, &queue.Message{ID: "more"}); !errors.Is(err, queue.ErrFull) {
			t.Errorf("a full queue answers %v", err)
		}
		delete(r.q.fail, "lease")
		r.round(101, 100)
		// A stop that cannot give it back says so.
		r.q.fail["release"] = errLuck
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r.ok(r.j.Run(ctx))
		r.logged("was not given back", 1)
	})
}

// A stop in the middle of a round ends it.
func TestStopInARound(t *testing.T) {
	for at := range 12 {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.ReplayWindow = 0 })
			r.put(3)
			r.take("all", 3)
			r.take("logs", 3)
			ctx, cancel := context.WithCancel(t.Context())
			calls := 0
			r.q.hook = func() {
				if calls++; calls > at {
					cancel()
				}
			}
			r.ok(r.j.Run(ctx))
			r.logged("level=WARN", 0)
			cancel()
		})
	}
}

func TestConfig(t *testing.T) {
	f := func(want string, edit func(*Config)) {
		t.Helper()
		c := DefaultConfig()
		edit(&c)
		err := config.Validate(c)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	f("", func(*Config) {})
	f("", func(c *Config) { c.ReplayWindow = 0 })
	f("replay_window: is -1s: want 0s or more", func(c *Config) { c.ReplayWindow = config.Duration(-time.Second) })
	f("replay_bytes: is -1B: want 0 or more", func(c *Config) { c.ReplayBytes = -1 })
	f("every: is 0s: want 100ms to 1m", func(c *Config) { c.Every = 0 })
	f("every: is 2m: want 100ms to 1m", func(c *Config) { c.Every = config.Duration(2 * time.Minute) })
}

// Another configuration is worked by from the next round on, which begins at once;
// the lease follows the pace.
func TestAnotherConfigurationWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, everyHour)
		r.put(4)
		r.take("all", 4)
		r.take("logs", 4)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.ok(r.j.Run(ctx)) })
		synctest.Wait()
		r.holds(1, 4)
		change := func(c Config) {
			t.Helper()
			apply, err := r.j.Prepare(c)
			r.ok(err)
			synctest.Wait()
			r.holds(1, 4) // until it is applied nothing happens
			apply()
			apply() // one that waits already tells of both
			synctest.Wait()
		}
		c := r.j.o.Config
		c.ReplayBytes, c.Every = 1<<30, config.Duration(time.Minute)
		change(c)
		r.holds(1, 4)
		looks := r.q.calls["stream"]
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if got := r.q.calls["stream"]; got != looks {
			t.Errorf("%d looks within the new pace", got-looks)
		}
		c.ReplayWindow = 0
		change(c)
		r.holds(5, 4)
		cancel()
		wg.Wait()
	})
}
