package promrules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Measured is what an Engine has of a selector.
type Measured struct {
	Series, Samples int
	// Interval between samples of a series, the median of all series that have
	// more than one; 0 when none has.
	Interval time.Duration
}

// Measure looks at the samples of a selector from one time to another.
func (e *Engine) Measure(ctx context.Context, selector string, from, to time.Time) (m Measured, err error) {
	matchers, err := exprs.ParseMetricSelector(selector)
	if err != nil {
		return m, fmt.Errorf("measure %.200q: %w", selector, err)
	}
	q, err := e.db.Querier(from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return m, fmt.Errorf("measure %.200q: %w", selector, err)
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	set := q.Select(ctx, false, &storage.SelectHints{Start: from.UnixMilli(), End: to.UnixMilli()}, matchers...)
	var intervals []time.Duration
	var it chunkenc.Iterator
	for set.Next() {
		m.Series++
		it = set.At().Iterator(it)
		var first, last int64
		n := 0
		for it.Next() != chunkenc.ValNone {
			if last = it.AtT(); n == 0 {
				first = last
			}
			n++
		}
		if err := it.Err(); err != nil {
			return m, fmt.Errorf("measure %.200q: %w", selector, err)
		}
		m.Samples += n
		if n > 1 {
			intervals = append(intervals, time.Duration(last-first)*time.Millisecond/time.Duration(n-1))
		}
	}
	if err := set.Err(); err != nil {
		return m, fmt.Errorf("measure %.200q: %w", selector, err)
	}
	if len(intervals) > 0 {
		slices.Sort(intervals)
		m.Interval = intervals[len(intervals)/2]
	}
	return m, nil
}
