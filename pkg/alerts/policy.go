package alerts

import (
	"fmt"
	"slices"
	"time"
)

// While is the condition of a level.
type While string

// Unacked levels are for incidents that nobody has taken, Unresolved ones for all
// that go on.
const (
	Unacked    While = "unacked"
	Unresolved While = "unresolved"
)

// Level is one step of a policy.
type Level struct {
	// After counts from the start of the cycle, not from the level before.
	After   time.Duration `json:"after"`
	Targets []string      `json:"targets"` // receivers
	While   While         `json:"while"`
	// Active are time intervals in which the level is told; empty: always. One that
	// comes outside of them is told when the next begins, unless a later level was
	// told by then.
	Active []string `json:"active,omitempty"`
}

// Policy says who is told when nobody answers. An incident keeps the one that held
// when it began.
type Policy struct {
	Name string `json:"name"`
	// GroupBy are the labels by which alerts are one incident, "..." for all.
	GroupBy []string `json:"group_by"`
	Levels  []Level  `json:"levels,omitempty"`
	// Repeat is how many more times the levels are gone through; an ack that ends and
	// a worse severity begin the count anew.
	Repeat int `json:"repeat,omitempty"`
	// CycleFor is the length of a cycle; 0: the last level's After, and as long
	// again as between the last two.
	CycleFor time.Duration `json:"cycle_for,omitempty"`
	// AckTimeout opens an acked incident again that still goes on; 0: never.
	AckTimeout time.Duration `json:"ack_timeout,omitempty"`
	// Reopen is how long after its end an incident takes in what fires again.
	Reopen time.Duration `json:"reopen,omitempty"`
	// OnExhausted are told once when all is gone through.
	OnExhausted []string `json:"on_exhausted,omitempty"`
	// LowUrgency are severities that stay at the first level: they are told once, not
	// again, and are never exhausted.
	LowUrgency []Severity `json:"low_urgency,omitempty"`
}

// MaxLevels and MaxRepeat bound a policy.
const (
	MaxLevels = 20
	MaxRepeat = 100
)

// Validate says what is wrong with a policy.
func (p *Policy) Validate() error {
	switch {
	case p.Name == "":
		return fmt.Errorf("a policy has no name")
	case len(p.GroupBy) == 0:
		return fmt.Errorf("policy %s: group_by is empty: name labels, or \"...\" for all", p.Name)
	case slices.Contains(p.GroupBy, "...") && len(p.GroupBy) > 1:
		return fmt.Errorf("policy %s: group_by has \"...\" and labels: want one or the other", p.Name)
	case len(p.Levels) > MaxLevels:
		return fmt.Errorf("policy %s: has %d levels, want at most %d", p.Name, len(p.Levels), MaxLevels)
	case p.Repeat < 0 || p.Repeat > MaxRepeat:
		return fmt.Errorf("policy %s: repeat is %d, want 0 to %d", p.Name, p.Repeat, MaxRepeat)
	case p.AckTimeout < 0 || p.Reopen < 0 || p.CycleFor < 0:
		return fmt.Errorf("policy %s: ack_timeout %s, reopen %s and cycle_for %s must not be negative", p.Name, p.AckTimeout, p.Reopen, p.CycleFor)
	}
	for i, l := range p.Levels {
		switch {
		case l.After < 0 || i > 0 && l.After <= p.Levels[i-1].After:
			return fmt.Errorf("policy %s: level %d is after %s: want later than the level before, counted from the start", p.Name, i+1, l.After)
		case len(l.Targets) == 0:
			return fmt.Errorf("policy %s: level %d has no targets", p.Name, i+1)
		case l.While != Unacked && l.While != Unresolved:
			return fmt.Errorf("policy %s: level %d is while %q, want %s or %s", p.Name, i+1, l.While, Unacked, Unresolved)
		}
	}
	if n := len(p.Levels); n > 0 && p.Repeat > 0 && p.Cycle() <= p.Levels[n-1].After {
		return fmt.Errorf("policy %s: cycle_for is %s, want more than the %s of its last level", p.Name, p.CycleFor, p.Levels[n-1].After)
	}
	return nil
}

// Low tells whether incidents of a severity stay at the first level.
func (p *Policy) Low(s Severity) bool { return slices.Contains(p.LowUrgency, s) }

// leastCycle is the cycle of a policy whose only level is told at once.
const leastCycle = 5 * time.Minute

// Cycle is how long the levels are waited for before they begin again or are
// exhausted.
func (p *Policy) Cycle() time.Duration {
	n := len(p.Levels)
	switch {
	case p.CycleFor > 0:
		return p.CycleFor
	case n == 0:
		return 0
	case n == 1:
		return max(2*p.Levels[0].After, leastCycle)
	}
	return 2*p.Levels[n-1].After - p.Levels[n-2].After
}
