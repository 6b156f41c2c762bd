package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if runChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

// journal notes what happens, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) is(t *testing.T, want string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if got := strings.Join(j.lines, " "); got != want {
		t.Errorf("happened: %s\nwant:     %s", got, want)
	}
}

func (j *journal) step(name string) func(context.Context) error {
	return func(context.Context) error { j.note("-" + name); return nil }
}

func quiet(name string) *App { return New(name, slog.New(slog.DiscardHandler)) }

var errBroken = errors.New("broken")

func TestAStopUndoesTheStartInReverseOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		a := quiet("test")
		a.DrainDelay = 5 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(time.Minute, cancel)
		err := a.Run(ctx, func(_ context.Context, a *App) error {
			if a.State().Phase() != Starting || a.State().Started() || a.Name() != "test" {
				t.Error("not starting")
			}
			a.OnStop("queue", time.Second, j.step("queue"))
			a.Go("loop", func(ctx context.Context) error {
				j.note("+loop")
				<-ctx.Done()
				j.note("-loop")
				return ctx.Err()
			})
			a.OnStop("server", time.Second, func(ctx context.Context) error {
				if ctx.Err() != nil || a.State().Phase() != Draining || a.State().Ready() || time.Since(began) != time.Minute+5*time.Second {
					t.Errorf("at the first step: %v, %s, after %s", ctx.Err(), a.State().Phase(), time.Since(began))
				}
				return j.step("server")(ctx)
			})
			time.AfterFunc(time.Second, func() {
				if !a.State().Ready() || !a.State().Started() {
					t.Error("not ready")
				}
			})
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		j.is(t, "+loop -server -loop -queue")
		if a.State().Phase() != Stopped || Stopped.String() != "stopped" {
			t.Errorf("ends as %s", a.State().Phase())
		}
	})
}

func TestAFailedStartUndoesWhatWasDone(t *testing.T) {
	var j journal
	a := quiet("test")
	err := a.Run(t.Context(), func(_ context.Context, a *App) error {
		a.OnStop("one", time.Second, j.step("one"))
		a.OnStop("two", time.Second, func(context.Context) error { j.note("-two"); return errors.New("stuck") })
		return errBroken
	})
	if !errors.Is(err, errBroken) || err.Error() != "start of test: broken\nstop of two: stuck" {
		t.Errorf("Run says %v", err)
	}
	j.is(t, "-two -one")
}

func TestAStartThatPanicsUndoesWhatWasDone(t *testing.T) {
	var j journal
	err := quiet("test").Run(t.Context(), func(_ context.Context, a *App) error {
		a.OnStop("one", time.Second, j.step("one"))
		panic("oh")
	})
	if err == nil || err.Error() != "test: panic: oh" {
		t.Errorf("Run says %v", err)
	}
	j.is(t, "-one")
}

// A signal that comes while the start waits is a clean end.
func TestAnEndWhileStartingIsClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		a := quiet("test")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ctx, cancelIt := context.WithCancel(ctx)
		time.AfterFunc(time.Second/2, cancelIt)
		err := a.Run(ctx, func(ctx context.Context, a *App) error {
			a.OnStop("one", time.Second, j.step("one"))
			<-ctx.Done()
			return ctx.Err()
		})
		if err != nil || a.State().Started() != true {
			t.Errorf("Run says %v", err)
		}
		j.is(t, "-one")
	})
}

func TestAFailingGoroutineStopsTheApp(t *testing.T) {
	f := func(name string, want string, start func(context.Context, *App) error) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			a := quiet("test")
			a.DrainDelay = time.Hour
			err := a.Run(t.Context(), start)
			if err == nil || err.Error() != want || !errors.Is(err, errBroken) {
				t.Errorf("%s: Run says %v, want %s", name, err, want)
			}
		})
	}
	f("once ready", "loop: broken", func(_ context.Context, a *App) error {
		a.Go("loop", func(context.Context) error { time.Sleep(time.Second); return errBroken })
		a.Go("done", func(context.Context) error { return nil })
		return nil
	})
	f("while the start waits", "loop: broken", func(ctx context.Context, a *App) error {
		a.Go("loop", func(context.Context) error { return errBroken })
		<-ctx.Done()
		return context.Cause(ctx)
	})
	f("twice", "loop: broken\nother", func(_ context.Context, a *App) error {
		a.Go("loop", func(context.Context) error { return errBroken })
		a.OnStop("late", time.Second, func(context.Context) error { a.Fail(errors.New("other")); return nil })
		return nil
	})
	f("and one at its own end", "first\nstop of loop: broken", func(_ context.Context, a *App) error {
		a.Go("loop", func(ctx context.Context) error { <-ctx.Done(); return errBroken })
		a.Fail(errors.New("first"))
		return nil
	})
}

func TestAFailureEndsTheDrainDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := quiet("test")
		a.DrainDelay = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		err := a.Run(ctx, func(_ context.Context, a *App) error {
			a.Go("loop", func(context.Context) error { time.Sleep(time.Minute); return errBroken })
			return nil
		})
		if !errors.Is(err, errBroken) || time.Since(began) != time.Minute {
			t.Errorf("Run says %v after %s", err, time.Since(began))
		}
	})
}

// A step that does not end is named and left; the steps after it still run, and
// the whole stop has its own bound.
func TestEveryWaitOfAStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var log bytes.Buffer
		release := make(chan struct{})
		a := New("test", slog.New(slog.NewTextHandler(&log, nil)))
		a.StopTimeout = 10 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		err := a.Run(ctx, func(_ context.Context, a *App) error {
			a.OnStop("files", time.Minute, j.step("files"))
			a.OnStop("obeys", time.Minute, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			a.OnStop("greedy", time.Minute, func(context.Context) error { <-release; return nil })
			a.Go("deaf", func(context.Context) error { <-release; return nil })
			a.OnStop("slow", 2*time.Second, func(ctx context.Context) error { <-ctx.Done(); return errBroken })
			return nil
		})
		const want = "stop of slow: broken\n" + "stop of deaf: context deadline exceeded\n" +
			"stop of greedy: not done after 250ms, left behind\n" + "stop of obeys: context deadline exceeded"
		if err == nil || err.Error() != want {
			t.Errorf("Run says\n%v\nwant\n%s", err, want)
		}
		j.is(t, "-files")
		if took := time.Since(began) - time.Second; took > 11*time.Second {
			t.Errorf("the stop took %s", took)
		}
		for _, name := range []string{"slow", "deaf", "greedy", "obeys", "files"} {
			if !strings.Contains(log.String(), "step="+name+" ") {
				t.Errorf("the log does not name %s:\n%s", name, log.String())
			}
		}
		close(release)
	})
}

// A step that begins another goroutine or pushes another step during the stop is
// undone as well.
func TestStepsPushedDuringAStopAreUndone(t *testing.T) {
	var j journal
	a := quiet("test")
	err := a.Run(t.Context(), func(_ context.Context, a *App) error {
		a.OnStop("one", time.Second, func(ctx context.Context) error {
			a.OnStop("flush", time.Second, j.step("flush"))
			return j.step("one")(ctx)
		})
		return errBroken
	})
	if !errors.Is(err, errBroken) {
		t.Error(err)
	}
	j.is(t, "-one -flush")
}

// Two of them in one process do not know of each other.
func TestTwoAppsInOneProcess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var ready sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		ready.Add(1)
		wg.Go(func() {
			if err := quiet(name).Run(ctx, func(_ context.Context, a *App) error {
				a.Go("loop", func(ctx context.Context) error { ready.Done(); <-ctx.Done(); return nil })
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	ready.Wait()
	cancel()
	wg.Wait()
}
