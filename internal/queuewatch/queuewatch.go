// Package queuewatch looks at the queue from one place at a steady pace, and
// answers metrics, status and progress from what it saw: the API of JetStream
// is never asked for a message or a scrape.
package queuewatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Every is the pace.
const Every = 5 * time.Second

// Stream is what was seen of a stream.
type Stream struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	MaxBytes int64  `json:"max_bytes"`
	FirstSeq uint64 `json:"first_sequence"` // everything before it was purged
	LastSeq  uint64 `json:"last_sequence"`
	// Items and payload bytes that it holds, where the ledger is known here.
	Items    *uint64 `json:"items,omitempty"`
	RawBytes *uint64 `json:"raw_bytes,omitempty"`
	// What comes in, a second, smoothed over some looks.
	InMessages float64  `json:"in_messages_per_second"`
	InItems    *float64 `json:"in_items_per_second,omitempty"`
	// Missing are destinations whose durable is not there: nothing is kept for them
	// but what the others need.
	Missing []string `json:"missing_destinations,omitempty"`
}

// Lag is what was seen of one destination's durable on one stream.
type Lag struct {
	Destination string  `json:"destination"`
	Stream      string  `json:"stream"`
	Pending     uint64  `json:"pending_messages"`   // not yet delivered
	InFlight    int     `json:"unsettled_messages"` // delivered, or given back for later
	Redelivered int     `json:"redelivered_messages"`
	OldestAge   float64 `json:"oldest_age_seconds"` // of the oldest message not settled
	// Items and payload bytes not settled, where the ledger is known here. Of what
	// was delivered and is not settled they are estimated.
	Items    *uint64 `json:"items,omitempty"`
	RawBytes *uint64 `json:"raw_bytes,omitempty"`
	// What is settled, a second, smoothed over some looks.
	OutMessages float64  `json:"out_messages_per_second"`
	OutItems    *float64 `json:"out_items_per_second,omitempty"`
	// Drain is the time until nothing is left, at the rates of now; nil when it
	// does not become less.
	Drain *float64 `json:"drain_seconds,omitempty"`

	floor uint64 // every message up to here is settled
}

// View is one look at the queue.
type View struct {
	At      time.Time `json:"at"`
	Streams []Stream  `json:"streams"`
	Lags    []Lag     `json:"destinations"`
	Error   string    `json:"error,omitempty"` // of the last look; the rest is older then
}

// Watch looks. Run does the looking; everything is safe for concurrent use.
type Watch struct {
	q    queue.Provisioner
	plan topology.Plan
	m    metrics

	turn   chan struct{}    // cap 1; one look at a time, whose it is guards what follows
	oldest map[place]oldest // of the last look
	in     map[string]*pace // by stream
	out    map[place]*pace
	items  Counter

	mu    sync.Mutex
	view  View      // mu; replaced as a whole
	tried time.Time // mu; when the last look ended, however
}

// place is one durable.
type place struct{ stream, destination string }

// oldest is the message that a durable waits for: it is read once and not at
// each look, for it comes with its body.
type oldest struct {
	seq    uint64
	stored time.Time
}

type metrics struct {
	messages, bytes, limit     *prometheus.GaugeVec
	backlog, unsettled, oldest *prometheus.GaugeVec
	items, in                  *prometheus.GaugeVec // stream
	backlogItems, out, drain   *prometheus.GaugeVec // stream, destination
	missing                    *prometheus.GaugeVec // stream
	lastSuccess                prometheus.Gauge
	failures                   prometheus.Counter
}

