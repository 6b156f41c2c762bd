package worker

import (
	"time"

	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/pkg/pool"
)

// Status is how each destination looks from here, in the order of the
// configuration.
func (w *Worker) Status() []fleet.Destination {
	out := make([]fleet.Destination, len(w.destinations))
	for i, to := range w.destinations {
		out[i] = to.status()
	}
	return out
}

// Tally is what was settled since the worker was made, by destination, signal
// and tenant. Its numbers only rise.
func (w *Worker) Tally() (out []fleet.Tally) {
	for _, to := range w.destinations {
		out = append(out, to.tally.list(to.Name)...)
	}
	return out
}

func (to *destination) status() fleet.Destination {
	s := fleet.Destination{Name: to.Name, Protocol: to.Protocol, Endpoints: to.Endpoints, InFlight: int(to.running.Load())}
	s.Sent, s.Rejected, s.Dead, s.Unwanted = to.tally.sums()
	var until time.Time
	s.Breaker, until = to.breaker.state()
	s.BreakerUntil = known(until)
	err, at, success := to.health.last()
	if err != nil {
		s.LastError = &fleet.Error{At: at.UTC(), Code: err.Code, Text: text(err.Err)}
	}
	s.LastSuccess = known(success)
	if p, ok := to.exporter.(pooled); ok {
		s.Pool = poolStatus(p.Stats())
	}
	return s
}

// known is nil for the zero time.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func poolStatus(s pool.Stats) *fleet.Pool {
	p := &fleet.Pool{Open: s.Ready + s.Connecting + s.Idle + s.NotServing + s.Broken + s.Draining, Ready: s.Ready,
		InFlight: s.InFlight, Waiting: s.Waiting, Dials: s.Dials, Calls: s.Calls, Failures: s.Failures}
	for _, e := range s.Endpoints {
		p.Endpoints = append(p.Endpoints, fleet.Peer{Address: e.Target, Open: e.Connections, Ready: e.Ready, InFlight: e.InFlight, Down: known(e.Down)})
	}
	return p
}
