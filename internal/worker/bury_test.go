package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship/shiptest"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// message is a whole one.
func message(s otlp.Signal, items int) *queue.Message {
	return record.Encode(&record.Record{ID: "01MESSAGE", Signal: s, Tenant: "acme", Codec: codec.None, Items: items, RawBytes: 5,
		MinTime: 1, MaxTime: 2, Body: []byte("\x0a\x03abc")})
}

func TestHopelessMessagesAreDeadLettered(t *testing.T) {
	for _, c := range []struct {
		err                  *exporter.Error
		reason, code, detail string
	}{
		{permanent().(*exporter.Error), deadletter.ReasonRejected, "INVALID_ARGUMENT", "never:  nfit for anything"},
		{&exporter.Error{Kind: exporter.TooLarge, Code: "HTTP 413", Err: errors.New("larger than max")}, deadletter.ReasonTooLarge, "HTTP 413", "larger than max"},
		{&exporter.Error{Kind: exporter.Permanent}, deadletter.ReasonRejected, "", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			r := memoryRig(t, to("backend"), func(context.Context, *exporter.Request) (exporter.Result, error) {
				if calls++; calls == 1 {
					return exporter.Result{}, retryable(0)
				}
				return exporter.Result{}, c.err
			})
			m := message(otlp.Metrics, 7)
			r.publish(topology.Stream(otlp.Metrics, 0), m)
			stored := time.Now()
			r.start()
			time.Sleep(time.Minute)
			r.stop()
			r.settled(otlp.Metrics, "backend", 1)
			dead := r.dead()
			if len(dead) != 1 {
				t.Fatalf("%d dead letters, want 1", len(dead))
			}
			want := maps.Clone(m.Header)
			maps.Copy(want, map[string]string{
				deadletter.HeaderReason: c.reason, deadletter.HeaderDestination: "backend", deadletter.HeaderAttempts: "2",
				deadletter.HeaderStream: "PENSTOCK_METRICS_0", deadletter.HeaderSequence: "1", deadletter.HeaderID: "01MESSAGE",
				deadletter.HeaderStoredAt: stored.UTC().Format(time.RFC3339Nano),
				deadletter.HeaderDiedAt:   dead[0].Header[deadletter.HeaderDiedAt],
				deadletter.HeaderFirstAt:  stored.UTC().Format(time.RFC3339Nano), // no time has passed
			})
			if c.code != "" {
				want[deadletter.HeaderCode], want[deadletter.HeaderDetail] = c.code, c.detail
			}
			if !maps.Equal(dead[0].Header, want) || !bytes.Equal(dead[0].Body, m.Body) {
				t.Errorf("dead letter has\n%v\nwant\n%v", dead[0].Header, want)
			}
			if died, err := time.Parse(time.RFC3339Nano, dead[0].Header[deadletter.HeaderDiedAt]); err != nil || died.Before(stored) {
				t.Errorf("died at %s (%v)", died, err)
			}
			r.wantMetric(1, "penstock_exporter_dead_letters_total", "destination=backend", "reason="+c.reason)
			r.wantMetric(7, "penstock_exporter_dead_lettered_metric_points_total")
			r.wantMetric(1, "penstock_exporter_send_failures_total", "kind="+c.err.Kind.String(), "code="+c.code)
			r.wantMetric(0, "penstock_exporter_sent_metric_points_total")
		})
	}
}

// What is damaged reaches no destination, whatever the damage.
func TestDamagedMessagesAreDeadLettered(t *testing.T) {
	for name, damage := range map[string]func(*queue.Message){
		"a flipped bit":   func(m *queue.Message) { m.Body[2] ^= 1 },
		"a lost byte":     func(m *queue.Message) { m.Body = m.Body[1:] },
		"no header":       func(m *queue.Message) { m.Header = nil },
		"another codec":   func(m *queue.Message) { m.Header[record.HeaderCodec] = "lzma" },
		"another signal":  func(m *queue.Message) { m.Header[record.HeaderSignal] = "profiles" },
		"another stream":  func(m *queue.Message) { m.Header[record.HeaderSignal] = "logs" },
		"negative items":  func(m *queue.Message) { m.Header[record.HeaderItems] = "-1" },
		"a torn checksum": func(m *queue.Message) { m.Header[record.HeaderCRC32C] = "12" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				r := memoryRig(t, to("backend"), func(context.Context, *exporter.Request) (exporter.Result, error) {
					calls++
					return exporter.Result{}, nil
				})
				m := message(otlp.Traces, 4)
				damage(m)
				r.publish(topology.Stream(otlp.Traces, 0), m)
				r.start()
				synctest.Wait()
				r.stop()
				r.settled(otlp.Traces, "backend", 1)
				dead := r.dead()
				if calls != 0 || len(dead) != 1 {
					t.Fatalf("exported %d times and %d dead letters, want never and 1", calls, len(dead))
				}
				if h := dead[0].Header; h[deadletter.HeaderReason] != deadletter.ReasonDamaged || h[deadletter.HeaderDetail] == "" || !bytes.Equal(dead[0].Body, m.Body) {
					t.Errorf("dead letter is %+v", h)
				}
				r.wantMetric(1, "penstock_exporter_dead_letters_total", "reason=damaged")
			})
		})
	}
}

