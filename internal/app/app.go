// Package app is the one lifecycle of every role: an ordered start, a wait, and
// a stop that undoes the start in reverse order within bounded time.
//
//	start(ctx, app)          ready            ctx ends, or a goroutine fails
//	  do A ; OnStop(A)         │                │
//	  do B ; Go(B)             ▼                ▼
//	  do C ; OnStop(C)      (serving)       draining ─▶ drain delay ─▶ C ─▶ B ─▶ A
//
// # Guarantees
//
//   - Each step that was pushed is undone once, in reverse order, also when the
//     start failed half way or a goroutine died.
//   - Every wait is bounded: a step that is over its time is named in the log and
//     left behind, and the whole stop has a bound of its own.
//   - A goroutine started with Go is waited for at its own place in the order,
//     and its failure stops the app and is what Run returns.
//   - State says draining before anything is undone, so that a balancer can send
//     its clients elsewhere first.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// Bounds of the stop, unless set otherwise.
const (
	// DefaultStopTimeout bounds all steps of a stop together.
	DefaultStopTimeout = 60 * time.Second
	// goTimeout bounds the wait for one goroutine after its context was ended.
	goTimeout = 10 * time.Second
	// lastChance is what each step still gets when the whole stop is over its
	// time: enough to close a file, not to wait for a peer.
	lastChance = 250 * time.Millisecond
)

// App is one running process, or one of several in a test. Make it with New; set
// the exported fields before Run.
type App struct {
	// DrainDelay is the wait between being not ready and the first step of a
	// stop that was asked for, in which a balancer notices.
	DrainDelay time.Duration
	// StopTimeout bounds all steps together; the drain delay is not in it.
	StopTimeout time.Duration
	// About is more for the first line of the log, as slog takes it.
	About []any

	name   string
	logger *slog.Logger
	state  State
	failed chan struct{} // closed at the first failure

	mu       sync.Mutex // guards everything below
	base     context.Context
	endStart context.CancelFunc
	steps    []step
	failures []error // the first one stopped the app
}

type step struct {
	name    string
	timeout time.Duration
	fn      func(context.Context) error
}

// New makes an App that is starting.
func New(name string, logger *slog.Logger) *App {
	return &App{
		name: name, logger: logger, StopTimeout: DefaultStopTimeout,
		failed: make(chan struct{}), base: context.Background(), endStart: func() {},
	}
}

// Name is the role's name.
func (a *App) Name() string { return a.name }

// State is what health endpoints read.
func (a *App) State() *State { return &a.state }

// OnStop pushes the undo of what was just done. At the stop fn is called once,
// with a context that ends after timeout; when it has not returned by then it is
// left behind and counts as failed. Call it on the line after the do.
func (a *App) OnStop(step string, timeout time.Duration, fn func(context.Context) error) {
	a.push(step, timeout, fn)
}

func (a *App) push(name string, timeout time.Duration, fn func(context.Context) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.steps = append(a.steps, step{name, timeout, fn})
}

// Go runs fn in a goroutine that the app supervises. Its context outlives the
// signal that asks for the stop: it ends at this step's place in the reverse
// order, and fn is then waited for. An error of fn before that stops the app; a
// nil return is a normal end. A panic ends the process, as everywhere.
func (a *App) Go(name string, fn func(context.Context) error) {
	a.mu.Lock()
	ctx, cancel := context.WithCancel(a.base)
	a.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		err := fn(ctx)
		if err != nil && ctx.Err() == nil {
			// Reported here and not by the step: a failure has one reporter.
			a.fail(fmt.Errorf("%s: %w", name, err))
			err = nil
		}
		done <- err
	}()
	a.push(name, goTimeout, func(stop context.Context) error {
		cancel()
		select {
		case err := <-done:
			if errors.Is(err, context.Canceled) {
				return nil // it says that it was stopped
			}
			return err
		case <-stop.Done():
			return stop.Err()
		}
	})
}

// Fail stops the app with an error, for code that is told of a failure and has
// no goroutine of its own. Only the first call stops; later ones are joined.
func (a *App) Fail(err error) { a.fail(err) }

func (a *App) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failures = append(a.failures, err)
	if len(a.failures) == 1 {
		close(a.failed)
		a.endStart()
		a.logger.Error("failed, stopping", "role", a.name, "error", err)
		return
	}
	a.logger.Error("failed as well", "role", a.name, "error", err)
}

// Run starts, waits until ctx ends or a goroutine fails, and stops. The context
// of start ends with ctx and with a failure, so that both end a start that waits
// for something: what is to live until its own step takes the context of Go. The
// error joins why the app failed and every step that did not stop cleanly; nil
// is a clean end. An App is run once.
func (a *App) Run(ctx context.Context, start func(context.Context, *App) error) (err error) {
	began := time.Now()
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	a.mu.Lock()
	a.base, a.endStart = context.WithoutCancel(ctx), cancel
	a.mu.Unlock()
	a.logger.Info("starting", append([]any{"role", a.name, "version", Version().Version, "commit", Version().Commit}, a.About...)...)
	defer func() {
		// A start that panics must not leave a queue open behind it.
		if p := recover(); p != nil {
			a.logger.Error("panic", "role", a.name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errors.Join(fmt.Errorf("%s: panic: %v", a.name, p), a.stop())
		}
	}()
	if startErr := a.begin(starting, start); startErr != nil {
		return errors.Join(startErr, a.stop())
	}
	select {
	case <-a.failed:
		return a.stop()
	case <-ctx.Done():
		if !a.state.Started() {
			a.logger.Info("asked to stop while starting", "role", a.name)
			return a.stop()
		}
	default:
		a.state.set(Ready)
		a.logger.Info("ready", "role", a.name, "after", time.Since(began))
	}
	select {
	case <-a.failed:
		return a.stop()
	case <-ctx.Done():
	}
	a.state.set(Draining)
	a.logger.Info("draining", "role", a.name, "delay", a.DrainDelay)
	timer := time.NewTimer(a.DrainDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.failed: // nothing is served any more: no reason to wait
	}
	return a.stop()
}

// begin calls start. That ctx or a failure ended it is no error of its own.
func (a *App) begin(ctx context.Context, start func(context.Context, *App) error) error {
	err := start(ctx, a)
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	a.logger.Error("start failed", "role", a.name, "error", err)
	return fmt.Errorf("start of %s: %w", a.name, err)
}
