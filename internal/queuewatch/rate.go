package queuewatch

import (
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Counter knows the items of streams; internal/ledger has one. Bytes are of
// payload before compression. ok is false for a stream of which it knows nothing.
// It is safe for concurrent use.
type Counter interface {
	// Total is what was ever stored on a stream, as far as it was counted. It only
	// rises.
	Total(stream string) (items, bytes uint64, ok bool)
	// Between is what lies above a sequence and up to another.
	Between(stream string, above, upTo uint64) (items, bytes uint64, exact, ok bool)
}

// Count makes the view tell items too. nil: messages alone.
func (w *Watch) Count(c Counter) {
	w.turn <- struct{}{}
	defer w.give()
	w.items = c
}

// smoothing is the weight of the newest rate.
const smoothing = 0.5

// pace is how fast two counts rise.
type pace struct {
	at       time.Time
	messages count
	items    count
}

// count is one of them.
type count struct {
	known bool
	n     float64
	rate  float64
	rated bool
}

// see takes the count as it is, so many seconds after it was seen before.
func (c *count) see(n float64, seconds float64) {
	if c.known && seconds > 0 {
		rate := max(0, n-c.n) / seconds
		if c.rated {
			rate = c.rate + smoothing*(rate-c.rate)
		}
		c.rate, c.rated = rate, true
	}
	c.known, c.n = true, n
}

// since is how long ago the last look was.
func (p *pace) since(at time.Time) (seconds float64) {
	if !p.at.IsZero() {
		seconds = at.Sub(p.at).Seconds()
	}
	p.at = at
	return seconds
}

// stream is what is told of one, with the rate at which it fills.
func (w *Watch) stream(at time.Time, st queue.StreamState) Stream {
	s := Stream{Name: st.Name, Messages: st.Messages, Bytes: st.Bytes, MaxBytes: st.MaxBytes, FirstSeq: st.FirstSeq, LastSeq: st.LastSeq}
	p := w.in[st.Name]
	if p == nil {
		p = &pace{}
		w.in[st.Name] = p
	}
	seconds := p.since(at)
	p.messages.see(float64(st.LastSeq), seconds)
	s.InMessages = p.messages.rate
	if w.items == nil {
		return s
	}
	total, _, known := w.items.Total(st.Name)
	items, raw, _, ok := w.items.Between(st.Name, st.FirstSeq-1, st.LastSeq)
	if !known || !ok {
		p.items = count{}
		return s
	}
	s.Items, s.RawBytes = &items, &raw
	p.items.see(float64(total), seconds)
	if p.items.rated {
		rate := p.items.rate
		s.InItems = &rate
	}
	return s
}

// rate adds items, the rate at which a destination takes them, and the time until
// it has all.
func (w *Watch) rate(at time.Time, s Stream, l *Lag) {
	here := place{l.Stream, l.Destination}
	p := w.out[here]
	if p == nil {
		p = &pace{}
		w.out[here] = p
	}
	seconds := p.since(at)
	left := l.Pending + uint64(max(l.InFlight, 0))
	p.messages.see(float64(s.LastSeq)-float64(left), seconds)
	l.OutMessages = p.messages.rate
	l.Drain = drain(float64(left), l.OutMessages, s.InMessages, p.messages.rated)
	if w.items == nil {
		return
	}
	total, _, known := w.items.Total(l.Stream)
	items, raw, ok := w.lagItems(s, l)
	if !known || !ok {
		p.items = count{}
		return
	}
	l.Items, l.RawBytes = &items, &raw
	p.items.see(float64(total)-float64(items), seconds)
	if p.items.rated && s.InItems != nil {
		rate := p.items.rate
		l.OutItems = &rate
		l.Drain = drain(float64(items), rate, *s.InItems, true)
	}
}

// lagItems are what was not delivered, and the share of what was delivered above
// the ack floor that its messages not settled have.
func (w *Watch) lagItems(s Stream, l *Lag) (items, raw uint64, ok bool) {
	delivered := max(s.LastSeq-min(s.LastSeq, l.Pending), l.floor)
	items, raw, _, ok = w.items.Between(l.Stream, delivered, s.LastSeq)
	if above := delivered - l.floor; ok && above > 0 && l.InFlight > 0 {
		i, b, _, _ := w.items.Between(l.Stream, l.floor, delivered)
		share := min(1, float64(l.InFlight)/float64(above))
		items += uint64(float64(i)*share + 0.5)
		raw += uint64(float64(b)*share + 0.5)
	}
	return items, raw, ok
}

// drain is how long left takes at the difference of two rates; nil when it does
// not become less.
func drain(left, out, in float64, rated bool) *float64 {
	seconds := 0.0
	switch {
	case left <= 0:
	case !rated || out <= in:
		return nil
	default:
		seconds = left / (out - in)
	}
	return &seconds
}