// A size that a message merely claims breaks no bound.
func TestClaimedSizeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memoryRig(t, to("backend", slots(4, 1<<20)), func(context.Context, *exporter.Request) (exporter.Result, error) {
			return exporter.Result{}, nil
		})
		for i := range 3 {
			m := message(otlp.Traces, 1)
			m.ID = fmt.Sprint("m", i)
			m.Header[record.HeaderRawBytes] = "9223372036854775807"
			r.publish(topology.Stream(otlp.Traces, 0), m)
		}
		r.start()
		synctest.Wait()
		r.stop()
		r.settled(otlp.Traces, "backend", 3)
	})
}

func TestFullDeadLetterStreamKeepsTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := memoryRig(t, to("backend"), func(context.Context, *exporter.Request) (exporter.Result, error) {
			calls++
			return exporter.Result{}, permanent()
		})
		if err := r.q.EnsureStream(t.Context(), queue.StreamConfig{Name: topology.DeadLetters, MaxBytes: 10}); err != nil {
			t.Fatal(err)
		}
		r.put(otlp.Traces, codec.S2, 1)
		r.start()
		time.Sleep(10 * time.Minute)
		if c := r.state(otlp.Traces, "backend"); c.AckFloor != 0 || c.AckPending != 1 || calls < 10 {
			t.Errorf("%+v after %d attempts, want the message unsettled and tried again", c, calls)
		}
		if got, want := r.metric("penstock_exporter_dead_letter_failures_total"), float64(calls); got != want {
			t.Errorf("%g failures counted, want %g", got, want)
		}
		if n := r.log.count("cannot dead-letter"); n < 1 || n > 11 {
			t.Errorf("said %d times in 10 minutes", n)
		}
		r.wantMetric(0, "penstock_exporter_dead_lettered_spans_total")
		if err := r.q.EnsureStream(t.Context(), queue.StreamConfig{Name: topology.DeadLetters, MaxBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r.stop()
		r.settled(otlp.Traces, "backend", 1)
		if len(r.dead()) != 1 {
			t.Errorf("%d dead letters once there is room, want 1", len(r.dead()))
		}
	})
}

func TestFailingDeadLetterStreamKeepsTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := 3
		q := &tapped{Queue: memory.New()}
		r := newRig(t, q, []worker.Destination{to("backend")}, export(func(context.Context, *exporter.Request) (exporter.Result, error) {
			return exporter.Result{}, permanent()
		}))
		r.put(otlp.Traces, codec.S2, 1)
		q.publish = func(stream string, _ *queue.Message) error {
			if fails--; fails >= 0 {
				if c := r.state(otlp.Traces, "backend"); c.AckFloor != 0 {
					t.Error("acked before the dead-letter stream confirmed")
				}
				return queue.ErrUnavailable
			}
			return nil
		}
		r.start()
		time.Sleep(time.Minute)
		r.stop()
		r.settled(otlp.Traces, "backend", 1)
		r.wantMetric(3, "penstock_exporter_dead_letter_failures_total")
		if len(r.dead()) != 1 {
			t.Errorf("%d dead letters, want 1", len(r.dead()))
		}
	})
}

// A message that was buried and whose ack was lost comes again after the ack
// wait, and is neither sent nor buried again (I9).
func TestLostAckAfterBuryingIsOneLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r, a := ackRig(t, to("backend"), export(func(context.Context, *exporter.Request) (exporter.Result, error) {
			calls++
			return exporter.Result{}, permanent()
		}))
		a.fail.Store(true)
		a.failSync.Store(true)
		r.put(otlp.Traces, codec.S2, 1)
		r.start()
		time.Sleep(5 * time.Minute)
		a.fail.Store(false)
		time.Sleep(2 * time.Minute)
		r.stop()
		r.settled(otlp.Traces, "backend", 1)
		if n := len(r.dead()); calls != 1 || n != 1 || r.metric("penstock_exporter_redeliveries_total") < 3 {
			t.Errorf("%d dead letters after %d exports, want 1 after 1, and some deliveries", n, calls)
		}
		if tally := r.w.Tally(); len(tally) != 1 || tally[0].Dead != 1 || tally[0].Messages != 1 {
			t.Errorf("counted %+v, want one dead item", tally)
		}
	})
}

