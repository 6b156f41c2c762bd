package replay_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// messageOf is one that is no record.
func messageOf(id, body string) *queue.Message {
	return &queue.Message{ID: id, Header: map[string]string{"Penstock-Version": "1"}, Body: []byte(body)}
}

// A process that is cut off in the middle is succeeded: nothing is missing, and
// what was sent twice is counted and bounded by the mark.
func TestCrashAndResume(t *testing.T) {
	f := func(n int, delay time.Duration, after time.Duration, maxTwice int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			ids := r.fill(n)
			r.a.delay = delay
			p := r.start()
			id := r.replay(replay.Spec{})
			time.Sleep(after)
			before := r.get(id)
			p.off.Store(true)
			atCut := len(r.a.ids())
			p2 := r.start()
			defer p2.stop()
			j := r.until(id, job.PhaseDone)
			p.stop()
			got := r.a.ids()
			twice := len(got) - len(slices.Compact(slices.Clone(got)))
			if n := len(slices.Compact(got)); n != len(ids) {
				t.Errorf("%d of %d items arrived", n, len(ids))
			}
			if atCut == 0 || atCut == len(ids) || before.Phase != job.PhaseRunning {
				t.Fatalf("the test cut nothing in the middle: %d sent", atCut)
			}
			if twice > int(j.Progress.Duplicates.Items) || int(j.Progress.Duplicates.Items) > maxTwice {
				t.Errorf("%d items arrived twice, %d are told of, at most %d may be", twice, j.Progress.Duplicates.Items, maxTwice)
			}
			if j.Progress.Done.Items != uint64(len(ids)) || j.Progress.Total.Items != uint64(len(ids)) || j.Orphaned != 1 {
				t.Errorf("got %+v", j.Progress)
			}
		})
	}
	f(400, 50*time.Millisecond, 5*time.Second, 150)
	f(1500, 5*time.Millisecond, 2*time.Second, 1024)
	f(200, 500*time.Millisecond, 15*time.Second, 40)
}

// Processes share jobs, and a job has one of them.
func TestTwoProcessesAndThreeJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.fill(100)
		r.a.delay = 10 * time.Millisecond
		p1, p2 := r.start(), r.start()
		defer p1.stop()
		defer p2.stop()
		var jobs []string
		for range 3 {
			jobs = append(jobs, r.replay(replay.Spec{}))
		}
		for _, id := range jobs {
			if j := r.until(id, job.PhaseDone); j.Progress.Duplicates.Messages != 0 || j.Orphaned != 0 {
				t.Errorf("got %+v", j)
			}
		}
		r.took(r.a, slices.Concat(ids, ids, ids))
	})
}

// Whoever lost a job sends no more when another has it.
func TestWhoLostItsJobStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.fill(3000)
		r.a.delay = 100 * time.Millisecond
		p := r.start()
		defer p.stop()
		id := r.replay(replay.Spec{Concurrency: 1})
		time.Sleep(5 * time.Second)
		p.off.Store(true)
		time.Sleep(16 * time.Second) // a lease
		n := len(r.a.ids())
		time.Sleep(time.Minute)
		if more := len(r.a.ids()) - n; more > 0 {
			t.Errorf("%d items were sent after the lease was over", more)
		}
		if j := r.get(id); j.Phase != job.PhaseRunning {
			t.Errorf("got %+v", j)
		}
	})
}

func TestPauseResumeCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.fill(400)
		r.a.delay = 100 * time.Millisecond
		p := r.start()
		defer p.stop()
		id := r.replay(replay.Spec{})
		time.Sleep(5 * time.Second)
		r.wish(id, job.WishPause)
		j := r.until(id, job.PhasePaused)
		at := len(r.a.ids())
		if j.Progress.Done.Items != uint64(at) || at < 50 || at > 150 || j.Hold[stream] != uint64(at+1) {
			t.Errorf("paused after %d: %+v, holds %v", at, j.Progress.Done, j.Hold)
		}
		time.Sleep(time.Minute)
		if n := len(r.a.ids()); n != at {
			t.Errorf("%d items were sent in a pause", n-at)
		}
		r.wish(id, job.WishRun)
		j = r.until(id, job.PhaseDone)
		r.took(r.a, ids)
		if j.Progress.Duplicates.Items != 0 {
			t.Errorf("a pause is told to have sent %d items twice", j.Progress.Duplicates.Items)
		}
		id = r.replay(replay.Spec{})
		time.Sleep(2 * time.Second)
		r.wish(id, job.WishCancel)
		j = r.until(id, job.PhaseCancelled)
		at = len(r.a.ids())
		time.Sleep(time.Minute)
		if n := len(r.a.ids()); n != at || j.Hold != nil {
			t.Errorf("%d items were sent after the end, which holds %v", n-at, j.Hold)
		}
	})
}

