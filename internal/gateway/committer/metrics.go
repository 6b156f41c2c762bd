package committer

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Metrics of group commit.
type Metrics struct {
	groupBytes, groupRequests, gatherSeconds prometheus.Histogram
	commitSeconds                            prometheus.Histogram
	inFlight                                 prometheus.Gauge
	items, rawBytes, storedBytes             [otlp.NumSignals]prometheus.Counter
	duplicates                               [otlp.NumSignals]prometheus.Counter
	splits, abandoned                        prometheus.Counter
	failures                                 *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		reg.MustRegister(h)
		return h
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	bySignal := func(name, help string) (out [otlp.NumSignals]prometheus.Counter) {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"signal"})
		reg.MustRegister(v)
		for _, s := range otlp.Signals {
			out[s] = v.WithLabelValues(s.String())
		}
		return out
	}
	m := &Metrics{
		groupBytes:    histogram("penstock_commit_group_bytes", "Size of a commit group before compression.", prometheus.ExponentialBuckets(1024, 4, 7)),
		groupRequests: histogram("penstock_commit_group_requests", "Requests joined in a commit group.", prometheus.ExponentialBuckets(1, 2, 11)),
		gatherSeconds: histogram("penstock_commit_gather_seconds", "Time from the first request of a group to the start of its commit.", prometheus.ExponentialBuckets(0.0005, 2, 15)),
		commitSeconds: histogram("penstock_commit_seconds", "Time to compress, publish and confirm a group.", prometheus.ExponentialBuckets(0.0005, 1.5, 25)),
		inFlight:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "penstock_commits_in_flight", Help: "Groups being committed now."}),
		items:         bySignal("penstock_queue_committed_items_total", "Spans, points and log records confirmed by the queue."),
		rawBytes:      bySignal("penstock_queue_committed_raw_bytes_total", "Bytes confirmed by the queue, before compression."),
		storedBytes:   bySignal("penstock_queue_committed_bytes_total", "Bytes confirmed by the queue, as stored."),
		duplicates:    bySignal("penstock_queue_duplicate_items_total", "Items published again after a lost answer, that the queue recognised and did not store again."),
		splits:        counter("penstock_commit_splits_total", "Requests stored in several messages because one was more than the queue takes."),
		abandoned:     counter("penstock_commit_abandoned_groups_total", "Groups dropped before commit because every client had gone unanswered."),
		failures:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_queue_publish_failures_total", Help: "Groups that the queue did not confirm."}, []string{"reason"}),
	}
	reg.MustRegister(m.inFlight, m.failures)
	return m
}

func (m *Metrics) group(g *group, begin time.Time) {
	m.groupBytes.Observe(float64(g.size))
	m.groupRequests.Observe(float64(len(g.members)))
	m.gatherSeconds.Observe(begin.Sub(g.opened).Seconds())
}

func (m *Metrics) published(g *group, raw, stored, items int, r queue.Receipt, err error) {
	if err != nil {
		m.failures.WithLabelValues(failure(err)).Inc()
		return
	}
	m.items[g.signal].Add(float64(items))
	m.rawBytes[g.signal].Add(float64(raw))
	m.storedBytes[g.signal].Add(float64(stored))
	if r.Duplicate {
		m.duplicates[g.signal].Add(float64(items))
	}
}

// failure is the reason label of an error of the queue.
func failure(err error) string {
	for _, known := range []struct {
		err  error
		name string
	}{
		{queue.ErrFull, "full"}, {queue.ErrTooLarge, "too_large"}, {queue.ErrUnavailable, "unavailable"},
		{queue.ErrNotFound, "no_stream"}, {queue.ErrClosed, "closed"},
	} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	return "other"
}
