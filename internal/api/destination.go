package api

import (
	"slices"
	"time"

	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/topology"
)

// Destination is one as all processes together see it.
type Destination struct {
	Name      string   `json:"name"`
	Protocol  string   `json:"protocol,omitempty"`
	Endpoints []string `json:"endpoints,omitempty"`
	// Workers are the live processes that export to it. With none and a lag it
	// holds the queue until it has a worker again, or is dropped.
	Workers []string         `json:"workers" doc:"Running processes that export to it. With none, what it has not taken stays until it has one again, or is dropped."`
	Lags    []queuewatch.Lag `json:"lags" doc:"What it has not taken, by stream."`

	Breaker      string     `json:"breaker,omitempty" doc:"The worst of its workers: closed, half_open, open."`
	BreakerUntil *time.Time `json:"breaker_until,omitempty"`
	InFlight     int        `json:"in_flight_requests"`
	Pool         fleet.Pool `json:"pool" doc:"Connections of all workers."`

	LastError   *fleet.Error `json:"last_error,omitempty"`
	LastSuccess *time.Time   `json:"last_success,omitempty"`
}

// destinations gathers what is known, by name: those of the plan, of the queue
// and of live processes.
func destinations(plan topology.Plan, view queuewatch.View, seen []fleet.Sighting) []Destination {
	by := map[string]*Destination{}
	of := func(name string) *Destination {
		if by[name] == nil {
			by[name] = &Destination{Name: name, Workers: []string{}, Lags: []queuewatch.Lag{}}
		}
		return by[name]
	}
	for _, d := range plan.Destinations {
		of(d.Name)
	}
	for _, l := range view.Lags {
		d := of(l.Destination)
		d.Lags = append(d.Lags, l)
	}
	for _, p := range seen {
		if p.State != fleet.Alive && p.State != fleet.IsLate {
			continue
		}
		for _, x := range p.Destinations {
			of(x.Name).add(p.ID, x)
		}
	}
	out := make([]Destination, 0, len(by))
	for _, d := range by {
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b Destination) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// add takes in what one worker tells.
func (d *Destination) add(worker string, x fleet.Destination) {
	d.Workers = append(d.Workers, worker)
	d.Protocol, d.Endpoints = x.Protocol, x.Endpoints
	d.InFlight += x.InFlight
	if rank(x.Breaker) > rank(d.Breaker) {
		d.Breaker, d.BreakerUntil = x.Breaker, x.BreakerUntil
	}
	if p := x.Pool; p != nil {
		d.Pool.Open += p.Open
		d.Pool.Ready += p.Ready
		d.Pool.InFlight += p.InFlight
		d.Pool.Waiting += p.Waiting
		d.Pool.Dials += p.Dials
		d.Pool.Calls += p.Calls
		d.Pool.Failures += p.Failures
	}
	if x.LastError != nil && (d.LastError == nil || x.LastError.At.After(d.LastError.At)) {
		d.LastError = x.LastError
	}
	if x.LastSuccess != nil && (d.LastSuccess == nil || x.LastSuccess.After(*d.LastSuccess)) {
		d.LastSuccess = x.LastSuccess
	}
}

// rank orders the states of a breaker from good to bad.
func rank(breaker string) int { return slices.Index([]string{"closed", "half_open", "open"}, breaker) }
