package intake_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/alerter/intake"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

// within lets what can happen in the time happen.
func within(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// From the warm-up on, in order, what is wanted and no more, of every codec.
func TestKeepsWhatIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemory(t), 1)
		r.put(0, "", "up_before")
		time.Sleep(2 * time.Hour)
		r.put(0, "", "up1", "other")
		r.put(0, "", "other")
		r.put(0, "blue", "other", "up2")
		r.put(0, "nobody", "up")
		for _, name := range []string{codec.None, codec.Zstd, codec.Gzip, codec.Brotli} {
			r.publish(0, record.Encode(r.record("", name, "other", "up_"+name)))
		}
		r.start()
		within(time.Second)
		r.want("up1", "blue:up2", "up_none", "up_zstd", "up_gzip", "up_br")
		r.put(0, "", "up3", "up4")
		synctest.Wait()
		r.want("up1", "blue:up2", "up_none", "up_zstd", "up_gzip", "up_br", "up3,up4")
		for name, want := range map[string]float64{"intake_messages_total": 9, "intake_points_total": 16, "intake_metrics_total": 15, "intake_dropped_messages_total": 0, "intake_failures_total": 0} {
			if got := r.metric("penstock_alerter_"+name, ""); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		r.stop()
		r.wantLost()
	})
}

func (r *rig) watermark(want time.Time) {
	r.t.Helper()
	if got := r.in.Watermark(); !got.Equal(want) {
		r.t.Errorf("watermark %s, want %s", got, want)
	}
}

// The watermark is that of the hindmost stream: now where it is drained, the time
// of its last message where it is not, and it stands where it cannot be asked.
func TestWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemory(t), 2)
		r.start()
		if w := r.in.Watermark(); !w.IsZero() {
			t.Errorf("before anything is known: %s", w)
		}
		synctest.Wait()
		begin := time.Now()
		r.watermark(begin)
		within(10 * time.Second)
		r.watermark(begin.Add(10 * time.Second))
		time.Sleep(500 * time.Millisecond)
		r.put(0, "", "up1")
		synctest.Wait()
		r.watermark(begin.Add(10 * time.Second)) // of the other stream

		// A sink that does not go on.
		gate := make(chan struct{})
		r.gate["slow"] = gate
		time.Sleep(time.Second)
		r.put(0, "slow", "up2")
		stuck := time.Now()
		within(20 * time.Second)
		r.watermark(stuck.Add(-1))
		r.want("up1")
		if got := r.metric("penstock_alerter_watermark_lag_seconds", ""); got < 20 || got > 21 {
			t.Errorf("lag %v", got)
		}
		close(gate)
		within(time.Second)
		r.want("up1", "slow:up2")
		if lag := time.Since(r.in.Watermark()); lag > time.Second {
			t.Errorf("drained, and %s behind", lag)
		}

		// A queue that cannot be reached, and messages that come meanwhile.
		r.q.cut(true)
		before := r.in.Watermark()
		within(time.Minute)
		r.watermark(before)
		r.put(1, "", "up3")
		within(time.Minute)
		r.watermark(before)
		r.q.cut(false)
		within(10 * time.Second)
		r.want("up1", "slow:up2", "up3")
		if lag := time.Since(r.in.Watermark()); lag > time.Second {
			t.Errorf("drained again, and %s behind", lag)
		}
		r.stop()
		r.wantLost()
	})
}

// Between two looks it is the time of the last message taken.
func TestWatermarkIsThatOfTheLastMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemory(t), 1)
		r.start(func(o *intake.Options) { o.LookEvery = time.Hour })
		within(time.Minute)
		r.put(0, "", "up1")
		stored := time.Now()
		within(time.Minute)
		r.watermark(stored)
		within(time.Hour)
		r.watermark(stored.Add(59 * time.Minute)) // of the look
		r.stop()
	})
}

// A stream that is read fast waits for the one that is not.
func TestStreamsStayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemory(t), 2)
		gate := make(chan struct{})
		r.gate["slow"] = gate
		for minute := range 10 {
			r.put(0, "", fmt.Sprint("up", minute))
			time.Sleep(30 * time.Second)
			if minute == 4 {
				r.put(1, "slow", "up")
			}
			time.Sleep(30 * time.Second)
		}
		r.start(func(o *intake.Options) { o.MaxSpread = time.Minute })
		within(time.Hour)
		r.want("up0", "up1", "up2", "up3", "up4", "up5") // stored 30 s after what is stuck
		close(gate)
		within(time.Second)
		r.mu.Lock()
		n := len(r.got)
		r.mu.Unlock()
		if n != 11 {
			t.Errorf("%d requests after the stream went on", n)
		}
		r.stop()
	})
}

