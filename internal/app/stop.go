package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// stop undoes all steps, the last first.
func (a *App) stop() error {
	a.state.set(Draining)
	began := time.Now()
	deadline := began.Add(a.StopTimeout)
	var errs []error
	for {
		s, ok := a.pop()
		if !ok {
			break
		}
		bound := min(s.timeout, max(time.Until(deadline), lastChance))
		if err := a.undo(s, bound); err != nil {
			errs = append(errs, err)
		}
	}
	a.mu.Lock()
	errs = append(slices.Clone(a.failures), errs...)
	a.mu.Unlock()
	a.state.set(Stopped)
	a.logger.Info("stopped", "role", a.name, "after", time.Since(began), "errors", len(errs))
	return errors.Join(errs...)
}

// pop takes steps one at a time, so that one pushed during the stop is undone.
func (a *App) pop() (step, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.steps) == 0 {
		return step{}, false
	}
	s := a.steps[len(a.steps)-1]
	a.steps = a.steps[:len(a.steps)-1]
	return s, true
}

// undo calls one step and waits for it no longer than bound.
func (a *App) undo(s step, bound time.Duration) error {
	ctx, cancel := context.WithTimeout(a.base, bound)
	defer cancel()
	began := time.Now()
	done := make(chan error, 1)
	// Left behind when it is over its time; the process is about to end.
	go func() { done <- s.fn(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		// Most steps return as soon as their context ends, with a reason that
		// tells more than the bound does.
		select {
		case err = <-done:
		case <-time.After(lastChance):
			err = fmt.Errorf("not done after %s, left behind", bound)
		}
	}
	if err != nil {
		a.logger.Error("stop step failed", "role", a.name, "step", s.name, "after", time.Since(began), "error", err)
		return fmt.Errorf("stop of %s: %w", s.name, err)
	}
	a.logger.Info("stop step done", "role", a.name, "step", s.name, "after", time.Since(began))
	return nil
}
