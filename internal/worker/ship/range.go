package ship

import (
	"cmp"
	"slices"

	"github.com/penstock-otel/penstock/internal/deadletter"
)

// Range is the items of a record from From to before To, counted from 0 in the
// order of the payload.
type Range struct{ From, To int }

// Items is their number.
func (r Range) Items() int { return r.To - r.From }

// Part names the range as a part of a dead letter. within is the part that the
// record itself is of its message, "" when it is the message.
func (r Range) Part(within string) string { return deadletter.Part(within, r.From, r.Items()) }

func (r Range) halves() (left, right Range) {
	middle := r.From + (r.Items()+1)/2
	return Range{r.From, middle}, Range{middle, r.To}
}

// Reason of the death of items, and the words of the exporter.
type Reason struct{ Reason, Code, Detail string }

// fate is what was decided of a range.
type fate struct {
	Range
	taken bool
	Reason
}

func (f fate) joins(g fate) bool {
	return f.To == g.From && f.taken == g.taken && f.Reason.Reason == g.Reason.Reason && f.Code == g.Code
}

// fates are sorted, apart, and joined where neighbours had the same.
type fates []fate

// add decides of a range that was not decided before.
func (f *fates) add(n fate) {
	i, _ := slices.BinarySearchFunc(*f, n, func(a, b fate) int { return cmp.Compare(a.From, b.From) })
	if i > 0 && (*f)[i-1].joins(n) {
		i--
		(*f)[i].To = n.To
	} else {
		*f = slices.Insert(*f, i, n)
	}
	if i+1 < len(*f) && (*f)[i].joins((*f)[i+1]) {
		(*f)[i].To = (*f)[i+1].To
		*f = slices.Delete(*f, i+1, i+2)
	}
}

// decided tells how many items of a range are.
func (f fates) decided(r Range) (n int) {
	for _, x := range f {
		n += max(0, min(x.To, r.To)-max(x.From, r.From))
	}
	return n
}

// rest are the ranges of all that are not decided.
func (f fates) rest(all Range) (out []Range) {
	at := all.From
	for _, x := range f {
		if x.From > at {
			out = append(out, Range{at, x.From})
		}
		at = x.To
	}
	if at < all.To {
		out = append(out, Range{at, all.To})
	}
	return out
}
