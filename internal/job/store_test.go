package job_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/pkg/queue"
)

func TestCreateKeepsAJob(t *testing.T) {
	r := newRig(t)
	made := r.create(job.New{Spec: map[string]int{"a": 1}, By: "ann", Hold: map[string]uint64{"S": 1}, Note: []string{"n", "n"}})
	j := r.get(made.ID)
	if len(j.ID) != 26 || string(j.Spec) != `{"a":1}` || j.Phase != job.PhasePending || j.Wish != job.WishRun || j.By != "ann" ||
		j.Hold["S"] != 1 || !slices.Equal(j.Note, []string{"n"}) || j.CreatedAt.IsZero() {
		t.Errorf("got %+v", j)
	}
	f := func(n job.New, want string) {
		t.Helper()
		if _, err := r.jobs.Create(t.Context(), n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(job.New{ID: "no/name"}, "want 1 to 64 letters")
	f(job.New{ID: made.ID}, "a job of that name exists")
	f(job.New{Spec: strings.Repeat("x", 70<<10)}, "the spec has 71682 bytes, at most 65536 can be kept")
	f(job.New{Spec: func() {}}, "unsupported type")
	if _, err := r.jobs.Create(t.Context(), job.New{ID: made.ID}); !errors.Is(err, job.ErrExists) {
		t.Errorf("got %v", err)
	}
	if _, err := r.jobs.Get(t.Context(), "none"); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestListIsYoungestFirstAndByKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for _, n := range []job.New{{ID: "z", Kind: "a"}, {ID: "y", Kind: "b"}, {ID: "x", Kind: "a"}} {
			r.create(n)
			time.Sleep(time.Second)
		}
		f := func(kind, want string) {
			t.Helper()
			jobs, err := r.jobs.List(t.Context(), kind)
			got := ""
			for _, j := range jobs {
				got += j.ID
			}
			if err != nil || got != want {
				t.Errorf("kind %q: %q (%v), want %q", kind, got, err, want)
			}
		}
		f("", "xyz")
		f("a", "xz")
		f("c", "")
	})
}