// A dead-letter stream that does not answer holds up burials, four at a time,
// and no export (I8).
func TestHangingDeadLetterStreamHoldsNoExport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		q := &tapped{Queue: memory.New()}
		var poison map[string]bool
		r := newRig(t, q, []worker.Destination{to("backend", slots(2, 64<<20))}, b.export(func(id string) (time.Duration, error) {
			if poison[id] {
				return 0, permanent()
			}
			return 10 * time.Millisecond, nil
		}))
		poison = set(r.many(otlp.Traces, 20))
		var burying, most, tried atomic.Int64
		var well atomic.Bool
		q.publish = func(string, *queue.Message) error {
			tried.Add(1)
			n := burying.Add(1)
			defer burying.Add(-1)
			if n > most.Load() {
				most.Store(n)
			}
			if well.Load() {
				return nil
			}
			time.Sleep(30 * time.Second)
			return queue.ErrUnavailable
		}
		r.start()
		time.Sleep(10 * time.Second)
		r.q = q.Queue // what the rig publishes is no burial
		begin := time.Now()
		good := r.many(otlp.Traces, 20)
		time.Sleep(10 * time.Second)
		if at, ok := b.last(good); !ok || at.Sub(begin) > 5*time.Second {
			t.Errorf("20 good messages are out after %s (%t), want it not to matter that burials hang", at.Sub(begin), ok)
		}
		time.Sleep(time.Hour)
		if most.Load() != 4 || tried.Load() < 20 {
			t.Errorf("%d burials, %d at a time; want many, 4 at a time", tried.Load(), most.Load())
		}
		well.Store(true)
		time.Sleep(2 * time.Minute)
		r.stop()
		r.settled(otlp.Traces, "backend", 40)
		if n := len(r.dead()); n != 20 {
			t.Errorf("%d dead letters, want 20", n)
		}
	})
}

// Burials that are confirmed soon are waited for in turn: a destination that
// rejects everything is asked once for each message.
func TestBurialsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		q := &tapped{Queue: memory.New()}
		r := newRig(t, q, []worker.Destination{to("backend")}, export(func(context.Context, *exporter.Request) (exporter.Result, error) {
			calls.Add(1)
			return exporter.Result{}, permanent()
		}))
		r.many(otlp.Traces, 200)
		q.publish = func(string, *queue.Message) error { time.Sleep(10 * time.Millisecond); return nil }
		r.start()
		time.Sleep(time.Minute)
		r.stop()
		if n := len(r.dead()); calls.Load() != 200 || n != 200 {
			t.Errorf("%d exports and %d dead letters, want 200 each", calls.Load(), n)
		}
	})
}

// Who waits for a burial when the worker stops is given back.
func TestStopGivesBackWhatWaitsForABurial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &tapped{Queue: memory.New()}
		r := newRig(t, q, []worker.Destination{to("backend", only("traces"))}, export(func(context.Context, *exporter.Request) (exporter.Result, error) {
			time.Sleep(4900 * time.Millisecond)
			return exporter.Result{}, permanent()
		}))
		r.many(otlp.Traces, 5)
		q.publish = func(string, *queue.Message) error { time.Sleep(time.Minute); return queue.ErrUnavailable }
		r.start()
		synctest.Wait()
		err := r.stopWithin(6700 * time.Millisecond) // work ends after 5.025 s
		if err == nil || !strings.Contains(err.Error(), "1 exports were not done") {
			t.Errorf("Stop: %v, want word of the one that waits", err)
		}
		if c := r.state(otlp.Traces, "backend"); c.AckFloor != 0 || c.AckPending != 5 {
			t.Errorf("%+v, want all five unsettled", c)
		}
		time.Sleep(time.Minute)
	})
}

// A message with more letters than are confirmed in one turn goes on where it was:
// each is written once, however slow the dead-letter stream is.
func TestManyLettersTakeSeveralTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &tapped{Queue: memory.New(), publish: func(stream string, _ *queue.Message) error {
			if stream == topology.DeadLetters {
				time.Sleep(2 * time.Second)
			}
			return nil
		}}
		var bad []int
		for i := 3; i < 300; i += 8 {
			bad = append(bad, i)
		}
		b := &shiptest.Backend{Judge: rejecting(bad...)}
		r := newRig(t, q, []worker.Destination{to("backend", only("logs"))}, exporter.Exporter(b))
		r.items(0, 300)
		r.start()
		time.Sleep(10 * time.Minute)
		r.stop()
		if dead := r.balance(b, 300, 1); !slices.Equal(dead, bad) {
			t.Errorf("%v are dead, want %v", dead, bad)
		}
		if n := r.metric("penstock_exporter_redeliveries_total"); n < 1 {
			t.Error("all was buried in one turn")
		}
	})
}