func TestFilters(t *testing.T) {
	f := func(s replay.Spec, wantItems string, wantSkipped uint64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			t0 := time.Now()
			hour := func(h int) time.Time { return t0.Add(time.Duration(h) * time.Hour) }
			r.store(group{tenant: "x", service: "web", ids: []string{"1", "2"}, times: []time.Time{hour(1), hour(3)}})
			time.Sleep(time.Hour)
			r.store(group{tenant: "y", service: "db", ids: []string{"3", "4"}, times: []time.Time{hour(2), hour(2)}})
			time.Sleep(4 * time.Hour)
			r.store(group{service: "web", ids: []string{"5"}, times: []time.Time{hour(9)}})
			if s.EventTime {
				s.From, s.To = hour(2), hour(4)
			}
			j := r.run(s)
			if got := strings.Join(r.a.ids(), " "); got != wantItems || j.Progress.Skipped.Items != wantSkipped || j.Progress.Done.Items+j.Progress.Skipped.Items != j.Progress.Total.Items {
				t.Errorf("%+v: %q with %+v, want %q and %d skipped", s, got, j.Progress, wantItems, wantSkipped)
			}
			if seen := j.Progress.Seen(); seen.Messages != j.Progress.Total.Messages {
				t.Errorf("%+v: %d messages of %d are accounted for", s, seen.Messages, j.Progress.Total.Messages)
			}
		})
	}
	f(replay.Spec{}, "1 2 3 4 5", 0)
	f(replay.Spec{Tenants: []string{"x"}}, "1 2", 3)
	f(replay.Spec{Tenants: []string{"", "y"}}, "3 4 5", 2)
	f(replay.Spec{Where: []string{"service.name=web"}}, "1 2 5", 2)
	f(replay.Spec{Where: []string{"service.name=web", "service.name=db"}}, "", 5)
	f(replay.Spec{EventTime: true, Margin: config.Duration(24 * time.Hour)}, "2 3 4", 2)
	f(replay.Spec{EventTime: true, Margin: config.Duration(90 * time.Minute), Tenants: []string{"y"}}, "3 4", 1)
	f(replay.Spec{EventTime: true, Margin: config.Duration(24 * time.Hour), Where: []string{"service.name=web"}}, "2", 4)
}

func TestMarks(t *testing.T) {
	f := func(s replay.Spec, wantHeader, wantAttribute bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.store(group{tenant: "x", service: "web", ids: []string{"1"}})
			j := r.run(s)
			got := r.a.requests()[0]
			if wantHeader != slices.Equal(got.header, []exporter.Header{{Name: "penstock-replay-job", Value: j.ID}}) || wantAttribute != slices.Equal(got.marks, []string{j.ID}) || got.tenant != "x" {
				t.Errorf("%+v: got %+v", s, got)
			}
		})
	}
	f(replay.Spec{}, true, false)
	f(replay.Spec{NoMarkHeader: true}, false, false)
	f(replay.Spec{MarkAttribute: true}, true, true)
}

// Over any second, and over all, bytes go out at the rate within a tenth.
func TestTheRateHolds(t *testing.T) {
	f := func(s replay.Spec, n, pad int, units func(sent) int, rate float64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			for i := range n {
				r.store(group{ids: []string{fmt.Sprint(i), "b"}, pad: pad})
			}
			start := time.Now()
			j := r.run(s)
			all := r.a.requests()
			total := 0
			for i, first := range all {
				total += units(first)
				in := 0
				for _, x := range all[i:] {
					if x.at.Sub(first.at) < time.Second {
						in += units(x)
					}
				}
				// One that goes at both ends of a second counts once.
				if most := 1.1*rate + float64(units(first)); float64(in) > most {
					t.Fatalf("%d in the second after %s, want at most %.0f", in, first.at.Sub(start), most)
				}
			}
			took := all[len(all)-1].at.Sub(all[0].at).Seconds()
			if got := float64(total-units(all[0])) / took; got < 0.9*rate || got > 1.1*rate {
				t.Errorf("%.0f a second over %.1f s, want %.0f", got, took, rate)
			}
			if j.Progress.Done.Messages != uint64(n) {
				t.Errorf("got %+v", j.Progress)
			}
		})
	}
	bytes := func(s sent) int { return s.raw }
	f(replay.Spec{Rate: 100 << 10}, 100, 3000, bytes, 100<<10)
	f(replay.Spec{Rate: 1 << 20}, 40, 100_000, bytes, 1<<20)
	f(replay.Spec{Rate: 2 << 10, Concurrency: 8}, 100, 500, bytes, 2<<10)
	f(replay.Spec{ItemsRate: 40}, 200, 0, func(s sent) int { return len(s.ids) }, 40)
}