// What was purged before it was read is told, also where nothing comes after it.
func TestPurged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemory(t), 1)
		stream := topology.Stream(otlp.Metrics, 0)
		gate := make(chan struct{})
		r.gate["slow"] = gate
		r.put(0, "slow", "up1")
		for range 3 {
			r.put(0, "", "up_gone")
		}
		r.put(0, "", "up5")
		r.start()
		synctest.Wait()
		r.must(r.q.Purge(t.Context(), stream, 4))
		gate <- struct{}{}
		within(time.Second)
		r.want("slow:up1", "up5")
		r.wantLost(stream + " 2-5")

		r.put(0, "slow", "up6")
		r.put(0, "", "up_gone")
		time.Sleep(time.Second)
		r.must(r.q.Purge(t.Context(), stream, 7))
		gate <- struct{}{}
		within(10 * time.Second)
		r.wantLost(stream+" 2-5", stream+" 7-8")
		if lag := time.Since(r.in.Watermark()); lag > time.Second {
			t.Errorf("nothing is left to read, and the watermark is %s behind", lag)
		}
		r.put(0, "", "up8")
		synctest.Wait()
		r.want("slow:up1", "up5", "slow:up6", "up8")
		if got := r.metric("penstock_alerter_intake_dropped_messages_total", "purged"); got != 4 {
			t.Errorf("%v purged", got)
		}
		r.stop()
	})
}

// A stream that has less of the past than was asked for says so.
func TestShortHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemory(t), 1)
		r.put(0, "", "up1")
		time.Sleep(40 * time.Minute)
		r.put(0, "", "up2")
		r.must(r.q.Purge(t.Context(), topology.Stream(otlp.Metrics, 0), 1))
		r.start()
		within(time.Second)
		r.want("up2")
		if got := r.metric("penstock_alerter_warmup_missing_seconds", ""); got != 3600 {
			t.Errorf("%v seconds are missing, want 3600", got)
		}
		r.stop()
		r.wantLost()
	})
}

// What cannot be read is counted with its reason, and harms nothing else.
func TestDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemory(t), 1)
		bad := func(edit func(*record.Record), header ...string) {
			t.Helper()
			rec := r.record("", codec.S2, "up_bad")
			edit(rec)
			m := record.Encode(rec)
			for i := 0; i < len(header); i += 2 {
				m.Header[header[i]] = header[i+1]
			}
			r.publish(0, m)
		}
		as := func(*record.Record) {}
		bad(as, record.HeaderVersion, "2")
		bad(as, record.HeaderCRC32C, "00000000")
		bad(as, record.HeaderSignal, "logs")
		bad(func(rec *record.Record) { rec.RawBytes++ })
		bad(func(rec *record.Record) { rec.RawBytes = 1 << 30 })
		bad(func(rec *record.Record) { rec.Body = []byte("garbage") })
		bad(func(rec *record.Record) { // a metric that is wanted and not sound
			rec.Codec, rec.Body = codec.None, []byte("\x0a\x08\x12\x06\x12\x04\x0a\x02up")
			rec.Body = append(rec.Body, "\x0a\x0c\x12\x0a\x12\x08\x0a\x02up\x2a\x02\x0a\x09"...)
			rec.RawBytes = len(rec.Body)
		})
		r.put(0, "", "up_good")
		r.start()
		within(time.Second)
		r.want("up_good")
		for reason, want := range map[string]float64{"newer_version": 1, "too_large": 1, "damaged": 5, "refused": 0, "purged": 0} {
			if got := r.metric("penstock_alerter_intake_dropped_messages_total", reason); got != want {
				t.Errorf("%s: %v, want %v", reason, got, want)
			}
		}
		r.stop()
	})
}

