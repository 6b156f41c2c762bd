package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// How long a process that ended is kept to be seen, and how many at most.
const (
	keepStopped = time.Hour
	keepGone    = 24 * time.Hour
	keepEnded   = 100
)

// fold adds what processes told that ended long ago to the totals, and lets them
// leave the fleet once that is saved. Whatever dies in between, an account knows
// whom it has in its totals until that one is out of the fleet.
func (s *state) fold(processes []fleet.Sighting) {
	there := map[string]bool{}
	var ended []fleet.Sighting
	for _, p := range processes {
		there[p.ID] = true
		if p.State == fleet.Stopped || p.State == fleet.IsGone {
			ended = append(ended, p)
		}
	}
	for _, a := range s.accounts {
		a.v.removed(there)
	}
	s.gate.v.removed(there)
	slices.SortStableFunc(ended, func(a, b fleet.Sighting) int { return cmp.Compare(a.Age, b.Age) }) // the latest first
	for i, p := range ended {
		age := time.Duration(p.Age * float64(time.Second))
		if i < keepEnded && (p.State == fleet.Stopped && age < keepStopped || p.State == fleet.IsGone && age < keepGone) {
			continue
		}
		if seen := s.looks.v.Processes[p.ID]; p.State == fleet.IsGone && (seen == nil || !seen.Resolved && len(p.Tallies) > 0) {
			continue
		}
		if s.folding() > 0 && s.folding()+len(p.Tallies) > maxFolding {
			break
		}
		for _, a := range s.accounts {
			a.v.fold(p)
		}
		s.gate.v.fold(p)
		s.leave = append(s.leave, p)
	}
}

// maxFolding bounds the tallies of those who are in the totals and not out of the
// fleet yet, for an account has to fit in a value: more go at the next looks.
const maxFolding = 500

func (s *state) folding() (n int) {
	for _, a := range s.accounts {
		for _, tallies := range a.v.Folded {
			n += len(tallies)
		}
	}
	return n
}

// gateways is what gateways told that left the fleet.
type gateways struct {
	Total  map[string]Refused `json:"total"` // by signal
	Folded []string           `json:"folded,omitempty"`
	// Unrouted is what they took of signals that no destination takes.
	Unrouted map[string]uint64 `json:"unrouted,omitempty"`
}

func newGateways() gateways { return gateways{Total: map[string]Refused{}} }

// maxReasons that are told apart.
const maxReasons = 50

func (r *Refused) add(g *fleet.Gateway, signal string) {
	r.Signal = signal
	r.Answered += g.Accepted[signal]
	r.Duplicates += g.Duplicates[signal]
	reasons := map[string]uint64{} // r is a copy of another
	for reason, n := range r.Reasons {
		reasons[reason] = n
	}
	for reason, n := range g.Refused[signal] {
		if _, ok := reasons[reason]; !ok && len(reasons) >= maxReasons {
			reason = "other"
		}
		reasons[reason] += n
		r.Refused += n
	}
	r.Reasons = reasons
}

func (g *gateways) fold(p fleet.Sighting) {
	if p.Gateway == nil || slices.Contains(g.Folded, p.ID) {
		return
	}
	for _, s := range otlp.Signals {
		r := g.Total[s.String()]
		r.add(p.Gateway, s.String())
		g.Total[s.String()] = r
	}
	for signal, n := range p.Gateway.Unrouted {
		if g.Unrouted == nil {
			g.Unrouted = map[string]uint64{}
		}
		g.Unrouted[signal] += n
	}
	g.Folded = append(g.Folded, p.ID)
}

func (g *gateways) removed(there map[string]bool) {
	g.Folded = slices.DeleteFunc(g.Folded, func(id string) bool { return !there[id] })
}

// unrouted is that of all, by signal.
func (g *gateways) unrouted(processes []fleet.Sighting) map[string]uint64 {
	all := map[string]uint64{}
	for signal, n := range g.Unrouted {
		all[signal] += n
	}
	for _, p := range processes {
		if p.Gateway != nil && !slices.Contains(g.Folded, p.ID) {
			for signal, n := range p.Gateway.Unrouted {
				all[signal] += n
			}
		}
	}
	return all
}

// sum is that of all, by signal.
func (g *gateways) sum(processes []fleet.Sighting) []Refused {
	all := make([]Refused, 0, otlp.NumSignals)
	for _, s := range otlp.Signals {
		r := g.Total[s.String()]
		r.add(&fleet.Gateway{}, s.String())
		for _, p := range processes {
			if p.Gateway != nil && !slices.Contains(g.Folded, p.ID) {
				r.add(p.Gateway, s.String())
			}
		}
		all = append(all, r)
	}
	return all
}