func TestWishesOfAJobThatNobodyRuns(t *testing.T) {
	f := func(want string, wishes ...job.Wish) {
		t.Helper()
		r := newRig(t)
		r.create(job.New{ID: "j", Hold: map[string]uint64{"S": 1}})
		got := ""
		for _, w := range wishes {
			j, err := r.jobs.Wish(t.Context(), "j", w, "op")
			if got = string(j.Phase); err != nil {
				got += " " + fmt.Sprint(errors.Is(err, job.ErrEnded))
			}
		}
		if got != want {
			t.Errorf("after %v: %s, want %s", wishes, got, want)
		}
	}
	f("pending", job.WishRun)
	f("paused", job.WishPause)
	f("paused", job.WishPause, job.WishPause)
	f("pending", job.WishPause, job.WishRun)
	f("cancelled", job.WishCancel)
	f("cancelled", job.WishPause, job.WishCancel)
	f("cancelled", job.WishCancel, job.WishCancel)
	f("cancelled true", job.WishCancel, job.WishRun)
	r := newRig(t)
	r.create(job.New{ID: "j", Hold: map[string]uint64{"S": 1}})
	if j := r.wish("j", job.WishCancel); j.Hold != nil || j.EndedAt.IsZero() || j.WishBy != "op" {
		t.Errorf("an ended job holds on: %+v", j)
	}
	if _, err := r.jobs.Wish(t.Context(), "j", "stop", ""); err == nil {
		t.Error("a wish of another word was taken")
	}
	if _, err := r.jobs.Wish(t.Context(), "none", job.WishRun, ""); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyEndedJobsAreDeleted(t *testing.T) {
	r := newRig(t)
	r.create(job.New{ID: "j"})
	f := func(id string, want error) {
		t.Helper()
		if err := r.jobs.Delete(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("delete %s: %v, want %v", id, err, want)
		}
	}
	f("j", job.ErrActive)
	f("none", job.ErrNotFound)
	r.wish("j", job.WishCancel)
	f("j", nil)
	f("j", job.ErrNotFound)
	if err := r.jobs.Delete(t.Context(), "-"); err == nil {
		t.Error("no name was deleted")
	}
}

// The janitor purges nothing that a job needs, and nothing at all when it cannot
// tell.
func TestHolds(t *testing.T) {
	r := newRig(t)
	f := func(want map[string]uint64) {
		t.Helper()
		got, err := r.jobs.Holds(t.Context())
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("got %v (%v), want %v", got, err, want)
		}
	}
	f(nil)
	r.create(job.New{ID: "a", Hold: map[string]uint64{"S": 7, "T": 1}})
	r.create(job.New{ID: "b", Hold: map[string]uint64{"S": 3}})
	r.create(job.New{ID: "c"})
	f(map[string]uint64{"S": 3, "T": 1})
	r.wish("b", job.WishPause)
	f(map[string]uint64{"S": 3, "T": 1})
	r.wish("b", job.WishCancel)
	f(map[string]uint64{"S": 7, "T": 1})
	for _, unreadable := range []string{"{", `{"id":"d"}`, `{"id":"other","phase":"done"}`} {
		if _, err := r.q.Save(t.Context(), "job/d", []byte(unreadable), queue.AnyRevision); err != nil {
			t.Fatal(err)
		}
		if _, err := r.jobs.Holds(t.Context()); err == nil || !strings.Contains(err.Error(), "job d cannot be read") {
			t.Errorf("%s: got %v", unreadable, err)
		}
		if jobs, err := r.jobs.List(t.Context(), ""); len(jobs) != 3 || err == nil {
			t.Errorf("%s: %d jobs listed (%v), want the 3 that can be read, and an error", unreadable, len(jobs), err)
		}
	}
	if err := r.jobs.Delete(t.Context(), "d"); err != nil {
		t.Fatal(err)
	}
	f(map[string]uint64{"S": 7, "T": 1})
}

func TestStoreFailures(t *testing.T) {
	r := newRig(t)
	r.create(job.New{ID: "j"})
	c := &cut{Queue: r.q}
	c.away.Store(true)
	s := job.NewStore(c)
	_, e1 := s.List(t.Context(), "")
	_, e2 := s.Get(t.Context(), "j")
	_, e3 := s.Create(t.Context(), job.New{ID: "k"})
	_, e4 := s.Holds(t.Context())
	_, e5 := s.Wish(t.Context(), "j", job.WishPause, "")
	for i, err := range []error{e1, e2, e3, e4, e5, s.Delete(t.Context(), "j")} {
		if !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%d: got %v", i, err)
		}
	}
}

func TestWhy(t *testing.T) {
	now := time.Now()
	f := func(j job.Job, want string) {
		t.Helper()
		if got := j.Why(now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	young := job.Job{Phase: job.PhasePending, CreatedAt: now}
	f(young, "")
	f(job.Job{Phase: job.PhaseRunning}, "")
	f(job.Job{Phase: job.PhaseDone}, "")
	f(job.Job{Phase: job.PhasePaused}, "paused")
	old := job.Job{Phase: job.PhasePending, CreatedAt: now.Add(-time.Minute)}
	f(old, "no worker has taken it yet: none is running, or all are busy with other jobs")
	old.Reserved = true
	f(old, "waits for the process that was started for it; start it again, or cancel the job")
	old.Waiting = "no destination"
	f(old, "no destination")
	old.NotBefore, old.Error = now.Add(time.Second), "it broke"
	f(old, "tried again at "+old.NotBefore.UTC().Format(time.RFC3339)+": it broke")
	old.NotBefore = now.Add(time.Hour) // another's clock
	f(old, "no destination")
}
