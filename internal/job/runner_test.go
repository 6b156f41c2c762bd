package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// counting goes to n, one each tick, and keeps where it is. It begins where the
// checkpoint says.
func counting(n int, tick time.Duration, saw func(i int)) work {
	return work{run: func(ctx context.Context, r *job.Run) error {
		i := 0
		if c := r.Job().Checkpoint; c != nil {
			if err := json.Unmarshal(c, &i); err != nil {
				return err
			}
		}
		for ; i < n; i++ {
			select {
			case <-time.After(tick):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			saw(i)
			p := job.Progress{Total: job.Amount{Messages: uint64(n), Bytes: uint64(100 * n)}, Done: job.Amount{Messages: uint64(i + 1), Bytes: uint64(100 * (i + 1))}}
			if err := r.Checkpoint(job.State{Checkpoint: i + 1, Progress: p, Hold: map[string]uint64{"S": uint64(i + 2)}}); err != nil {
				return err
			}
		}
		return nil
	}}
}

func TestARunnerDoesAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create(job.New{ID: "j", Hold: map[string]uint64{"S": 1}})
		p := r.start(counting(100, 100*time.Millisecond, func(int) {}))
		defer p.stop()
		time.Sleep(5500 * time.Millisecond)
		j := r.get("j")
		if j.Phase != job.PhaseRunning || j.Runner != "p1" || j.StartedAt.IsZero() {
			t.Errorf("got %+v", j)
		}
		if n := j.Progress.Done.Messages; n < 40 || n > 55 || j.Hold["S"] != n+1 || string(j.Checkpoint) != fmt.Sprint(n) {
			t.Errorf("after 5.5 s the job is at %d of 100, one each 100 ms, and holds %v at checkpoint %s", n, j.Hold, j.Checkpoint)
		}
		if b := j.Progress.BytesPerSecond; b < 900 || b > 1100 || j.Progress.ETASeconds < 3 || j.Progress.ETASeconds > 7 {
			t.Errorf("100 bytes each 100 ms are shown as %.0f a second, to end in %.1f s", b, j.Progress.ETASeconds)
		}
		if got := testutil.ToFloat64(gauge(t, r, "penstock_job_progress_ratio")); got < 0.4 || got > 0.6 {
			t.Errorf("the metric of the progress is %v", got)
		}
		j = r.until("j", job.PhaseDone)
		if j.Progress.Ratio() != 1 || j.Hold != nil || j.EndedAt.IsZero() || j.Error != "" {
			t.Errorf("got %+v", j)
		}
		if err := testutil.GatherAndCompare(r.reg, strings.NewReader(`
# HELP penstock_job_runs_total Runs of jobs that ended in this process, by outcome: the phase the job then had, or lost.
# TYPE penstock_job_runs_total counter
penstock_job_runs_total{kind="test",outcome="done"} 1
`), "penstock_job_runs_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestErrorsOfHandlers(t *testing.T) {
	f := func(fails func(try int) error, wantPhase job.Phase, wantError string, wantRuns []time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.create(job.New{ID: "j"})
			start := time.Now()
			var ran list[time.Duration]
			p := r.start(work{run: func(context.Context, *job.Run) error {
				ran.add(time.Since(start).Round(time.Second))
				return fails(len(ran.all()))
			}}, func(o *job.Options) { o.Every = time.Second })
			time.Sleep(40 * time.Second)
			p.stop()
			j, runs := r.get("j"), ran.all()
			if j.Phase != wantPhase || !strings.Contains(j.Error, wantError) || !slices.Equal(runs, wantRuns) {
				t.Errorf("got %s, error %q, runs at %v; want %s, %q, %v", j.Phase, j.Error, runs, wantPhase, wantError, wantRuns)
			}
		})
	}
	const s = time.Second
	f(func(int) error { return errors.New("wrong for ever") }, job.PhaseFailed, "wrong for ever", []time.Duration{0})
	f(func(int) error { panic("at the disco") }, job.PhaseFailed, "BUG: the handler panicked: at the disco", []time.Duration{0})
	f(func(int) error { return job.Again(errors.New("not now")) }, job.PhasePending, "not now", []time.Duration{0, 1 * s, 3 * s, 7 * s, 15 * s, 31 * s})
	f(func(try int) error {
		if try < 3 {
			return fmt.Errorf("wrapped: %w", job.Again(errors.New("not now")))
		}
		return nil
	}, job.PhaseDone, "", []time.Duration{0, 1 * s, 3 * s})
}

func TestWishesOfARunningJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create(job.New{ID: "j"})
		var saw list[int]
		p := r.start(counting(300, 100*time.Millisecond, saw.add))
		defer p.stop()
		time.Sleep(4 * time.Second)
		r.wish("j", job.WishPause)
		start := time.Now()
		j := r.until("j", job.PhasePaused)
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("the pause took %s", d)
		}
		at := len(saw.all())
		if string(j.Checkpoint) != fmt.Sprint(at) {
			t.Errorf("paused after %d at checkpoint %s", at, j.Checkpoint)
		}
		time.Sleep(time.Minute)
		if n := len(saw.all()); n != at {
			t.Errorf("%d more were done in a pause", n-at)
		}
		r.wish("j", job.WishRun)
		time.Sleep(5 * time.Second)
		r.wish("j", job.WishCancel)
		r.until("j", job.PhaseCancelled)
		seen := saw.all()
		if len(seen) < at+20 || !slices.IsSorted(seen) || slices.Compact(slices.Clone(seen))[len(seen)-1] != len(seen)-1 {
			t.Errorf("a job that was paused and resumed saw %v", seen)
		}
	})
}

// What the operator wishes while a run ends is not lost.
func TestAWishInTheMomentOfTheEnd(t *testing.T) {
	f := func(first, then job.Wish, want job.Phase) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.create(job.New{ID: "j"})
			var runs atomic.Int64
			p := r.start(work{run: func(ctx context.Context, _ *job.Run) error {
				n := runs.Add(1)
				<-ctx.Done()
				if n == 1 {
					r.wish("j", then) // after the runner has seen the first
				}
				return context.Cause(ctx)
			}}, func(o *job.Options) { o.Every = time.Hour })
			time.Sleep(time.Second)
			r.wish("j", first)
			time.Sleep(1900 * time.Millisecond)
			if j := r.get("j"); j.Phase != want || runs.Load() < 1 {
				t.Errorf("%s then %s: %s, want %s", first, then, j.Phase, want)
			}
			r.wish("j", job.WishCancel)
			p.stop()
		})
	}
	f(job.WishPause, job.WishPause, job.PhasePaused)
	f(job.WishPause, job.WishCancel, job.PhaseCancelled)
	f(job.WishPause, job.WishRun, job.PhaseRunning) // it was taken again
}

func TestAStopHandsTheJobOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create(job.New{ID: "j"})
		var seen list[int]
		h := counting(100, 100*time.Millisecond, seen.add)
		p := r.start(h)
		time.Sleep(4050 * time.Millisecond)
		p.stop()
		if j := r.get("j"); j.Phase != job.PhasePending || string(j.Checkpoint) != fmt.Sprint(len(seen.all())) || j.Tries != 0 {
			t.Errorf("after a stop at %d: %+v", len(seen.all()), j)
		}
		start := time.Now()
		p = r.start(h)
		defer p.stop()
		r.until("j", job.PhaseDone)
		if d := time.Since(start); d > 7*time.Second || len(seen.all()) != 100 {
			t.Errorf("the successor took %s for the rest, %d in all", d, len(seen.all()))
		}
	})
}

// A process that cannot reach the queue any more stops a job when its lease is
// over, and another goes on from the checkpoint. Nothing of the first is written
// when it comes back.
func TestADeadRunnerIsSucceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create(job.New{ID: "j"})
		var one, two list[int]
		var cause list[error]
		h := counting(400, 100*time.Millisecond, one.add)
		run := h.run
		h.run = func(ctx context.Context, x *job.Run) error {
			err := run(ctx, x)
			cause.add(err)
			return err
		}
		p := r.start(h)
		defer p.stop()
		time.Sleep(5 * time.Second)
		p.away.Store(true)
		at := len(one.all())
		p2 := r.start(counting(400, 100*time.Millisecond, two.add))
		defer p2.stop()
		time.Sleep(17 * time.Second)
		if ended := cause.all(); len(ended) != 1 || !errors.Is(ended[0], job.ErrLost) {
			t.Errorf("the first ended with %v", ended)
		}
		second := two.all()
		if len(second) == 0 || second[0] > at || second[0] < at-12 {
			t.Fatalf("cut off after %d, the second began with %v", at, second)
		}
		p.away.Store(false)
		n := len(one.all())
		j := r.until("j", job.PhaseDone)
		first, second := one.all(), two.all()
		if j.Runner != "p2" || j.Orphaned != 1 || len(first) != n || second[len(second)-1] != 399 {
			t.Errorf("done by %s, orphaned %d times, the first did %d more", j.Runner, j.Orphaned, len(first)-n)
		}
	})
}

// anyLease gives the lease to everybody.
type anyLease struct{}

func (anyLease) Lease(context.Context, string, string, time.Duration) (bool, error) { return true, nil }
func (anyLease) Release(context.Context, string, string) error                      { return nil }

