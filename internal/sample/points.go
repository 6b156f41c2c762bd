package sample

import (
	"math"
	"time"
)

// cursor is the next point: every pod has every instrument and every instrument
// its series, and requests go through them in that order, round and round.
type cursor struct{ pod, metric, point int }

// run is a stretch of points of one metric of one pod in a request.
type run struct {
	m        *metric
	from, to int
}

// size is the encoded length of the data field's content.
func (u run) size() int {
	n := len(u.m.tail)
	for _, p := range u.m.points[u.from:u.to] {
		n += len(p.b)
	}
	return n
}

func (g *Generator) catalogue() []metric {
	if g.shape.PointIDs {
		return metricsIDs()
	}
	return metricsPlain()
}

// appendMetrics adds ResourceMetrics with n points in all.
func (g *Generator) appendMetrics(dst []byte, n int, now uint64) []byte {
	if g.first == 0 {
		g.first = now - uint64(time.Hour)
	}
	all := g.catalogue()
	var room [32]run
	for n > 0 {
		runs := room[:0]
		pod := g.metrics.pod
		for n > 0 && g.metrics.pod == pod {
			m := &all[g.metrics.metric]
			take := min(n, len(m.points)-g.metrics.point)
			runs = append(runs, run{m, g.metrics.point, g.metrics.point + take})
			n -= take
			g.metrics.advance(take, all)
		}
		dst = g.appendPod(dst, pod, runs, now)
	}
	return dst
}

func (c *cursor) advance(n int, all []metric) {
	if c.point += n; c.point < len(all[c.metric].points) {
		return
	}
	c.point = 0
	if c.metric++; c.metric < len(all) {
		return
	}
	c.metric = 0
	c.pod = (c.pod + 1) % len(pool())
}

// meter is field 1 of ScopeMetrics.
var meter = appendBytes(nil, 1, appendString(appendString(nil, 1, "shop/telemetry"), 2, "2.4.0"))

func (g *Generator) appendPod(dst []byte, pod int, runs []run, now uint64) []byte {
	src := &pool()[pod]
	// What tells the series of this pod and source from those of others.
	self := uint64(g.shape.Source)<<32 | uint64(pod)<<16
	inner := len(meter)
	for _, u := range runs {
		data := u.size()
		body := len(u.m.head) + 1 + sizeVarint(data) + data
		inner += 1 + sizeVarint(body) + body
	}
	dst = append(dst, tagRepeated)
	dst = appendLen(dst, len(src.resource)+1+sizeVarint(inner)+inner+len(blockTail))
	dst = append(dst, src.resource...)
	dst = append(dst, tagInner)
	dst = appendLen(dst, inner)
	dst = append(dst, meter...)
	for _, u := range runs {
		data := u.size()
		dst = append(dst, tagInner)
		dst = appendLen(dst, len(u.m.head)+1+sizeVarint(data)+data)
		dst = append(dst, u.m.head...)
		dst = append(dst, u.m.tag)
		dst = appendLen(dst, data)
		for i := range u.m.points[u.from:u.to] {
			p := &u.m.points[u.from+i]
			at := len(dst)
			dst = append(dst, p.b...)
			g.patchPoint(dst[at:], p, scramble(self|p.series), now)
		}
		dst = append(dst, u.m.tail...)
	}
	return append(dst, blockTail...)
}

// patchPoint gives a copied point its time, identity and value. Cumulative
// series grow with time, each at a pace of its own that series stands for, so
// they never go back while now does not.
func (g *Generator) patchPoint(b []byte, p *point, series, now uint64) {
	if p.id != 0 {
		putID(b, p.id, scramble(ID(g.shape.Source, g.next)))
	}
	g.next++
	put64(b, p.start, g.first)
	put64(b, p.time, now)
	pace := p.mid * (0.5 + float64(series>>11)/(1<<53))
	age := float64(now-g.first) / float64(time.Second)
	switch {
	case p.buckets != 0:
		patchHistogram(b, p, pace*age)
		return
	case p.counter:
		pace *= age
	default:
		pace *= 0.8 + 0.4*float64(g.r.next()>>11)/(1<<53)
	}
	if p.ints {
		put64(b, p.value, uint64(int64(pace)))
	} else {
		put64(b, p.value, math.Float64bits(pace))
	}
}

// shares of requests in each bucket, and the mean of each, s.
var (
	shares = [...]float64{0.03, 0.12, 0.25, 0.27, 0.2, 0.08, 0.03, 0.01, 0.006, 0.003, 0.001}
	means  = [...]float64{0.003, 0.008, 0.018, 0.035, 0.07, 0.15, 0.33, 0.7, 1.6, 3.4, 7}
)

// patchHistogram spreads that many events over the buckets.
func patchHistogram(b []byte, p *point, events float64) {
	var count uint64
	var total float64
	for i, share := range shares {
		n := uint64(events * share)
		put64(b, p.buckets+int32(8*i), n)
		count += n
		total += float64(n) * means[i]
	}
	put64(b, p.count, count)
	put64(b, p.sum, math.Float64bits(total))
}
