package ledger

import (
	"slices"

	"github.com/penstock-otel/penstock/internal/fleet"
)

// looks is how the present differs from what was told: which look at the floors
// everything that was told is at least as new as, and what cannot be explained.
type looks struct {
	N         uint64               `json:"n"`
	Ring      []snapshot           `json:"ring"` // oldest first
	Processes map[string]*seen     `json:"processes"`
	Rows      map[row]*differences `json:"rows"`
	// Broken are streams that went back; an alarm until an operator knows of it.
	Broken []string `json:"broken,omitempty"`
	// Forgave is the revision of the operator's word that was taken over last.
	Forgave uint64 `json:"forgave,omitempty"`

	// Of one look: those who were resolved, and what was explained before that.
	fresh  []*seen
	before map[row]uint64
}

// snapshot is what was settled of each row at a look.
type snapshot struct {
	N       uint64         `json:"n"`
	Settled map[row]uint64 `json:"settled"`
}

// seen is when a process was last heard of.
type seen struct {
	Revision uint64 `json:"revision"`
	N        uint64 `json:"n"` // look at which that revision was seen first
	// Resolved: it died without a word, and may not have told of this.
	Resolved bool           `json:"resolved,omitempty"`
	Explains map[row]uint64 `json:"explains,omitempty"`
}

// differences of a row between what the queue has settled and what was told.
type differences struct {
	// Explained may be settled and never told of, because of processes that died
	// and are forgotten.
	Explained uint64 `json:"explained,omitempty"`
	// Twice was told of by two.
	Twice uint64 `json:"twice,omitempty"`
	// Missing was found missing when all was quiet.
	Missing uint64 `json:"missing,omitempty"`
	// Forgiven was missing, and an operator knows why.
	Forgiven uint64 `json:"forgiven,omitempty"`
	// Evidence is how much somebody else than the janitor took at most, before
	// the destination is known to have had it.
	Evidence uint64 `json:"evidence,omitempty"`
}

func newLooks() looks {
	return looks{Processes: map[string]*seen{}, Rows: map[row]*differences{}}
}

// maxRing bounds the ring.
const maxRing = 64

// margin of looks: what a process told at a look it may have gathered before the
// look before, and written since.
const margin = 2

func (l *looks) row(r row) *differences {
	if l.Rows[r] == nil {
		l.Rows[r] = &differences{}
	}
	return l.Rows[r]
}

// begin is a new look, at which this was settled.
func (l *looks) begin(settled map[row]uint64) {
	l.N++
	l.Ring = append(l.Ring, snapshot{l.N, settled})
}

// at is the last snapshot that is no newer than look n.
func (l *looks) at(n uint64) (snapshot, bool) {
	for i := len(l.Ring) - 1; i >= 0; i-- {
		if l.Ring[i].N <= n {
			return l.Ring[i], true
		}
	}
	return snapshot{}, false
}

// listen takes note of who has told something new, and resolves who has died. It
// returns the look of which everything that was settled has been told, or is
// explained.
//
// lags: not all is counted yet, so that most is not known, and nobody is resolved.
func (l *looks) listen(processes []fleet.Sighting, most map[row]uint64, lags bool) (told uint64) {
	there := map[string]bool{}
	told = less(l.N, margin)
	l.before, l.fresh = map[row]uint64{}, nil
	for _, p := range processes {
		there[p.ID] = true
		s := l.Processes[p.ID]
		if s == nil {
			s = &seen{}
			l.Processes[p.ID] = s
		}
		if s.Revision != p.Revision { // also one that was taken for dead
			*s = seen{Revision: p.Revision, N: l.N}
		}
		switch {
		case p.State == fleet.Stopped || s.Resolved:
		case p.State == fleet.Alive:
			told = min(told, less(s.N, margin))
		case len(p.Tallies) == 0 && len(p.Destinations) == 0: // exports nothing
		case l.N-s.N < margin || lags:
			told = min(told, less(s.N, margin))
		default:
			l.resolve(s, p, most)
		}
	}
	for id, s := range l.Processes {
		if there[id] {
			continue
		}
		for r, n := range s.Explains {
			l.row(r).Explained += n
		}
		delete(l.Processes, id)
	}
	l.trim(told)
	return told
}

// resolve takes a process for dead: of what was settled from its last word until
// now it may have settled all, without telling. most is what can be settled by
// now, also above the floors.
func (l *looks) resolve(s *seen, p fleet.Sighting, most map[row]uint64) {
	own := map[string]bool{}
	for _, d := range p.Destinations {
		own[d.Name] = true
	}
	for _, t := range p.Tallies {
		own[t.Destination] = true
	}
	before, _ := l.at(less(s.N, margin))
	s.Resolved, s.Explains = true, map[row]uint64{}
	for r, n := range most {
		d := less(n, before.Settled[r])
		if d == 0 || !own[r.destination] {
			continue
		}
		if _, known := l.before[r]; !known {
			l.before[r] = l.explained(r)
		}
		s.Explains[r] = d
	}
	l.fresh = append(l.fresh, s)
}

// bound takes back what those who were resolved at this look cannot have kept to
// themselves: all together, no more than what is settled at most and not counted.
func (l *looks) bound(r row, uncounted int64) {
	before, resolved := l.before[r]
	if !resolved {
		return
	}
	over := less(l.explained(r), max(before, uint64(max(0, uncounted))))
	for _, s := range l.fresh {
		n := min(over, s.Explains[r])
		if s.Explains[r] -= n; s.Explains[r] == 0 {
			delete(s.Explains, r)
		}
		over -= n
	}
}

// explained is what may be settled and never told of.
func (l *looks) explained(r row) uint64 {
	n := l.row(r).Explained
	for _, s := range l.Processes {
		n += s.Explains[r]
	}
	return n
}

// explainedIs makes the explanation what it was found to be.
func (l *looks) explainedIs(r row, n uint64) {
	for _, s := range l.Processes {
		delete(s.Explains, r)
	}
	l.row(r).Explained = n
}

// trim keeps the snapshots that are still needed: those since a look, and the one
// before it.
func (l *looks) trim(since uint64) {
	n := 0
	for n+1 < len(l.Ring) && l.Ring[n+1].N <= since {
		n++
	}
	l.Ring = slices.Delete(l.Ring, 0, n)
	if over := len(l.Ring) - maxRing; over > 0 { // the one that is waited for stays
		l.Ring = slices.Delete(l.Ring, 1, 1+over)
	}
}

// judge compares what was settled at the look that all have told of with what is
// counted by now, and returns what is missing. most is what can be settled by now.
// whole: all that was accepted is settled, and nothing has changed since that
// look; then what differs is what it will always be.
func (l *looks) judge(r row, old, now, most, counted uint64, whole bool) (missing uint64) {
	d := l.row(r)
	count := int64(counted) + int64(d.Missing+d.Forgiven) - int64(d.Twice)
	l.bound(r, int64(most)-count)
	raw := int64(old) - count
	explained := int64(l.explained(r))
	excess := max(0, raw-explained, min(int64(d.Evidence), raw))
	if whole && now == old {
		if excess > 0 {
			d.Missing += uint64(excess)
			raw -= excess
		}
		d.Evidence = 0
		if raw >= 0 {
			l.explainedIs(r, uint64(raw))
		} else {
			l.explainedIs(r, 0)
			d.Twice += uint64(-raw)
		}
		return d.Missing
	}
	return d.Missing + uint64(excess)
}

func less(a, b uint64) uint64 { return a - min(a, b) }
