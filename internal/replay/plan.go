package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Size is how much telemetry there is.
type Size struct {
	Messages    uint64 `json:"messages"`
	Items       uint64 `json:"items"`
	RawBytes    uint64 `json:"raw_bytes" doc:"Before compression"`
	StoredBytes uint64 `json:"stored_bytes"`
}

func (s *Size) add(b Size) {
	s.Messages += b.Messages
	s.Items += b.Items
	s.RawBytes += b.RawBytes
	s.StoredBytes += b.StoredBytes
}

// times is s, f times.
func (s Size) times(f float64) Size {
	n := func(v uint64) uint64 { return uint64(math.Round(float64(v) * f)) }
	return Size{n(s.Messages), n(s.Items), n(s.RawBytes), n(s.StoredBytes)}
}

// StreamPlan is the part of one stream.
type StreamPlan struct {
	Stream string `json:"stream"`
	First  uint64 `json:"first_seq"`
	End    uint64 `json:"end_seq" doc:"The first sequence after the window"`
	// Window is all of it, Match what the filters take.
	Window Size `json:"window"`
	Match  Size `json:"match"`
	// PurgedBefore is set when the window asks for what is no longer kept: data
	// exists from then on.
	PurgedBefore time.Time `json:"purged_before,omitzero"`
	Missing      uint64    `json:"missing_messages,omitempty" doc:"Messages of the window that are purged, where that is known"`
	Damaged      uint64    `json:"damaged_messages,omitempty" doc:"Messages whose headers cannot be read; they are left out"`
	Estimated    bool      `json:"estimated,omitempty" doc:"Items and bytes are extrapolated from the first messages"`
}

// Plan is what a replay would do, if it began now.
type Plan struct {
	Streams []StreamPlan `json:"streams"`
	Window  Size         `json:"window"`
	Match   Size         `json:"match"`
	// Estimated: items and bytes are extrapolated for some stream.
	Estimated bool `json:"estimated,omitempty"`
	// AtMost: conditions on resource attributes and event times may take less;
	// only the bodies tell.
	AtMost bool `json:"at_most,omitempty"`
	// Partial: some of the window is purged.
	Partial bool `json:"partial,omitempty"`
	// Seconds it takes at the rate at least; 0 when it has none.
	Seconds        float64 `json:"seconds"`
	BytesPerSecond int64   `json:"bytes_per_second" doc:"The rate; 0: no bound"`
	// HeldBytes is what the janitor keeps because of the replay until it is over.
	HeldBytes uint64   `json:"held_bytes"`
	Notes     []string `json:"notes,omitempty"`
}

// Bounds of counting, for all streams together.
const (
	countMessages = 500_000
	countTime     = 10 * time.Second
)

// MakePlan resolves the window and counts what is in it, by headers alone.
// Nothing moves, and nothing is kept: what is purged or stored afterwards changes
// the outcome.
func MakePlan(ctx context.Context, q Queue, plan topology.Plan, s Spec) (Plan, error) {
	if err := s.Validate(); err != nil {
		return Plan{}, err
	}
	s = s.withDefaults()
	names, err := s.streams(ctx, q, plan)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{BytesPerSecond: int64(s.Rate), AtMost: len(s.Where) > 0 || s.EventTime}
	c := counter{s: &s, left: countMessages, until: time.Now().Add(countTime), streams: len(names)}
	for _, name := range names {
		w, err := s.resolve(ctx, q, name)
		if err != nil {
			return Plan{}, err
		}
		sp, err := c.count(ctx, q, w)
		if err != nil {
			return Plan{}, err
		}
		p.Streams = append(p.Streams, sp)
		p.Window.add(sp.Window)
		p.Match.add(sp.Match)
		p.Estimated = p.Estimated || sp.Estimated
		if text := w.gap(); text != "" {
			p.Partial = true
			p.Notes = append(p.Notes, text)
		}
		if sp.Damaged > 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("%s: %d messages cannot be read and will be left out", name, sp.Damaged))
		}
	}
	p.HeldBytes = p.Window.StoredBytes
	if s.Rate > 0 {
		p.Seconds = float64(p.Match.RawBytes) / float64(s.Rate)
	}
	if s.ItemsRate > 0 {
		p.Seconds = max(p.Seconds, float64(p.Match.Items)/float64(s.ItemsRate))
	}
	if _, to := s.stored(); to.After(time.Now()) {
		p.Notes = append(p.Notes, fmt.Sprintf("the window ends at %s, which is not over: what is stored after the start of the replay is not in it", to.UTC().Format(time.RFC3339)))
	}
	if p.Window.Messages == 0 {
		p.Notes = append(p.Notes, "the queue holds nothing of this window")
	}
	return p, nil
}

