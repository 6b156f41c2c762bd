package amapi

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

const (
	// runEvery is the pace of Run.
	runEvery = 5 * time.Second
	// Of an alert's life this much may be left when the log is told of its next end:
	// by Run, together with all others of its sender; else before a post is answered.
	soon   = 0.5
	urgent = 0.25
)

// Run tells the log of the ends that were posted to this replica, and, if it leads,
// ends what nobody posts any more; until ctx ends.
func (a *API) Run(ctx context.Context) {
	defer a.said.Stop()
	tick := time.NewTicker(runEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := a.Round(ctx); err != nil && ctx.Err() == nil {
			what := "the log of alerts is not there: the ends of posted alerts are told when it is"
			if errors.Is(err, alerts.ErrFull) {
				what = "the log of alerts is full: posted alerts end when it has been tidied"
			}
			a.said.Warn("ends", what, "error", err)
		}
	}
}

// Round is what Run does each time.
func (a *API) Round(ctx context.Context) error {
	if !a.o.State.CaughtUp() {
		return nil
	}
	a.forget()
	a.mu.Lock()
	posted := make(map[alerts.Key]alerts.Posted, len(a.posted))
	for k, p := range a.posted {
		posted[k] = p
	}
	a.mu.Unlock()
	if err := a.extend(ctx, posted, soon); err != nil { // before anything is ended
		return err
	}
	if !a.o.Leads() {
		return nil
	}
	for _, e := range a.o.State.Ended(a.o.Now()) {
		n := 0
		err := a.do(ctx, func() ([]alerts.Event, error) {
			ended := a.still(e)
			n = max(n, len(ended.Active))
			return a.o.State.Transitions(ended, a.o.PolicyOf, a.o.Now()), nil
		})
		if err != nil {
			return err
		}
		a.o.Metrics.expired.Add(float64(n))
	}
	return nil
}

// still is what of an evaluation of Ended has not been posted again since.
func (a *API) still(e alerts.Evaluation) alerts.Evaluation {
	ended := e
	ended.Active = nil
	for _, f := range e.Active {
		if x, ok := a.o.State.Alert(alerts.KeyOf(e.Tenant, f.Labels)); ok && x.EndsAt.Equal(f.EndsAt) {
			ended.Active = append(ended.Active, f)
		}
	}
	return ended
}

// remember notes what was posted of what fires.
func (a *API) remember(posted map[alerts.Key]alerts.Posted) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, p := range posted {
		if p.EndsAt.After(a.posted[k].EndsAt) {
			a.posted[k] = p
		}
	}
}

// forget lets go of what the log has, or has ended.
func (a *API) forget() {
	now := a.o.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, p := range a.posted {
		if now.Sub(p.At) < runEvery { // it may be about to fire
			continue
		}
		if x, ok := a.o.State.Alert(k); !ok || x.File != alerts.SourceExternal || !x.ResolvedAt.IsZero() || !p.EndsAt.After(x.EndsAt) {
			delete(a.posted, k)
		}
	}
}

// extend tells the log of ends.
func (a *API) extend(ctx context.Context, posted map[alerts.Key]alerts.Posted, share float64) error {
	n := 0
	err := a.do(ctx, func() ([]alerts.Event, error) {
		events := a.o.State.Extend(posted, share, a.o.Now())
		n += len(events)
		return events, nil
	})
	if err == nil {
		a.o.Metrics.extended.Add(float64(n))
	}
	return err
}
