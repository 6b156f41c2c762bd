package worker

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// mostItems is what a header may claim for the ledger to believe it.
const mostItems = 1 << 31

// wanted decides by the headers of a delivery, before it has a slot. What is decided
// already goes its way: a message that waits for its acknowledgement, or of which
// letters are written. So does one of a newer version, whose headers may say
// something else.
func (l *lane) wanted(h *held) bool {
	now := l.w.routes.Load()
	if len(now.of[l.to.at].tenants) == 0 && l.w.o.Allows == nil {
		return true
	}
	header := h.Message().Header
	return l.w.wants(now, l.to, header[record.HeaderTenant]) || h.past.done || h.past.buried > 0 || newer(header[record.HeaderVersion])
}

func newer(version string) bool {
	n, err := strconv.Atoi(version)
	return err == nil && n > record.Version
}

// fleeting is the part of the ack wait that passing over may take for it to count as
// no wait: as much for each of the 64 that a reader holds leaves the next one two
// thirds of its own. It takes longer when the payload has to be read and other exports
// have the bytes, or an acknowledgement is not confirmed.
const fleeting = 200

// passOver settles a delivery that is not wanted. It neither waits for a slot nor
// for a destination that is left alone, and says nothing of it: it is no export.
func (l *lane) passOver(h *held) {
	began := time.Now()
	defer func() { l.note(time.Since(began) > time.Duration(l.w.o.Config.AckWait)/fleeting) }()
	header := h.Message().Header
	h.tenant = header[record.HeaderTenant]
	if n, err := strconv.Atoi(header[record.HeaderItems]); err == nil && n > 0 && n <= mostItems {
		h.items = n
	}
	taken := h.past.delivered + h.past.rejected
	h.unwanted = max(0, h.items-taken)
	if taken == 0 {
		h.unrouted = l.unroutedWhole(h)
	}
	l.passed(h)
}

// passed ends a delivery of which nothing is wanted.
func (l *lane) passed(h *held) { l.settled(h, 0) }

// unroutedWhole is how many items of a message that is not wanted here nobody
// wants. Only when the others have conditions it has to be read for that.
func (l *lane) unroutedWhole(h *held) int {
	if !l.w.counts(l.to, l.signal) {
		return 0
	}
	var room [8]*route
	others, all := l.w.elsewhere(room[:0], l.w.routes.Load(), l.to, l.signal, h.tenant)
	switch {
	case all || l.strangers.there(l):
		return 0
	case len(others) == 0:
		return h.unwanted
	}
	r, err := record.Decode(h.Message())
	if err != nil {
		return 0 // somebody may want what cannot be read
	}
	claim := claim{s: l.to.slots}
	if err := claim.takeBytes(l.w.work, r.RawBytes, len(r.Body)); err != nil {
		return 0
	}
	defer l.to.slots.bytes.Release(claim.bytes)
	buf := l.to.buffer()
	defer l.to.joins.Put(buf)
	if *buf, err = codec.Decode((*buf)[:0], r.Codec, r.Body, l.most(r)); err != nil {
		return 0
	}
	if _, err := otlp.Check(l.signal, *buf, otlp.CheckOptions{RejectUTF8: true}); err != nil {
		return 0
	}
	return min(unrouted(l.signal, *buf, nil, others), h.unwanted)
}

// unrouted counts the items of the resources that neither own nor one of the
// others takes. own is nil where nothing is taken.
func unrouted(s otlp.Signal, b []byte, own *route, others []*route) (items int) {
	for r := range otlp.Resources(s, b) {
		a := r.Attributes()
		if own != nil && own.where.Resource.Match(a) || slices.ContainsFunc(others, func(o *route) bool { return o.where.Resource.Match(a) }) {
			continue
		}
		items += r.Items()
	}
	return items
}

// strangersKept is how long it is believed who else drains a stream.
const strangersKept = 30 * time.Second

// strangers are destinations of other workers' configurations that drain the same
// stream: what they want is not known here, so nothing is called unrouted.
type strangers struct {
	mu     sync.Mutex
	at     time.Time // mu
	answer bool      // mu
}

func (x *strangers) there(l *lane) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.at.IsZero() && time.Since(x.at) < strangersKept {
		return x.answer
	}
	ctx, cancel := context.WithTimeout(l.w.work, firstsOnly)
	defer cancel()
	st, err := l.w.o.Queue.StreamState(ctx, l.stream)
	if err != nil {
		return true // what is not known is not claimed
	}
	x.at = time.Now()
	x.answer = slices.ContainsFunc(st.Consumers, func(c string) bool {
		return topology.IsDurable(c) && !slices.ContainsFunc(l.w.destinations, func(to *destination) bool { return topology.Durable(to.Name) == c })
	})
	return x.answer
}