// counter counts within bounds.
type counter struct {
	s       *Spec
	left    int
	until   time.Time
	streams int // still to be counted, to share what is left
}

// count looks at the headers of a window.
func (c *counter) count(ctx context.Context, q Queue, w window) (StreamPlan, error) {
	sp := StreamPlan{Stream: w.Stream, First: w.First, End: w.End, Missing: w.missing}
	if w.purged {
		sp.PurgedBefore = w.purgedBefore
	}
	most, until := c.left/c.streams, time.Now().Add(time.Until(c.until)/time.Duration(c.streams))
	c.streams--
	r, err := newReader(ctx, q, w.Stream, w.First, w.End, true, func(uint64, uint64) error { return nil })
	if err != nil {
		return sp, err
	}
	defer r.close()
	for n := 0; ; n++ {
		if n >= most || n&255 == 255 && time.Now().After(until) {
			f := float64(w.End-w.First) / float64(r.next-w.First)
			sp.Window, sp.Match, sp.Estimated = sp.Window.times(f), sp.Match.times(f), true
			sp.Window.Messages = w.End - w.First
			c.left -= n
			return sp, nil
		}
		e, err := r.read(ctx)
		if errors.Is(err, errEnd) {
			c.left -= n
			return sp, nil
		}
		if err != nil {
			return sp, err
		}
		m, ok := metaOf(e.Message)
		size := Size{Messages: 1, Items: m.items, RawBytes: m.raw, StoredBytes: uint64(e.Size)}
		sp.Window.add(size)
		switch {
		case !ok:
			sp.Damaged++
		case c.s.wants(m):
			sp.Match.add(size)
		}
	}
}

// meta is what the headers of a message say.
type meta struct {
	tenant   string
	items    uint64
	raw      uint64
	min, max uint64 // event times in Unix ns; 0: not known
}

// metaOf reads headers; false when they are not whole.
func metaOf(m *queue.Message) (meta, bool) {
	whole := true
	number := func(name string, optional bool) uint64 {
		v, err := strconv.ParseUint(m.Header[name], 10, 64)
		if err != nil && (!optional || m.Header[name] != "") {
			whole = false
		}
		return v
	}
	out := meta{tenant: m.Header[record.HeaderTenant], items: number(record.HeaderItems, false), raw: number(record.HeaderRawBytes, false),
		min: number(record.HeaderMinTime, true), max: number(record.HeaderMaxTime, true)}
	if _, err := otlp.ParseSignal(m.Header[record.HeaderSignal]); err != nil {
		whole = false
	}
	return out, whole
}

// wants tells whether anything of a message can be wanted, by its headers.
func (s *Spec) wants(m meta) bool {
	if len(s.Tenants) > 0 && !slices.Contains(s.Tenants, m.tenant) {
		return false
	}
	if !s.EventTime || m.max == 0 || m.min == 0 { // items without time are wanted
		return true
	}
	return (s.From.IsZero() || !nanos(m.max).Before(s.From)) && (s.To.IsZero() || nanos(m.min).Before(s.To))
}

// whole tells whether all of a message's items are in the window of their time.
func (s *Spec) whole(m meta) bool {
	if !s.EventTime {
		return true
	}
	return m.min != 0 && m.max != 0 && (s.From.IsZero() || !nanos(m.min).Before(s.From)) && (s.To.IsZero() || nanos(m.max).Before(s.To))
}

func nanos(ns uint64) time.Time { return time.Unix(int64(ns/1e9), int64(ns%1e9)) }
