package app

import "sync/atomic"

// Phase is where in its life a process is.
type Phase int32

// The phases, in their order; a process never goes back.
const (
	Starting Phase = iota
	Ready
	Draining
	Stopped
)

func (p Phase) String() string {
	return [...]string{"starting", "ready", "draining", "stopped"}[p]
}

// State is a phase that many read and one App writes.
type State struct{ phase atomic.Int32 }

// Phase is where the process is now.
func (s *State) Phase() Phase { return Phase(s.phase.Load()) }

// Ready says whether the process wants new work.
func (s *State) Ready() bool { return s.Phase() == Ready }

// Started says whether the start is over, for a startup probe.
func (s *State) Started() bool { return s.Phase() != Starting }

// set moves forward only.
func (s *State) set(p Phase) {
	for {
		now := s.phase.Load()
		if now >= int32(p) || s.phase.CompareAndSwap(now, int32(p)) {
			return
		}
	}
}
