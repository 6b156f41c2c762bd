package otlp

// MetricKind is the kind of a metric's data.
type MetricKind uint8

// The kinds, in the order of their numbers in Metric.data.
const (
	NoData MetricKind = iota // a metric without data, or of a kind made later
	Gauge
	Sum
	Histogram
	ExponentialHistogram
	Summary
)

// MetricHead is what a metric is, without its points. Name and Unit lie in the
// request: whoever keeps them copies them.
type MetricHead struct {
	Name, Unit []byte
	Kind       MetricKind
	// Monotonic is of a Sum; Delta of a Sum and the two histograms.
	Monotonic, Delta bool
}

// KeepMetrics appends to dst the request b with those metrics alone for which
// keep is true, and tells how many metrics it kept and left. It calls keep once
// for each metric, in order, with what decoders would find in it. Nothing is
// allocated beyond the room in dst, which shares no memory with b.
//
// A scope without a metric that is kept is left out, and so is a resource without
// such a scope. All that is kept has its bytes, order and unknown fields; only the
// lengths of what surrounds something left out are written anew. With kept 0
// nothing is appended.
//
// b is one that Check has accepted. Of other bytes it reads up to the first field
// that is not whole, in each message, and copies the rest of that message no more.
func KeepMetrics(dst, b []byte, keep func(MetricHead) bool) (out []byte, kept, left int) {
	k := keeper{keep: keep}
	mark := len(dst)
	if dst = k.write(dst, 0, b); k.kept == 0 {
		dst = dst[:mark]
	}
	return dst, k.kept, k.left
}

// keeper is one KeepMetrics.
type keeper struct {
	keep       func(MetricHead) bool
	kept, left int
}

// metricLevel is the level of the messages whose children are metrics.
const metricLevel = 2

// write appends what is kept of body, a message of the level.
func (k *keeper) write(dst []byte, level int, body []byte) []byte {
	children := cuts[Metrics][level]
	for f := range fields(body) {
		switch {
		case !f.in(children):
			dst = append(dst, f.raw...)
		case level < metricLevel:
			dst = k.child(dst, level+1, f)
		case k.keep(metricHead(f.value)):
			dst = append(dst, f.raw...)
			k.kept++
		default:
			k.left++
		}
	}
	return dst
}

// child appends what is kept of f, a message of the level, with its tag and
// length, or nothing when no metric of it is.
func (k *keeper) child(dst []byte, level int, f rawField) []byte {
	mark, before := len(dst), k.kept
	dst = appendVarint(dst, f.tag)
	at := len(dst)
	room := sizeVarint(uint64(len(f.value))) // it only becomes shorter
	dst = append(dst, make([]byte, room)...)
	if dst = k.write(dst, level, f.value); k.kept == before {
		return dst[:mark]
	}
	if len(dst)-at-room == len(f.value) { // nothing left out: as it was, whatever the form of its length
		return append(dst[:mark], f.raw...)
	}
	return closeLength(dst, at, room)
}

// kindOf is by the number of the field in Metric.
var kindOf = [maxNumber + 1]MetricKind{5: Gauge, 7: Sum, 9: Histogram, 10: ExponentialHistogram, 11: Summary}

// Fields of Sum and of the histograms.
const (
	tagTemporality = 2 << 3
	tagMonotonic   = 3 << 3 // Sum alone
	deltaNumber    = 1      // AGGREGATION_TEMPORALITY_DELTA
)

// metricHead reads a Metric as decoders merge it: the last name and unit, and of
// the data the member that comes last with what its pieces say last.
func metricHead(metric []byte) (h MetricHead) {
	for f := range fields(metric) {
		switch {
		case f.in(1 << 1):
			h.Name = f.value
		case f.in(1 << 3):
			h.Unit = f.value
		case f.in(cuts[Metrics][dataLevel]):
			if kind := kindOf[f.tag>>3]; kind != h.Kind {
				h.Kind, h.Monotonic, h.Delta = kind, false, false
			}
			if h.Kind != Gauge && h.Kind != Summary {
				h.data(f.value)
			}
		}
	}
	return h
}

// data reads the fields beside the points, which are passed over.
func (h *MetricHead) data(body []byte) {
	for f := range fields(body) {
		switch f.tag {
		case tagTemporality:
			v, _ := varint(f.value, 0, len(f.value))
			h.Delta = int32(v) == deltaNumber
		case tagMonotonic:
			v, _ := varint(f.value, 0, len(f.value))
			h.Monotonic = h.Kind == Sum && v != 0
		}
	}
}