// A sink that fails gets the same request again, and the watermark waits; what it
// refuses for good is passed over.
func TestSinkFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemory(t), 1)
		r.start()
		synctest.Wait()
		r.failWith(errors.New("no space left on device"))
		r.put(0, "", "up1")
		r.put(0, "", "up2")
		stuck := time.Now()
		within(5 * time.Minute)
		r.want()
		r.watermark(stuck)
		if got := r.metric("penstock_alerter_intake_retries_total", ""); got < 60 {
			t.Errorf("%v retries in 5 minutes", got)
		}
		r.failWith(nil)
		within(10 * time.Second)
		r.want("up1", "up2")

		r.failWith(fmt.Errorf("an id of 3 bytes: %w", intake.ErrRefused))
		r.put(0, "", "up3")
		within(2 * time.Second)
		r.failWith(nil)
		r.put(0, "", "up4")
		within(2 * time.Second)
		r.want("up1", "up2", "up4")
		if got := r.metric("penstock_alerter_intake_dropped_messages_total", "refused"); got != 1 {
			t.Errorf("%v refused", got)
		}

		// It ends while it tries.
		r.failWith(errors.New("still"))
		r.put(0, "", "up5")
		within(2 * time.Second)
		r.stop()
	})
}

// A stream that was made anew is read from its beginning, and the watermark does
// not fall.
func TestMadeAnew(t *testing.T) {
	for _, more := range []int{0, 1, 6} { // it ends before the old one, or has come further
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, newMemory(t), 1)
			for n := range 3 {
				r.put(0, "", fmt.Sprint("up", n))
			}
			r.start()
			within(2 * time.Second)
			before := r.in.Watermark()
			q := newMemory(t)
			r.must(topology.Apply(t.Context(), q, r.plan))
			r.q.replace(q)
			want := []string{"up0", "up1", "up2"}
			for range more {
				r.put(0, "", "up_new")
				want = append(want, "up_new")
			}
			within(10 * time.Second)
			r.want(want...)
			r.wantLost()
			if !r.in.Watermark().After(before) {
				t.Errorf("watermark %s, before %s", r.in.Watermark(), before)
			}
			if got := r.metric("penstock_alerter_intake_streams_made_anew_total", ""); got != 1 {
				t.Errorf("made anew %v times", got)
			}
			r.stop()
		})
	}
}

// A clock that is ahead of the queue's is told.
func TestClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemory(t), 1)
		late := &behindClock{Source: r.q, by: 7 * time.Second}
		r.start(func(o *intake.Options) { o.Source = late })
		within(1500 * time.Millisecond)
		r.put(0, "", "up1")
		within(time.Second)
		if got := r.metric("penstock_alerter_clock_ahead_seconds", ""); got != 6.5 { // asked half a second before
			t.Errorf("ahead by %v", got)
		}
		r.stop()
	})
}

// The queue that this process closes ends the run; streams that do not exist do not.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		r := newRig(t, q, 2)
		r.start(func(o *intake.Options) { o.Streams = append(o.Streams, "PENSTOCK_METRICS_9") })
		r.put(0, "", "up1")
		within(10 * time.Second)
		if w := r.in.Watermark(); !w.IsZero() {
			t.Errorf("a stream does not exist, and the watermark is %s", w)
		}
		r.must(q.Close())
		if err := <-r.done; !errors.Is(err, queue.ErrClosed) {
			t.Error(err)
		}
		r.cancel()
	})
}

func TestOptions(t *testing.T) {
	r := newRig(t, newMemory(t), 1)
	good := intake.Options{Source: r.q, Streams: []string{"S"}, From: time.Now(), Wants: wantsUp, Sink: r, Metrics: intake.NewMetrics(r.reg)}
	if _, err := intake.New(good); err != nil {
		t.Error(err)
	}
	for n, edit := range []func(*intake.Options){
		func(o *intake.Options) { o.Source = nil }, func(o *intake.Options) { o.Streams = nil }, func(o *intake.Options) { o.From = time.Time{} },
		func(o *intake.Options) { o.Wants = nil }, func(o *intake.Options) { o.Sink = nil }, func(o *intake.Options) { o.Metrics = nil },
		func(o *intake.Options) { o.LookEvery = -1 }, func(o *intake.Options) { o.MaxMessageBytes = -1 },
	} {
		o := good
		edit(&o)
		if _, err := intake.New(o); err == nil {
			t.Errorf("edit %d is taken", n)
		}
	}
	problems, err := testutil.GatherAndLint(r.reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