// New registers the metrics.
func New(q queue.Provisioner, plan topology.Plan, reg prometheus.Registerer) *Watch {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	w := &Watch{q: q, plan: plan, turn: make(chan struct{}, 1), oldest: map[place]oldest{}, in: map[string]*pace{}, out: map[place]*pace{}, m: metrics{
		messages:     gauge("penstock_queue_messages", "Messages that a stream holds, delivered or not.", "stream"),
		bytes:        gauge("penstock_queue_size_bytes", "Bytes that a stream holds.", "stream"),
		limit:        gauge("penstock_queue_capacity_bytes", "Bytes at which a stream refuses.", "stream"),
		backlog:      gauge("penstock_queue_backlog_messages", "Messages that a destination has not had delivered yet.", "stream", "destination"),
		unsettled:    gauge("penstock_queue_unsettled_messages", "Messages delivered for a destination and not acknowledged.", "stream", "destination"),
		oldest:       gauge("penstock_queue_oldest_unacked_age_seconds", "Age of the oldest message that a destination has not acknowledged; 0 when it has all.", "stream", "destination"),
		items:        gauge("penstock_queue_items", "Items that a stream holds, delivered or not. Where the ledger is known.", "stream"),
		in:           gauge("penstock_queue_in_items_per_second", "Items stored a second, smoothed. Where the ledger is known.", "stream"),
		backlogItems: gauge("penstock_queue_backlog_items", "Items that a destination has not acknowledged. Where the ledger is known.", "stream", "destination"),
		out:          gauge("penstock_queue_out_items_per_second", "Items that a destination acknowledges a second, smoothed. Where the ledger is known.", "stream", "destination"),
		drain:        gauge("penstock_queue_drain_seconds", "Time until a destination has all, at the rates of now; absent while its backlog does not become less.", "stream", "destination"),
		missing:      gauge("penstock_queue_missing_consumers", "Destinations of this process that have no durable on the stream.", "stream"),
		lastSuccess: prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_queue_watch_last_success_timestamp_seconds",
			Help: "When the gauges of the queue were last refreshed."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_queue_watch_failures_total", Help: "Looks at the queue that failed."}),
	}}
	reg.MustRegister(w.m.lastSuccess, w.m.failures)
	return w
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	for t := time.NewTicker(Every); ; {
		w.Look(ctx)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// View is the last look.
func (w *Watch) View() View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view
}

// Fresh is a view no older than age: the last one, or a look taken now. Whoever
// asks while one is taken shares it, also when it fails, so that it does not matter
// how many ask. When ctx ends before that it is the last view.
func (w *Watch) Fresh(ctx context.Context, age time.Duration) View {
	if v, ok := w.within(age); ok || !w.take(ctx) {
		return v
	}
	defer w.give()
	if v, ok := w.within(age); ok {
		return v
	}
	return w.look(ctx)
}

// within is the last view, and whether it, or a try to have one, is no older than age.
func (w *Watch) within(age time.Duration) (View, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view, time.Since(w.view.At) < age || time.Since(w.tried) < age
}

// take waits for the turn; false when ctx ends first.
func (w *Watch) take(ctx context.Context) bool {
	select {
	case w.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *Watch) give() { <-w.turn }

// Look refreshes the view and the gauges now, all or nothing, and returns the
// view. After a failure they stay as they were, and View.Error and the age of
// the last success tell.
func (w *Watch) Look(ctx context.Context) View {
	if !w.take(ctx) {
		return w.View()
	}
	defer w.give()
	return w.look(ctx)
}

// look is that of whoever has the turn.
func (w *Watch) look(ctx context.Context) View {
	within, cancel := context.WithTimeout(ctx, Every)
	defer cancel()
	v, err := w.see(within)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil || ctx.Err() == nil {
		w.tried = time.Now()
	}
	switch {
	case err == nil:
		w.view = v
		w.m.show(v)
	case ctx.Err() == nil: // else the process stops, which is no failure
		w.view.Error = err.Error()
		w.m.failures.Inc()
	}
	return w.view
}

func (w *Watch) see(ctx context.Context) (View, error) {
	v := View{At: time.Now()}
	at := map[string]int{}
	for _, name := range w.plan.AllStreams() {
		st, err := w.q.StreamState(ctx, name)
		if err != nil {
			return v, fmt.Errorf("look at stream %s: %w", name, err)
		}
		at[name] = len(v.Streams)
		v.Streams = append(v.Streams, w.stream(v.At, st))
	}
	for _, d := range w.plan.Destinations {
		for _, s := range otlp.Signals {
			if !d.Takes(s) {
				continue
			}
			for _, stream := range w.plan.Streams(s) {
				on := &v.Streams[at[stream]]
				l, err := w.lag(ctx, place{stream, d.Name}, on.FirstSeq)
				if errors.Is(err, queue.ErrNotFound) {
					on.Missing = append(on.Missing, d.Name)
					continue
				}
				if err != nil {
					return v, fmt.Errorf("look at destination %s on stream %s: %w", d.Name, stream, err)
				}
				w.rate(v.At, *on, &l)
				v.Lags = append(v.Lags, l)
			}
		}
	}
	return v, nil
}

func (w *Watch) lag(ctx context.Context, at place, first uint64) (Lag, error) {
	c, err := w.q.ConsumerState(ctx, at.stream, topology.Durable(at.destination))
	if err != nil {
		return Lag{}, err
	}
	l := Lag{Destination: at.destination, Stream: at.stream, Pending: c.Pending, InFlight: c.AckPending, Redelivered: c.Redelivered, floor: c.AckFloor}
	if c.Pending == 0 && c.AckPending == 0 {
		delete(w.oldest, at)
		return l, nil
	}
	o := oldest{seq: max(c.AckFloor+1, first)} // what is below first was purged
	if was := w.oldest[at]; was.seq == o.seq {
		o = was
	} else if _, o.stored, err = w.q.Get(ctx, at.stream, o.seq); errors.Is(err, queue.ErrNotFound) {
		return l, nil // purged, or settled, since
	} else if err != nil {
		return l, err
	}
	w.oldest[at] = o
	l.OldestAge = max(0, time.Since(o.stored).Seconds())
	return l, nil
}

func (m *metrics) show(v View) {
	for _, g := range []*prometheus.GaugeVec{m.items, m.in, m.backlogItems, m.out, m.drain} {
		g.Reset() // what is not known now is not told
	}
	for _, s := range v.Streams {
		m.messages.WithLabelValues(s.Name).Set(float64(s.Messages))
		m.bytes.WithLabelValues(s.Name).Set(float64(s.Bytes))
		m.limit.WithLabelValues(s.Name).Set(float64(s.MaxBytes))
		m.missing.WithLabelValues(s.Name).Set(float64(len(s.Missing)))
		if s.Items != nil {
			m.items.WithLabelValues(s.Name).Set(float64(*s.Items))
		}
		if s.InItems != nil {
			m.in.WithLabelValues(s.Name).Set(*s.InItems)
		}
		for _, d := range s.Missing {
			m.backlog.DeleteLabelValues(s.Name, d)
			m.unsettled.DeleteLabelValues(s.Name, d)
			m.oldest.DeleteLabelValues(s.Name, d)
		}
	}
	for _, l := range v.Lags {
		m.backlog.WithLabelValues(l.Stream, l.Destination).Set(float64(l.Pending))
		m.unsettled.WithLabelValues(l.Stream, l.Destination).Set(float64(l.InFlight))
		m.oldest.WithLabelValues(l.Stream, l.Destination).Set(l.OldestAge)
		if l.Items != nil {
			m.backlogItems.WithLabelValues(l.Stream, l.Destination).Set(float64(*l.Items))
		}
		if l.OutItems != nil {
			m.out.WithLabelValues(l.Stream, l.Destination).Set(*l.OutItems)
		}
		if l.Drain != nil {
			m.drain.WithLabelValues(l.Stream, l.Destination).Set(*l.Drain)
		}
	}
	m.lastSuccess.SetToCurrentTime()
}
