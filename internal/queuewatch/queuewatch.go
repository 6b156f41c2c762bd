// Package queuewatch looks at the queue from one place at a steady pace, and
// answers metrics, status and progress from what it saw: the API of JetStream
// is never asked for a message or a scrape.
package queuewatch

import (
	"context"
	"errors"
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
}

// Lag is what was seen of one destination's durable on one stream.
type Lag struct {
	Destination string  `json:"destination"`
	Stream      string  `json:"stream"`
	Pending     uint64  `json:"pending_messages"`   // not yet delivered
	InFlight    int     `json:"unsettled_messages"` // delivered, or given back for later
	Redelivered int     `json:"redelivered_messages"`
	OldestAge   float64 `json:"oldest_age_seconds"` // of the oldest message not settled
}

// View is one look at the queue.
type View struct {
	At      time.Time `json:"at"`
	Streams []Stream  `json:"streams"`
	Lags    []Lag     `json:"destinations"`
	Error   string    `json:"error,omitempty"` // of the last look; the rest is older then
}

// Watch looks. Run does the looking.
type Watch struct {
	q    queue.Provisioner
	plan topology.Plan
	m    metrics

	mu   sync.Mutex
	view View // mu; replaced as a whole
}

type metrics struct {
	messages, bytes, limit     *prometheus.GaugeVec
	backlog, unsettled, oldest *prometheus.GaugeVec
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
	w := &Watch{q: q, plan: plan, m: metrics{
		messages:  gauge("penstock_queue_messages", "Messages that a stream holds, delivered or not.", "stream"),
		bytes:     gauge("penstock_queue_size_bytes", "Bytes that a stream holds.", "stream"),
		limit:     gauge("penstock_queue_capacity_bytes", "Bytes at which a stream refuses.", "stream"),
		backlog:   gauge("penstock_queue_backlog_messages", "Messages that a destination has not had delivered yet.", "stream", "destination"),
		unsettled: gauge("penstock_queue_unsettled_messages", "Messages delivered for a destination and not acknowledged.", "stream", "destination"),
		oldest:    gauge("penstock_queue_oldest_unacked_age_seconds", "Age of the oldest message that a destination has not acknowledged; 0 when it has all.", "stream", "destination"),
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

// Look refreshes the view now and returns it.
func (w *Watch) Look(ctx context.Context) View {
	ctx, cancel := context.WithTimeout(ctx, Every)
	defer cancel()
	v, err := w.see(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			w.m.failures.Inc()
		}
		w.view.Error = err.Error()
		return w.view
	}
	w.view = v
	w.m.lastSuccess.SetToCurrentTime()
	return v
}

func (w *Watch) see(ctx context.Context) (View, error) {
	v := View{At: time.Now()}
	for _, name := range w.plan.AllStreams() {
		st, err := w.q.StreamState(ctx, name)
		if err != nil {
			return v, err
		}
		v.Streams = append(v.Streams, Stream{Name: name, Messages: st.Messages, Bytes: st.Bytes, MaxBytes: st.MaxBytes})
		w.m.messages.WithLabelValues(name).Set(float64(st.Messages))
		w.m.bytes.WithLabelValues(name).Set(float64(st.Bytes))
		w.m.limit.WithLabelValues(name).Set(float64(st.MaxBytes))
	}
	for _, d := range w.plan.Destinations {
		for _, s := range otlp.Signals {
			if !d.Takes(s) {
				continue
			}
			for _, stream := range w.plan.Streams(s) {
				l, err := w.lag(ctx, d.Name, stream)
				if err != nil {
					return v, err
				}
				v.Lags = append(v.Lags, l)
			}
		}
	}
	return v, nil
}

func (w *Watch) lag(ctx context.Context, destination, stream string) (Lag, error) {
	c, err := w.q.ConsumerState(ctx, stream, topology.Durable(destination))
	if err != nil {
		return Lag{}, err
	}
	l := Lag{Destination: destination, Stream: stream, Pending: c.Pending, InFlight: c.AckPending, Redelivered: c.Redelivered}
	if c.Pending > 0 || c.AckPending > 0 {
		_, stored, err := w.q.Get(ctx, stream, c.AckFloor+1)
		switch {
		case err == nil:
			l.OldestAge = max(0, time.Since(stored).Seconds())
		case !errors.Is(err, queue.ErrNotFound): // purged by an operator in between
			return l, err
		}
	}
	w.m.backlog.WithLabelValues(stream, destination).Set(float64(l.Pending))
	w.m.unsettled.WithLabelValues(stream, destination).Set(float64(l.InFlight))
	w.m.oldest.WithLabelValues(stream, destination).Set(l.OldestAge)
	return l, nil
}
