package sample

import (
	"math/bits"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Shape says whose telemetry a Generator makes and how it is grouped.
type Shape struct {
	// Source is the upper part of every identity, from 1 to MaxSource; 0 is
	// taken as 1. Two generators whose items meet must differ in it.
	Source uint32
	// Resources is the number of pods that one request of traces or logs
	// speaks for: 1 is an SDK, more is an agent. 0: 1. Requests with fewer
	// items than that speak for fewer.
	Resources int
	// PointIDs puts the attribute PointIDKey with the identity on every metric
	// point: 32 bytes more, and a new series each time, so not for a real
	// metrics backend.
	PointIDs bool
	// Story is what traces tell.
	Story Story
}

// Generator makes requests of one source. Not safe for concurrent use; making
// another is cheap.
type Generator struct {
	shape   Shape
	r       rng
	next    uint64
	pod     int    // the next resource
	trace   trace  // under way
	metrics cursor // the next point
	first   uint64 // ns: when cumulative series began
	picked  []*template
}

// trace is the trace that the next spans and log records belong to. A zero hi
// says there is none.
type trace struct{ hi, lo, parent uint64 }

// New gives a Generator whose output depends on seed, shape and what it is
// asked for, and on nothing else.
func New(seed uint64, shape Shape) *Generator {
	if shape.Source == 0 {
		shape.Source = 1
	}
	if shape.Resources < 1 {
		shape.Resources = 1
	}
	g := &Generator{shape: shape, r: rng(scramble(seed) + uint64(shape.Source))}
	g.pod = g.r.below(len(pool()))
	g.metrics.pod = g.pod
	return g
}

// Next is the sequence of the first item of the next request: a request of n
// items holds the sequences Next() to Next()+n-1.
func (g *Generator) Next() uint64 { return g.next }

// Source is the source of all identities.
func (g *Generator) Source() uint32 { return g.shape.Source }

// Append adds one encoded Export*ServiceRequest with that many spans, log
// records or metric points, seen at now. dst belongs to the caller. With no
// items nothing is added, which is the empty request.
func (g *Generator) Append(dst []byte, sig otlp.Signal, items int, now time.Time) []byte {
	if items <= 0 {
		return dst
	}
	if sig == otlp.Metrics {
		return g.appendMetrics(dst, items, uint64(now.UnixNano()))
	}
	if sig == otlp.Traces && g.shape.Story != Shop {
		return g.appendStory(dst, items, uint64(now.UnixNano()))
	}
	blocks := min(g.shape.Resources, items)
	for i := range blocks {
		n := items / blocks
		if i < items%blocks {
			n++
		}
		dst = g.appendBlock(dst, sig, n, uint64(now.UnixNano()))
	}
	return dst
}

// appendBlock adds one ResourceSpans or ResourceLogs with n items.
func (g *Generator) appendBlock(dst []byte, sig otlp.Signal, n int, now uint64) []byte {
	src := g.nextPod()
	g.picked = g.picked[:0]
	size := 0
	left := 0 // spans that the trace under way still gets
	for range n {
		t := g.pick(src, sig, &left)
		g.picked = append(g.picked, t)
		size += len(t.b)
	}
	dst = openBlock(dst, src, size)
	g.trace = trace{}
	for _, t := range g.picked {
		at := len(dst)
		dst = append(dst, t.b...)
		g.patch(dst[at:], t, now)
	}
	return append(dst, blockTail...)
}

// nextPod is whose telemetry the next block is.
func (g *Generator) nextPod() *source {
	src := &pool()[g.pod]
	g.pod = (g.pod + 7) % len(pool()) // 7 and 24 share no factor: every pod gets its turn
	return src
}

// openBlock adds what comes before the items of a block, which are size bytes.
func openBlock(dst []byte, src *source, size int) []byte {
	inner := len(src.scope) + size
	dst = append(dst, tagRepeated)
	dst = appendLen(dst, len(src.resource)+1+sizeVarint(inner)+inner+len(blockTail))
	dst = append(dst, src.resource...)
	dst = append(dst, tagInner)
	dst = appendLen(dst, inner)
	dst = append(dst, src.scope...)
	return dst
}

// blockTail is the schema_url of Resource{Spans,Logs,Metrics}.
var blockTail = appendString(nil, 3, schemaURL)

// pick chooses a template. Spans come as traces: a server span, then what it
// called.
func (g *Generator) pick(src *source, sig otlp.Signal, left *int) *template {
	if sig == otlp.Logs {
		return &src.logs[g.r.below(len(src.logs))]
	}
	if *left == 0 {
		*left = 3 + g.r.below(7)
		return &src.spans.roots[g.r.below(len(src.spans.roots))]
	}
	*left--
	return &src.spans.children[g.r.below(len(src.spans.children))]
}

// patch makes an item of its own of a copied template.
func (g *Generator) patch(b []byte, t *template, now uint64) {
	id := scramble(ID(g.shape.Source, g.next))
	g.next++
	r := g.r.next()
	if t.root || g.trace.hi == 0 || t.parent == 0 && r>>62 == 0 {
		g.trace = trace{hi: g.r.next() | 1, lo: g.r.next(), parent: g.r.next() | 1}
	}
	stamp(b, t, id, r, g.trace, now)
	if t.root || r>>62 == 1 {
		g.trace.parent = id // what follows was called by this one
	}
}

// stamp writes ids, times and the digits that vary. r is a fresh random number.
func stamp(b []byte, t *template, id, r uint64, tr trace, now uint64) {
	putID(b, t.trace, tr.hi)
	putID(b, t.trace+8, tr.lo)
	putID(b, t.span, id)
	if t.parent != 0 {
		putID(b, t.parent, tr.parent)
	}
	took := t.took>>1 + mulHigh(r, t.took)
	start := now - took - r>>44 // up to a millisecond ago
	put64(b, t.start, start)
	put64(b, t.end, start+took)
	if t.event != 0 {
		put64(b, t.event, start+took>>1)
	}
	for i, at := range t.hex {
		if at != 0 {
			putHex(b, at, uint32(r>>(8*i))^uint32(id))
		}
	}
}

// mulHigh scales r, taken as a fraction of 1<<64, to [0, n).
func mulHigh(r, n uint64) uint64 {
	hi, _ := bits.Mul64(r, n)
	return hi
}

func appendLen(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}
