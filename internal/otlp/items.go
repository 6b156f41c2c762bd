package otlp

import "iter"

// Item is a span, a data point or a log record of a request, with what is around
// it, in the bytes of the request.
type Item struct {
	sig   Signal
	raw   rawField
	depth int                 // levels around it, the request not counted
	in    [maxLevels]rawField // what it lies in, by level; [0] is not used
}

// Items lists the items of a request that Check has accepted, as a decoder holds
// them and in their order, with one allocation for all. They are of use as long
// as b is unchanged, and the Item itself until the next one.
func Items(sig Signal, b []byte) iter.Seq[*Item] {
	return func(yield func(*Item) bool) {
		it := Item{sig: sig, depth: len(cuts[sig]) - 1}
		it.walk(0, b, yield)
	}
}

// walk yields the items of body, a message of the level; false when that was
// enough.
func (it *Item) walk(level int, body []byte, yield func(*Item) bool) bool {
	dead := 0
	if it.sig == Metrics && level == dataLevel {
		dead = deadData(body)
	}
	for f := range fields(body) {
		switch {
		case !f.in(cuts[it.sig][level]):
		case dead > 0:
			dead--
		case level == it.depth:
			it.raw = f
			if !yield(it) {
				return false
			}
		default:
			it.in[level+1] = f
			if !it.walk(level+1, f.value, yield) {
				return false
			}
		}
	}
	return true
}

// itemAttributes are the numbers of the attributes of an item; of a point, by
// the number of the data in the metric.
var (
	itemAttributes  = [NumSignals]uint32{Traces: 9, Logs: 6}
	pointAttributes = [maxNumber + 1]uint32{5: 7, 7: 7, 9: 9, 10: 1, 11: 7}
)

// Resource are the attributes of the item's resource.
func (it *Item) Resource() Attributes { return resourceAttributes(it.in[1].value) }

// Attributes are those of the item.
func (it *Item) Attributes() Attributes {
	num := itemAttributes[it.sig]
	if it.sig == Metrics {
		num = pointAttributes[it.in[maxLevels-1].tag>>3]
	}
	return Attributes{body: it.raw.value, list: 1 << num}
}

// Time is the event time in Unix nanoseconds, that of Filter; 0 when the item
// has none.
func (it *Item) Time() uint64 { return itemTime(it.sig, it.raw.value) }

// AppendRequest appends a request that holds the item alone, with its resource,
// its scope and, for a point, the rest of its metric: of data that lies there in
// several pieces, that of the point's piece.
func (it *Item) AppendRequest(dst []byte) []byte { return it.appendLevel(dst, 1) }

func (it *Item) appendLevel(dst []byte, level int) []byte {
	if level > it.depth {
		return append(dst, it.raw.raw...)
	}
	f := it.in[level]
	at := len(appendVarint(dst, f.tag))
	room := sizeVarint(uint64(len(f.value)))
	dst = append(appendVarint(dst, f.tag), make([]byte, room)...)
	for g := range fields(f.value) {
		if !g.in(cuts[it.sig][level]) {
			dst = append(dst, g.raw...)
		}
	}
	return closeLength(it.appendLevel(dst, level+1), at, room)
}
