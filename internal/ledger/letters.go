package ledger

import (
	"slices"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/fleet"
)

// letters is the account of the dead-letter stream, by what the letters say.
type letters struct {
	Counted uint64 `json:"counted_sequence"`
	// Written are first letters of items; a letter that a redrive writes again is
	// not, for its items are in the first one.
	Written map[cell]Sum `json:"written"`
	// Before is the part of Written that died before the ledger began.
	Before map[cell]Sum `json:"before,omitempty"`
	// Held is what the stream holds, as of Counted and of the last scan.
	Held map[cell]Sum `json:"held"`
	// Recorded are the sequences of letters that were told of as being removed.
	Recorded ranges       `json:"recorded,omitempty"`
	Purged   map[cell]Sum `json:"purged,omitempty"`
	Redriven map[cell]Sum `json:"redriven,omitempty"`
}

func newLetters() letters {
	return letters{Written: map[cell]Sum{}, Before: map[cell]Sum{}, Held: map[cell]Sum{}, Purged: map[cell]Sum{}, Redriven: map[cell]Sum{}}
}

// maxCells of letters that are told apart. All have to fit in a value, five times.
const maxCells = 1000

// cell of a letter; that of the others when there are too many.
func (l *letters) cell(i deadletter.Info) cell {
	c := cell{row{i.Destination, i.Signal}, i.Tenant}
	if _, ok := l.Written[c]; !ok && len(l.Written) >= maxCells {
		c.tenant = fleet.OtherTenants
	}
	return c
}

func sumOf(i deadletter.Info) Sum {
	s := Sum{Messages: 1, Bytes: uint64(max(i.RawBytes, 0))}
	if i.Items > 0 && i.Items <= maxItems {
		s.Items = uint64(i.Items)
	}
	return s
}

// add counts a letter that was read. before: the ledger begins with it.
func (l *letters) add(i deadletter.Info, before bool) {
	if i.Sequence <= l.Counted {
		return
	}
	l.Counted = i.Sequence
	c, s := l.cell(i), sumOf(i)
	l.Held[c] = l.Held[c].plus(s)
	if i.Redrives > 0 && !before {
		return
	}
	l.Written[c] = l.Written[c].plus(s)
	if before {
		l.Before[c] = l.Before[c].plus(s)
	}
}

// died is what the letters say of a row's items, since the ledger began.
func (l *letters) died(r row) (items uint64) {
	for c, s := range l.Written {
		if c.row == r {
			items += s.minus(l.Before[c]).Items
		}
	}
	return items
}

// of sums a map over the tenants of a row.
func of(m map[cell]Sum, r row) (s Sum) {
	for c, x := range m {
		if c.row == r {
			s = s.plus(x)
		}
	}
	return s
}

// dead is what is still to be found in the dead-letter stream.
func (l *letters) dead(c cell) uint64 {
	return l.Written[c].minus(l.Before[c]).minus(l.Purged[c].plus(l.Redriven[c])).Items
}

// lost is what should be in the stream and is not, by a scan.
func (l *letters) lost() (s Sum) {
	for c, w := range l.Written {
		gone := l.Purged[c].plus(l.Redriven[c])
		s.Items += w.minus(gone).minus(l.Held[c]).Items
	}
	return s
}

// messages is how many letters the stream is thought to hold.
func (l *letters) messages() (n uint64) {
	for _, s := range l.Held {
		n += s.Messages
	}
	return n
}

// record takes a note over, once. Letters in it that are newer than what was
// counted are left for later, which it tells. unseen tells which letters were gone
// when they should have been counted.
func (l *letters) record(n note, unseen func(seq uint64) bool) (later bool) {
	to := map[string]map[cell]Sum{notePurged: l.Purged, noteRedriven: l.Redriven}[n.Kind]
	if to == nil {
		return false
	}
	for _, x := range n.Letters {
		if x.Seq > l.Counted {
			return true
		}
	}
	for _, x := range n.Letters {
		if l.Recorded.has(x.Seq) {
			continue
		}
		l.Recorded.add(x.Seq)
		c := l.cell(deadletter.Info{Destination: x.Destination, Signal: x.Signal, Tenant: x.Tenant})
		if unseen(x.Seq) {
			l.Written[c] = l.Written[c].plus(Sum{Messages: 1, Items: x.Whole})
		}
		to[c] = to[c].plus(Sum{Messages: 1, Items: x.Items})
	}
	return false
}

// ranges is a set of sequences, as sorted ranges with both ends in.
type ranges [][2]uint64

// maxRanges bounds the set; the oldest are forgotten first.
const maxRanges = 4096

func (r ranges) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(r, seq, func(x [2]uint64, seq uint64) int {
		switch {
		case x[1] < seq:
			return -1
		case x[0] > seq:
			return 1
		}
		return 0
	})
}

func (r ranges) has(seq uint64) bool { _, ok := r.find(seq); return ok }

func (r *ranges) add(seq uint64) {
	i, ok := r.find(seq)
	if ok {
		return
	}
	all := *r
	left, right := i > 0 && all[i-1][1]+1 == seq, i < len(all) && all[i][0] == seq+1
	switch {
	case left && right:
		all[i-1][1] = all[i][1]
		all = slices.Delete(all, i, i+1)
	case left:
		all[i-1][1] = seq
	case right:
		all[i][0] = seq
	default:
		all = slices.Insert(all, i, [2]uint64{seq, seq})
	}
	if len(all) > maxRanges {
		all = slices.Delete(all, 0, len(all)-maxRanges)
	}
	*r = all
}

// below forgets what is before a sequence.
func (r *ranges) below(first uint64) {
	n := 0
	for n < len(*r) && (*r)[n][1] < first {
		n++
	}
	*r = slices.Delete(*r, 0, n)
}