// A destination that takes nothing now is tried on, and left alone as it asks.
func TestRetryableFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.fill(20)
		var asked atomic.Bool
		r.a.answers(func([]string) error {
			if asked.CompareAndSwap(false, true) {
				return unavailable(time.Minute)
			}
			return unavailable(0)
		})
		p := r.start()
		defer p.stop()
		id := r.replay(replay.Spec{})
		time.Sleep(50 * time.Second)
		r.a.mu.Lock()
		if r.a.tries > 2 { // both were under way
			t.Errorf("%d tries in the minute for which the destination wants to be left alone", r.a.tries)
		}
		r.a.mu.Unlock()
		time.Sleep(10 * time.Minute)
		j := r.get(id)
		if j.Phase != job.PhaseRunning || !strings.Contains(j.Error, "UNAVAILABLE") || j.Progress.Retries < 20 || j.Progress.Retries > 100 {
			t.Errorf("got %s, %q, %d retries", j.Phase, j.Error, j.Progress.Retries)
		}
		r.a.answers(nil)
		j = r.until(id, job.PhaseDone)
		r.took(r.a, ids)
		if j.Error != "" || j.Progress.Done.Items != 20 {
			t.Errorf("got %+v", j)
		}
	})
}

// The bad items of a message are dead-lettered alone, and say from which replay.
func TestItemsThatAreRejected(t *testing.T) {
	f := func(s replay.Spec, wantTaken, wantPart string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.store(group{tenant: "x", service: "web", ids: []string{"1", "2", "bad", "4"}})
			r.store(group{service: "web", ids: []string{"5"}})
			r.a.answers(rejects("bad"))
			j := r.run(s)
			r.took(r.a, strings.Fields(wantTaken))
			letters, _, err := deadletter.List(t.Context(), r.q, topology.DeadLetters, deadletter.Filter{}, 0, 0)
			r.must(err)
			if len(letters) != 1 {
				t.Fatalf("%d letters: %+v", len(letters), letters)
			}
			l := letters[0]
			if l.Destination != "a" || l.Items != 1 || l.Tenant != "x" || l.OriginSequence != 1 || l.Stream != stream || l.Reason != "rejected" || l.Problem != "" ||
				!strings.HasPrefix(l.Detail, "replay "+j.ID+": ") || l.Part != fmt.Sprintf(wantPart, j.ID) {
				t.Errorf("got %+v", l)
			}
			if j.Progress.Dead.Items != 1 || j.Progress.Done.Items != 4 || j.Progress.Dead.Messages != 0 || replay.Complete(&j) {
				t.Errorf("got %+v", j.Progress)
			}
		})
	}
	f(replay.Spec{}, "1 2 4 5", "replay-%s/2-2")
	f(replay.Spec{Where: []string{"service.name"}}, "1 2 4 5", "replay-%s/2-2")
	f(replay.Spec{MarkAttribute: true}, "1 2 4 5", "replay-%s/2-2")
}

// What cannot be read is left out and told, and nothing else is with it.
func TestDamagedMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.fill(3)
		m, _, err := r.q.Get(t.Context(), stream, 2)
		r.must(err)
		_, err = r.q.Publish(t.Context(), stream, &queue.Message{ID: "torn", Header: m.Header, Body: m.Body[:len(m.Body)-1]})
		r.must(err)
		_, err = r.q.Publish(t.Context(), stream, messageOf("foreign", "x"))
		r.must(err)
		ids = append(ids, r.fill(2)...)
		j := r.run(replay.Spec{})
		r.took(r.a, ids)
		notes := strings.Join(j.Note, "\n")
		if j.Progress.Damaged.Messages != 2 || j.Progress.Done.Messages != 5 || !strings.Contains(notes, "PENSTOCK_LOGS_0: message 4 is left out: message is damaged: checksum") || !strings.Contains(notes, "message 5 is left out") {
			t.Errorf("got %+v\n%s", j.Progress, notes)
		}
	})
}

