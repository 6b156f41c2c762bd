package replay_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
)

// [t0, t1): what is stored exactly at t0 is in, what is stored exactly at t1 is
// not.
func TestTheEndsOfAWindowAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		t0 := time.Now().Add(time.Minute)
		t1 := t0.Add(time.Hour)
		at := func(when time.Time, id string) {
			time.Sleep(time.Until(when))
			r.store(group{ids: []string{id}})
		}
		at(t0.Add(-1), "before")
		at(t0, "at t0")
		at(t0.Add(1), "after t0")
		at(t1.Add(-1), "before t1")
		at(t1, "at t1")
		at(t1.Add(1), "after t1")
		s := replay.Spec{Destination: "a", Signals: logsOnly, From: t0, To: t1, Unlimited: true}
		p, err := replay.MakePlan(t.Context(), r.q, r.plan, s)
		r.must(err)
		if len(p.Streams) != 1 || p.Streams[0].First != 2 || p.Streams[0].End != 5 || p.Match.Messages != 3 || p.Match.Items != 3 || p.Match.RawBytes == 0 ||
			p.Match != p.Window || p.HeldBytes != p.Window.StoredBytes || p.Partial || p.Estimated || p.AtMost || len(p.Notes) != 0 {
			t.Errorf("got %+v", p)
		}
		if len(r.a.requests()) != 0 {
			t.Error("a plan moved something")
		}
		j := r.run(s)
		r.took(r.a, []string{"after t0", "at t0", "before t1"})
		if j.Progress.Total.Messages != 3 || j.Progress.Done.Messages != 3 || j.Progress.Done.Items != 3 || !replay.Complete(&j) || j.Progress.Duplicates.Messages != 0 {
			t.Errorf("got %+v", j.Progress)
		}
	})
}

func TestAWindowBySequence(t *testing.T) {
	f := func(from, to uint64, want string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.fill(6)
			r.run(replay.Spec{Stream: stream, FromSeq: from, ToSeq: to})
			if got := strings.Join(r.a.ids(), " "); got != want {
				t.Errorf("from %d to %d: %q, want %q", from, to, got, want)
			}
		})
	}
	f(2, 4, "m00001 m00002 m00003")
	f(0, 2, "m00000 m00001")
	f(5, 0, "m00004 m00005")
	f(5, 100, "m00004 m00005")
	f(7, 9, "")
}

// What is stored while a replay runs is not in it, and what its durables know is
// as before.
func TestLiveDataIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.fill(50)
		r.a.delay = 100 * time.Millisecond
		before, err := r.q.ConsumerState(t.Context(), stream, "export-a")
		r.must(err)
		p := r.start()
		defer p.stop()
		id := r.replay(replay.Spec{Concurrency: 1})
		for len(r.get(id).Checkpoint) == 0 { // the window is resolved
			time.Sleep(10 * time.Millisecond)
		}
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			r.fill(1)
		}
		r.until(id, job.PhaseDone)
		r.took(r.a, ids)
		after, err := r.q.ConsumerState(t.Context(), stream, "export-a")
		r.must(err)
		if before.AckFloor != after.AckFloor || after.AckPending != 0 || after.Pending != before.Pending+20 {
			t.Errorf("the durable was %+v and is %+v", before, after)
		}
		st, err := r.q.StreamState(t.Context(), stream)
		r.must(err)
		if len(st.Consumers) != 1 {
			t.Errorf("the replay left %v behind", st.Consumers)
		}
	})
}

func TestWhatIsPurgedIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		start := time.Now()
		for range 10 {
			r.fill(1)
			time.Sleep(time.Second)
		}
		r.must(r.q.Purge(t.Context(), stream, 4))
		f := func(s replay.Spec, wantPartial bool, wantMissing uint64, wantIDs int) {
			t.Helper()
			s.Destination, s.Unlimited = "b", true
			p, err := replay.MakePlan(t.Context(), r.q, r.plan, s)
			r.must(err)
			var sp replay.StreamPlan
			for _, one := range p.Streams {
				if one.Stream == stream {
					sp = one
				}
			}
			if p.Partial != wantPartial || sp.PurgedBefore.IsZero() == wantPartial || sp.Missing != wantMissing {
				t.Errorf("%+v: got %+v", s, p)
			}
			if wantPartial && (!sp.PurgedBefore.Equal(start.Add(4*time.Second)) || !strings.Contains(p.Notes[0], "PENSTOCK_LOGS_0 keeps nothing stored before 2000-01-01T00:00:04Z")) {
				t.Errorf("%+v: got %+v", s, p)
			}
			n := len(r.b.ids())
			j := r.run(s)
			if got := len(r.b.ids()) - n; got != wantIDs || j.Progress.Missing.Messages != wantMissing {
				t.Errorf("%+v: %d items and %d missing, want %d and %d", s, got, j.Progress.Missing.Messages, wantIDs, wantMissing)
			}
			if noted := slices.ContainsFunc(j.Note, func(n string) bool { return strings.Contains(n, "keeps nothing stored before") }); noted != wantPartial {
				t.Errorf("%+v: the job notes %q", s, j.Note)
			}
		}
		f(replay.Spec{From: start, To: start.Add(7 * time.Second), Signals: logsOnly}, true, 0, 3)
		f(replay.Spec{From: start.Add(4 * time.Second), Signals: logsOnly}, false, 0, 6)
		f(replay.Spec{Signals: logsOnly}, false, 0, 6)
		f(replay.Spec{Stream: stream, FromSeq: 2, ToSeq: 6}, true, 3, 2)
		f(replay.Spec{Stream: stream, FromSeq: 5, ToSeq: 6}, false, 0, 2)
		r.must(r.q.Purge(t.Context(), stream, 100))
		p, err := replay.MakePlan(t.Context(), r.q, r.plan, replay.Spec{Destination: "a", From: start, Signals: logsOnly})
		r.must(err)
		if !p.Partial || p.Match.Messages != 0 || len(p.Notes) != 2 || p.Notes[1] != "the queue holds nothing of this window" {
			t.Errorf("of a stream that was emptied: %+v", p)
		}
	})
}

func TestEmptyWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		f := func(s replay.Spec) {
			t.Helper()
			s.Destination = "a"
			p, err := replay.MakePlan(t.Context(), r.q, r.plan, s)
			r.must(err)
			if p.Window.Messages != 0 || p.Partial || p.Seconds != 0 || !slices.Contains(p.Notes, "the queue holds nothing of this window") {
				t.Errorf("got %+v", p)
			}
			if j := r.run(s); j.Progress.Seen() != (job.Amount{}) || !replay.Complete(&j) {
				t.Errorf("got %+v", j.Progress)
			}
		}
		f(replay.Spec{})
		time.Sleep(time.Second)
		r.fill(3)
		f(replay.Spec{To: time.Now().Add(-time.Minute)})
		f(replay.Spec{From: time.Now().Add(time.Hour), To: time.Now().Add(2 * time.Hour)})
		if len(r.a.ids()) != 0 {
			t.Errorf("sent %v", r.a.ids())
		}
		p, err := replay.MakePlan(t.Context(), r.q, r.plan, replay.Spec{Destination: "a", To: time.Now().Add(time.Hour)})
		r.must(err)
		if p.Match.Messages != 3 || !strings.Contains(strings.Join(p.Notes, "\n"), "which is not over") {
			t.Errorf("got %+v", p)
		}
	})
}

// A stream that an operator empties while a replay runs ends it, and what is gone
// is counted.
func TestAPurgeInTheMiddle(t *testing.T) {
	f := func(name string, upTo uint64, later bool, wantDone, wantMissing uint64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.fill(100)
			r.a.delay = 100 * time.Millisecond
			p := r.start()
			defer p.stop()
			id := r.replay(replay.Spec{Concurrency: 1})
			time.Sleep(2 * time.Second)
			r.must(r.q.Purge(t.Context(), stream, upTo))
			if later {
				r.fill(5)
			}
			j := r.until(id, job.PhaseDone)
			done, missing := j.Progress.Done.Messages, j.Progress.Missing.Messages
			if done < wantDone || done > wantDone+25 || missing < wantMissing || done+missing != 100 || len(r.a.ids()) != int(done) || replay.Complete(&j) {
				t.Errorf("%s: %d done and %d missing", name, done, missing)
			}
			if !strings.Contains(strings.Join(j.Note, "\n"), "were purged before the replay came to them") {
				t.Errorf("%s: the job notes %q", name, j.Note)
			}
		})
	}
	f("some", 50, false, 60, 25)
	f("all", 100, false, 10, 75)
	f("all, and more came", 100, true, 10, 75)
}

func TestPlansCountWhatTheFiltersTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i := range 30 {
			r.store(group{tenant: []string{"x", "y", ""}[i%3], ids: []string{fmt.Sprint(i), "b"}, pad: 1000})
			time.Sleep(time.Second)
		}
		_, err := r.q.Publish(t.Context(), stream, messageOf("damaged", "x"))
		r.must(err)
		p, err := replay.MakePlan(t.Context(), r.q, r.plan, replay.Spec{Destination: "a", Signals: logsOnly, Tenants: []string{"x", ""}, Rate: 10 << 10, Where: []string{"service.name"}})
		r.must(err)
		if p.Window.Messages != 31 || p.Match.Messages != 20 || p.Match.Items != 40 || p.Match.RawBytes < 40_000 || p.Match.RawBytes > 44_000 || !p.AtMost ||
			p.Streams[0].Damaged != 1 || p.Seconds < 3.9 || p.Seconds > 4.3 || p.BytesPerSecond != 10<<10 {
			t.Errorf("got %+v", p)
		}
		p, err = replay.MakePlan(t.Context(), r.q, r.plan, replay.Spec{Destination: "a", Signals: logsOnly, ItemsRate: 2})
		r.must(err)
		if p.Seconds != 30 || p.BytesPerSecond != 10<<20 {
			t.Errorf("60 items at 2 a second take %v s, at %d bytes a second", p.Seconds, p.BytesPerSecond)
		}
		if _, err := replay.MakePlan(t.Context(), r.q, r.plan, replay.Spec{}); err == nil {
			t.Error("a plan to nowhere was made")
		}
		if _, err := replay.MakePlan(t.Context(), r.q, r.plan, replay.Spec{Destination: "a", Stream: "PENSTOCK_LOGS_7"}); err == nil {
			t.Error("a stream that is not there has a plan")
		}
	})
}
