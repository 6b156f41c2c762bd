package replay_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/replay"
)

// once runs a replay in a process of its own.
func (r *rig) once(ctx context.Context, name string, s replay.Spec, tell func(job.Job)) (job.Job, error) {
	s.Signals, s.Unlimited = logsOnly, true
	if s.Destination == "" {
		s.Destination = "a"
	}
	return replay.RunOnce(ctx, replay.Once{Name: name, Spec: s, By: "op", Plan: r.plan, Options: r.options(), JobMetrics: r.jm,
		Logger: slog.New(slog.DiscardHandler), Tell: tell})
}

func TestRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.fill(100)
		r.a.delay = 100 * time.Millisecond
		worker := r.start() // takes nothing of it
		defer worker.stop()
		var mu sync.Mutex
		var told []float64
		tell := func(j job.Job) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, j.Progress.Ratio())
		}
		// Between two deliveries' ends: at one of them it would be told twice at times.
		first, kill := context.WithTimeout(t.Context(), 2050*time.Millisecond)
		defer kill()
		j, err := r.once(first, "nightly", replay.Spec{To: time.Now().Add(time.Second)}, tell)
		if !errors.Is(err, replay.ErrStopped) || j.Phase != job.PhasePending || j.ID != "nightly" {
			t.Errorf("a process that is stopped ends with %v, %+v", err, j)
		}
		r.fill(1) // not in the window, whatever the second process thinks that is
		j, err = r.once(t.Context(), "nightly", replay.Spec{To: time.Now().Add(time.Hour)}, tell)
		if err != nil || !replay.Complete(&j) || j.Progress.Done.Messages != 100 || j.Orphaned != 0 {
			t.Errorf("started again it ends with %v, %+v", err, j.Progress)
		}
		r.took(r.a, ids)
		if len(told) < 5 || !slices.IsSorted(told) || told[len(told)-1] != 1 {
			t.Errorf("told %v", told)
		}
		start := time.Now()
		if j, err = r.once(t.Context(), "nightly", replay.Spec{}, nil); err != nil || j.Phase != job.PhaseDone || time.Since(start) > time.Second {
			t.Errorf("started once more it ends with %v, %s", err, j.Phase)
		}
		r.took(r.a, ids)
	})
}

func TestRunOnceEndsAsTheJobDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.fill(100)
		r.a.delay = time.Second
		go func() {
			time.Sleep(5 * time.Second)
			r.wish("x", job.WishCancel)
		}()
		if _, err := r.once(t.Context(), "x", replay.Spec{}, nil); !errors.Is(err, replay.ErrCancelled) || !strings.Contains(err.Error(), "job x: the replay was cancelled by op") {
			t.Errorf("got %v", err)
		}
		r.changes = append(r.changes, func(o *replay.Options) {
			o.Open = func(string, *replay.Target) (replay.Destination, error) {
				return replay.Destination{}, errors.New("no such place")
			}
		})
		s := replay.Spec{Target: &replay.Target{Protocol: "grpc", Endpoint: "127.0.0.1:1"}, Signals: logsOnly}
		_, err := replay.RunOnce(t.Context(), replay.Once{Name: "y", Spec: s, Plan: r.plan, Options: r.options(), JobMetrics: r.jm, Logger: slog.New(slog.DiscardHandler)})
		if !errors.Is(err, replay.ErrFailed) || !strings.Contains(err.Error(), "target 127.0.0.1:1: no such place") {
			t.Errorf("got %v", err)
		}
		if _, err := r.once(t.Context(), "z", replay.Spec{Destination: "nowhere"}, nil); err == nil || !strings.Contains(err.Error(), `no worker with destination "nowhere"`) {
			t.Errorf("got %v", err)
		}
		if _, err := r.once(t.Context(), "z z", replay.Spec{}, nil); err == nil {
			t.Error("a name with a space was taken")
		}
		if _, err := replay.Start(t.Context(), r.jobs, r.q, r.plan, replay.Spec{Destination: "a"}, replay.StartOptions{ID: "w"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.once(t.Context(), "w", replay.Spec{}, nil); !errors.Is(err, job.ErrExists) {
			t.Errorf("a job of the workers was taken: %v", err)
		}
	})
}