// A message of a newer program is whole: the job waits for a worker that reads it.
func TestNewerMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.fill(1)
		m := messageOf("newer", "x")
		m.Header["Penstock-Version"] = "99"
		_, err := r.q.Publish(t.Context(), stream, m)
		r.must(err)
		p := r.start()
		defer p.stop()
		id := r.replay(replay.Spec{})
		time.Sleep(10 * time.Second)
		if j := r.get(id); j.Phase != job.PhasePending || !strings.Contains(j.Error, "upgrade it") || j.Tries == 0 {
			t.Errorf("got %s, %q", j.Phase, j.Error)
		}
	})
}

func TestLiveTrafficComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.fill(10)
		var busy atomic.Bool
		busy.Store(true)
		r.changes = append(r.changes, func(o *replay.Options) { o.Busy = func(name string) bool { return name == "a" && busy.Load() } })
		p := r.start()
		defer p.stop()
		id := r.replay(replay.Spec{})
		time.Sleep(time.Minute)
		if n := len(r.a.ids()); n > 0 {
			t.Errorf("%d items were sent to a busy destination", n)
		}
		if n := testutil.CollectAndCount(r.reg, "penstock_replay_yields_total"); n != 1 {
			t.Errorf("%d metrics of yields", n)
		}
		busy.Store(false)
		r.until(id, job.PhaseDone)
		r.took(r.a, ids)
	})
}

func TestAJobWithoutItsDestinationSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p := r.start()
		defer p.stop()
		id := r.replay(replay.Spec{Destination: "nowhere"})
		target := r.replay(replay.Spec{Target: &replay.Target{Protocol: "grpc", Endpoint: "127.0.0.1:1"}})
		time.Sleep(5 * time.Second)
		if j := r.get(id); j.Phase != job.PhasePending || j.Waiting != `no worker with destination "nowhere" is seen; those of a worker that looked: ["a" "b"]` {
			t.Errorf("got %q", j.Waiting)
		}
		if j := r.get(target); j.Waiting != "this worker takes no jobs with a target of their own" {
			t.Errorf("got %q", j.Waiting)
		}
	})
}

// A target is opened for the job and closed with it. Its exporter is a real one.
func TestATargetOfItsOwn(t *testing.T) {
	r := newRig(t)
	ids := r.fill(5)
	dir := t.TempDir()
	out := filepath.Join(dir, "out.jsonl")
	r.changes = append(r.changes, func(o *replay.Options) {
		o.Open = opener(replay.Trust{Dir: dir})
	})
	j := r.run(replay.Spec{Target: &replay.Target{Protocol: worker.ProtocolFile, Endpoint: out}})
	data, err := os.ReadFile(out)
	r.must(err)
	for _, id := range ids {
		if !strings.Contains(string(data), id) {
			t.Errorf("%s is not in the file", id)
		}
	}
	if j.Progress.Done.Items != 5 || len(r.a.ids()) != 0 {
		t.Errorf("got %+v", j.Progress)
	}
	p := r.start()
	defer p.stop()
	id := r.replay(replay.Spec{Target: &replay.Target{Protocol: worker.ProtocolFile, Endpoint: "/elsewhere/out"}})
	if j := r.until(id, job.PhaseFailed); !strings.Contains(j.Error, "may name files in "+dir+" alone") {
		t.Errorf("got %q", j.Error)
	}
}

// The queue may be away for less than a lease: nothing is lost, and nothing is
// sent twice.
func TestTheQueueIsAwayForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.fill(300)
		r.store(group{ids: []string{"bad"}})
		ids = append(ids, r.fill(100)...)
		r.a.answers(rejects("bad"))
		r.a.delay = 50 * time.Millisecond
		p := r.start()
		defer p.stop()
		id := r.replay(replay.Spec{})
		for range 5 {
			time.Sleep(2 * time.Second)
			p.off.Store(true)
			time.Sleep(8 * time.Second)
			p.off.Store(false)
		}
		j := r.until(id, job.PhaseDone)
		r.took(r.a, ids)
		if j.Orphaned != 0 || j.Progress.Duplicates.Messages != 0 || j.Progress.Dead.Messages != 1 || len(r.letters()) != 1 {
			t.Errorf("got %+v", j)
		}
	})
}

// A spec of a newer program is not run by this one.
func TestSpecsThatCannotBeRead(t *testing.T) {
	r := newRig(t)
	for kind, h := range replay.Handlers(r.options()) {
		j := job.Job{Kind: kind, Spec: []byte(`{"from_seq":"x","rate":[]}`)}
		if ok, why := h.Can(&j); ok || !strings.Contains(why, "upgrade the workers") {
			t.Errorf("%s: %v, %q", kind, ok, why)
		}
	}
}
