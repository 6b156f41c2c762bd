package promrules

import (
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// seriesCap bounds the series of the store. What rules make has as much room beyond
// that of what comes in: a flood of series must not keep alerts from being
// evaluated. It is asked for new series alone.
type seriesCap struct {
	limit   int
	metrics *Metrics

	mu      sync.Mutex      // guards what follows
	made    map[string]bool // names that rules make
	byName  map[string]int
	total   int
	results int // of total, those of made
}

func newSeriesCap(limit int, m *Metrics) *seriesCap {
	return &seriesCap{limit: limit, metrics: m, made: map[string]bool{}, byName: map[string]int{}}
}

// makes tells which names rules make from now on.
func (c *seriesCap) makes(names map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made, c.results = names, 0
	for name := range names {
		c.results += c.byName[name]
	}
}

// count is how many series there are.
func (c *seriesCap) count() (metrics, results int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total - c.results, c.results
}

// PreCreation refuses a series beyond the limit.
func (c *seriesCap) PreCreation(ls labels.Labels) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, refused := c.total-c.results, c.metrics.refusedMetrics
	if c.made[ls.Get(model.MetricNameLabel)] {
		n, refused = c.results, c.metrics.refusedResult
	}
	if n >= c.limit {
		refused.Inc()
		return errSeriesLimit
	}
	return nil
}

// PostCreation counts a series.
func (c *seriesCap) PostCreation(ls labels.Labels) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addLocked(ls.Get(model.MetricNameLabel), 1)
}

// PostDeletion counts series that are gone.
func (c *seriesCap) PostDeletion(gone map[chunks.HeadSeriesRef]labels.Labels) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ls := range gone {
		c.addLocked(ls.Get(model.MetricNameLabel), -1)
	}
}

func (c *seriesCap) addLocked(name string, n int) {
	c.total += n
	if c.made[name] {
		c.results += n
	}
	if c.byName[name] += n; c.byName[name] == 0 {
		delete(c.byName, name)
	}
}