// Where leases fail altogether, epochs hold: who was succeeded finds out at the
// next write and stops.
func TestTwoRunnersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create(job.New{ID: "j"})
		all := func(o *job.Options) { o.Leaser = anyLease{} }
		var runs running
		var lost atomic.Int64
		h := work{run: func(ctx context.Context, x *job.Run) error {
			runs.add("j", 1)
			defer runs.add("j", -1)
			for {
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
					if errors.Is(context.Cause(ctx), job.ErrLost) {
						lost.Add(1)
						if err := x.Save(context.Background()); !errors.Is(err, job.ErrLost) {
							t.Errorf("who lost the job could write: %v", err)
						}
					}
					return context.Cause(ctx)
				}
			}
		}}
		a, b := r.start(h, all), r.start(h, all)
		time.Sleep(30 * time.Second)
		a.stop()
		b.stop()
		if most := runs.most["j"]; lost.Load() < 3 || most > 2 {
			t.Errorf("%d runs noticed that they had lost the job, at most %d ran at once", lost.Load(), most)
		}
	})
}

func TestJobsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var runs running
		h := func(p string) work {
			return work{run: func(ctx context.Context, x *job.Run) error {
				id := x.Job().ID
				runs.add(id, 1)
				runs.add(p, 1)
				time.Sleep(3 * time.Second)
				runs.add(id, -1)
				runs.add(p, -1)
				return nil
			}}
		}
		for i := range 10 {
			r.create(job.New{ID: fmt.Sprintf("j%d", i)})
		}
		a, b := r.start(h("A")), r.start(h("B"))
		defer a.stop()
		defer b.stop()
		start := time.Now()
		for i := range 10 {
			r.until(fmt.Sprintf("j%d", i), job.PhaseDone)
		}
		if d := time.Since(start); d > 15*time.Second {
			t.Errorf("10 jobs of 3 s took two runners of 2 at a time %s", d)
		}
		a.stop()
		b.stop()
		for who, n := range runs.most {
			want := 1
			if who == "A" || who == "B" {
				want = 2
			}
			if n != want {
				t.Errorf("%s ran %d at a time, want %d", who, n, want)
			}
		}
	})
}

// A job that takes its process down with it does not do so at once to every
// other.
func TestAJobThatKillsItsRunners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create(job.New{ID: "j"})
		var taken list[time.Duration]
		start := time.Now()
		for range 6 {
			took := make(chan struct{})
			p := r.start(work{run: func(ctx context.Context, _ *job.Run) error {
				taken.add(time.Since(start))
				close(took)
				<-ctx.Done()
				return context.Cause(ctx)
			}})
			<-took
			p.away.Store(true) // as good as dead
			p.stop()
		}
		takes := taken.all()
		for i := 1; i < len(takes); i++ {
			want := 15 * time.Second
			if i > 2 {
				want += time.Second << (i - 1)
			}
			if d := takes[i] - takes[i-1]; d < want {
				t.Errorf("take %d came %s after the one before, want at least %s", i, d, want)
			}
		}
		if j := r.get("j"); j.Orphaned < 5 {
			t.Errorf("got %+v", j)
		}
	})
}

func TestAnOrphanIsPausedWithoutAHandler(t *testing.T) {
	f := func(w job.Wish, want job.Phase) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.create(job.New{ID: "j", Hold: map[string]uint64{"S": 1}})
			p := r.start(work{run: func(ctx context.Context, _ *job.Run) error { <-ctx.Done(); return context.Cause(ctx) }})
			time.Sleep(time.Second)
			p.away.Store(true)
			p.stop()
			r.wish("j", w)
			p = r.start(nil, func(o *job.Options) { o.Handlers = nil })
			defer p.stop()
			r.until("j", want)
		})
	}
	f(job.WishPause, job.PhasePaused)
	f(job.WishCancel, job.PhaseCancelled)
}

func TestAJobThatNobodyCanRunSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create(job.New{ID: "j"})
		r.create(job.New{ID: "k", Kind: "other"})
		p := r.start(work{can: func(*job.Job) (bool, string) { return false, "no destination x" }})
		time.Sleep(5 * time.Second)
		p.stop()
		if j, k := r.get("j"), r.get("k"); j.Why(time.Now()) != "no destination x" || k.Waiting != `no worker knows jobs of kind "other": upgrade the workers` {
			t.Errorf("got %q and %q", j.Waiting, k.Waiting)
		}
		p = r.start(counting(1, 0, func(int) {}))
		defer p.stop()
		if j := r.until("j", job.PhaseDone); j.Waiting != "" {
			t.Errorf("got %q", j.Waiting)
		}
	})
}

func TestReservedJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create(job.New{ID: "j", Reserved: true})
		p := r.start(counting(1, 0, func(int) { t.Error("a worker took a reserved job") }))
		defer p.stop()
		time.Sleep(10 * time.Second)
		var ran atomic.Bool
		start := time.Now()
		own := r.start(counting(1, 0, func(int) { ran.Store(true) }), func(o *job.Options) { o.Only = "j" })
		r.until("j", job.PhaseDone)
		own.stop()
		if !ran.Load() || time.Since(start) > time.Second {
			t.Errorf("its own process ran it: %v, in %s", ran.Load(), time.Since(start))
		}
		err := job.NewRunner(job.Options{Store: r.jobs, Leaser: r.q, Only: "none", Metrics: r.m}).Run(t.Context())
		if !errors.Is(err, job.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestEndedJobsAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i := range 205 {
			id := fmt.Sprintf("j%03d", i)
			r.create(job.New{ID: id})
			r.wish(id, job.WishCancel)
			time.Sleep(time.Second)
		}
		r.create(job.New{ID: "paused"})
		r.wish("paused", job.WishPause)
		p := r.start(work{}, func(o *job.Options) { o.Every = time.Hour })
		defer p.stop()
		f := func(after time.Duration, want int, oldest string) {
			t.Helper()
			time.Sleep(after)
			jobs, err := r.jobs.List(t.Context(), "")
			if err != nil || len(jobs) != want || jobs[len(jobs)-1].ID != oldest {
				t.Errorf("%d jobs (%v), want %d and %s as the oldest", len(jobs), err, want, oldest)
			}
		}
		f(3*time.Second, 201, "j005")
		f(8*24*time.Hour, 1, "paused")
	})
}

func TestCheckpointsAndNotesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create(job.New{ID: "j"})
		p := r.start(work{run: func(ctx context.Context, x *job.Run) error {
			if err := x.Checkpoint(job.State{Checkpoint: strings.Repeat("x", 200<<10)}); err == nil || !strings.Contains(err.Error(), "at most 131072") {
				t.Errorf("got %v", err)
			}
			if err := x.Checkpoint(job.State{Checkpoint: func() {}}); err == nil {
				t.Error("a checkpoint that is no JSON was taken")
			}
			for i := range 100 {
				x.Note("note %d %s", i, strings.Repeat("x", 1000))
			}
			x.Trouble("it hurts")
			x.Urge()
			time.Sleep(time.Millisecond)
			if got := r.get("j"); got.Error != "it hurts" || len(got.Note) != 20 || !strings.HasPrefix(got.Note[0], "note 0 ") || len(got.Note[0]) > 510 {
				t.Errorf("got %q and %d notes", got.Error, len(got.Note))
			}
			x.Trouble("")
			return nil
		}})
		defer p.stop()
		r.until("j", job.PhaseDone)
	})
}

// A job that is deleted from under its runner is lost.
func TestARemovedJobEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create(job.New{ID: "j"})
		ended := make(chan error, 1)
		p := r.start(work{run: func(ctx context.Context, _ *job.Run) error {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return context.Cause(ctx)
		}})
		defer p.stop()
		time.Sleep(time.Second)
		if err := r.q.Remove(t.Context(), "job/j", queue.AnyRevision); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, job.ErrLost) {
			t.Errorf("got %v", err)
		}
	})
}

// The same on a real queue: done by two processes, paused in between.
func TestOnJetStream(t *testing.T) {
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
	if err != nil {
		t.Fatal(errors.Join(err, s.Shutdown(context.Background())))
	}
	t.Cleanup(func() {
		if err := errors.Join(q.Close(), s.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	})
	r := rigOn(t, q)
	r.create(job.New{ID: "j", Hold: map[string]uint64{"S": 1}})
	var saw list[int]
	quick := func(o *job.Options) { o.Every = 20 * time.Millisecond }
	h := counting(100, 10*time.Millisecond, saw.add)
	p := r.start(h, quick)
	r.until("j", job.PhaseRunning)
	time.Sleep(50 * time.Millisecond)
	p.stop()
	seen := saw.all()
	if j := r.get("j"); j.Phase != job.PhasePending || len(seen) == 0 || len(seen) == 100 {
		t.Fatalf("stopped after %d: %+v", len(seen), j)
	}
	r.wish("j", job.WishPause)
	r.wish("j", job.WishRun)
	p = r.start(h, quick)
	defer p.stop()
	r.until("j", job.PhaseDone)
	p.stop()
	if seen = saw.all(); len(seen) != 100 || !slices.IsSorted(seen) {
		t.Errorf("saw %v", seen)
	}
	if holds, err := r.jobs.Holds(t.Context()); err != nil || len(holds) != 0 {
		t.Errorf("an ended job holds %v (%v)", holds, err)
	}
}
