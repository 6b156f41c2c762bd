package ship

import (
	"maps"
	"slices"
)

// Progress is what is known of a record that is not done: which of its items
// were taken, which are dead, and which parts need not be tried as they are. The
// zero value knows nothing. It holds no payload and at most some hundred bytes
// for each export of its record. It is for one record and one call at a time.
type Progress struct {
	fates     fates
	refused   map[Range]Reason // parts of more than one item, not to be sent as they are
	limit     int              // bytes; smaller than all that was too large. 0: not known
	requests  int              // that were answered
	sampled   bool             // single items were tried
	hopeless  *Reason          // what was not decided is dead of
	last      Reason           // of a refusal
	delivered int
	rejected  int64
}

// Began tells whether items were taken or parts refused: the record is in parts.
func (p *Progress) Began() bool { return len(p.fates) > 0 || len(p.refused) > 0 }

// Size is the number of ranges that are remembered.
func (p *Progress) Size() int { return len(p.fates) + len(p.refused) }

// Delivered is the number of items taken so far, those not counted that the
// destination rejected of requests that it took.
func (p *Progress) Delivered() int { return p.delivered }

// Rejected is the number of items of partial successes so far.
func (p *Progress) Rejected() int64 { return p.rejected }

// Clone knows the same and shares nothing with p.
func (p *Progress) Clone() Progress {
	c := *p
	c.fates, c.refused = slices.Clone(p.fates), maps.Clone(p.refused)
	return c
}

// refuse notes that a part is not to be sent again as it is.
func (p *Progress) refuse(at Range, why Reason) {
	if p.refused == nil {
		p.refused = map[Range]Reason{}
	}
	p.refused[at] = why
	p.last = why
}

// whole is why the record was refused as it is, nil when it was not.
func (p *Progress) whole() *Reason {
	var widest Range
	var why *Reason
	for at, reason := range p.refused {
		if at.From == 0 && at.To > widest.To {
			widest, why = at, &reason
		}
	}
	return why
}

func (p *Progress) limitOr(n int) int {
	if p.limit == 0 {
		return n
	}
	return p.limit
}

func (p *Progress) lastOr(r Reason) *Reason {
	if p.last.Reason != "" {
		r = p.last
	}
	return &r
}

func (p *Progress) taken() bool {
	for _, f := range p.fates {
		if f.taken {
			return true
		}
	}
	return false
}
