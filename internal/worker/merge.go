package worker

import (
	"errors"
	"slices"
	"strconv"

	"github.com/penstock-otel/penstock/internal/copies"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Bounds of merging. Larger messages fill a request well enough by themselves,
// and those that are shipped as they are stored have to gain more than what it
// costs to decompress and compress them.
const (
	maxMerge       = 1024
	mergeBytes     = 256 << 10
	mergeAsIsBytes = 16 << 10
)

// gather takes more messages that go out in one request with h: what lies in the
// reader already, neighbours in the stream, small, of one tenant and delivered
// for the first time. What has failed before goes alone. It waits for nothing.
// hs begins with h and is nil when there is no other.
func (l *lane) gather(reader queue.Consumer, h *held) (hs []*held) {
	room := l.to.limit.bytes()
	raw, ok := l.small(h)
	if !ok || h.send.probe {
		return nil
	}
	over := 0
	for room -= raw; max(len(hs), 1) < l.to.MergeMessages; {
		d, ok := reader.TryNext()
		if !ok {
			break
		}
		next := l.hold(d)
		if !l.wanted(next) {
			if over++; over > maxMerge || l.w.counts(l.to, l.signal) { // to look for others' wishes may take time
				l.left = next
				break
			}
			l.passOver(next)
			continue
		}
		raw, ok := l.small(next)
		if !ok || raw > room || next.Message().Header[record.HeaderTenant] != h.Message().Header[record.HeaderTenant] {
			l.left = next
			break
		}
		room -= raw
		next.lead = h
		next.send = sender{l: l, h: next, first: true}
		next.merged = true
		h.holders.Add(1)
		if hs == nil {
			hs = append(hs, h)
			h.merged = true
		}
		hs = append(hs, next)
	}
	return hs
}

// small tells whether a message may be merged, by its headers.
func (l *lane) small(h *held) (raw int, ok bool) {
	if h.Attempt() > 1 {
		return 0, false
	}
	header := h.Message().Header
	most := mergeBytes
	if c := header[record.HeaderCodec]; c != codec.None && c == l.to.Compression {
		most = mergeAsIsBytes
	}
	raw, err := strconv.Atoi(header[record.HeaderRawBytes])
	return raw, err == nil && raw >= 0 && raw <= most
}

// member is a message of a merged request.
type member struct {
	*held
	record *record.Record
}

// processMerged exports several deliveries as one request and settles each by
// its answer. The first has the claim.
func (l *lane) processMerged(hs []*held) {
	defer func() {
		for _, h := range hs {
			if !h.handed {
				h.rest()
				h.release()
			}
		}
	}()
	members := make([]member, 0, len(hs))
	raw, stored := 0, 0
	for _, h := range hs {
		if r, ok := l.read(h); ok {
			members = append(members, member{h, r})
			raw, stored = raw+r.RawBytes, stored+len(r.Body)
		}
	}
	if len(members) == 0 {
		return
	}
	room := 2 * raw // joined, and as the exporter encodes it
	if !l.w.routes.Load().of[l.to.at].whole() {
		room += 2 * raw // one as it is, and what is left of all
	}
	if err := hs[0].claim.takeBytes(l.w.work, room, stored); err != nil {
		for _, m := range members {
			l.giveUp(m.held)
		}
		return
	}
	members, raw = l.narrowAll(members)
	switch len(members) {
	case 0:
		return
	case 1:
		l.deliver(members[0].held, members[0].record)
		return
	}
	result, items, err := l.exportMerged(members, raw)
	var e *exporter.Error
	switch {
	case err == nil:
		l.mergedTaken(members, items, result)
		return
	case errors.As(err, &e) && e.Kind != exporter.Retryable:
		if !heldBack(e, raw, l.to.OnRefusal) {
			l.unmerge(members)
			return
		}
		err, _ = ship.Holds(e, raw)
	}
	for _, m := range members {
		l.settle(m.held, m.record, ship.Outcome{}, err)
	}
}

// narrowAll leaves what is wanted of each, and gives the bytes of it.
func (l *lane) narrowAll(members []member) (left []member, raw int) {
	left = members[:0]
	for _, m := range members {
		if r, ok := l.narrow(m.held, m.record); ok {
			left = append(left, member{m.held, r})
			raw += r.RawBytes
		}
	}
	return left, raw
}

// exportMerged joins the payloads, which is the encoding of the merged request.
func (l *lane) exportMerged(members []member, raw int) (result exporter.Result, items int, err error) {
	buf := l.to.buffer()
	defer l.to.joins.Put(buf)
	*buf = slices.Grow((*buf)[:0], raw)
	for _, m := range members {
		items += m.items
		if *buf, err = codec.Decode(*buf, m.record.Codec, m.record.Body, m.rawBytes); err != nil {
			// Alone it gets what it deserves.
			return result, 0, &exporter.Error{Kind: exporter.Permanent, Code: "undecodable", Err: err}
		}
	}
	copies.Count(copies.Decoded, len(*buf))
	l.to.metrics.merged.Add(float64(len(members)))
	first := members[0]
	result, err = first.send.Export(l.w.work, &exporter.Request{Signal: l.signal, Tenant: first.tenant, ID: first.record.ID,
		Items: items, RawBytes: len(*buf), Codec: codec.None, Body: *buf})
	return result, items, err
}

// mergedTaken settles all. The rejected of a partial success are of one tenant
// and signal, so that it does not matter whose they are.
func (l *lane) mergedTaken(members []member, items int, result exporter.Result) {
	rejected := min(max(result.Rejected, 0), int64(items))
	l.partial(rejected, items, result.Message)
	for _, m := range members {
		n := min(rejected, int64(m.items))
		rejected -= n
		l.took(m.held, ship.Outcome{Delivered: m.items - int(n), Rejected: n})
		l.delivered(m.held)
	}
}

// unmerge exports each alone, as it is: one of them is at fault, or all together
// are too large. What has to be cut comes last, so that it delays no other.
func (l *lane) unmerge(members []member) {
	var cut []member
	for i, m := range members {
		if l.to.throttle.holds() {
			for _, m := range members[i:] {
				l.postpone(m.held)
			}
			break
		}
		m.whole = true
		out, err := l.ship(m.held, m.record)
		if errors.Is(err, errApart) {
			cut = append(cut, m)
			continue
		}
		l.settle(m.held, m.record, out, err)
	}
	for _, m := range cut {
		m.whole = false
		if l.to.throttle.holds() {
			l.postpone(m.held)
			continue
		}
		l.deliver(m.held, m.record)
	}
}
