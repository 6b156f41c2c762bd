package promrules

import (
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// lenient keeps an error of one sample from ending those after it: the translation
// stops a metric at the first one.
type lenient struct {
	storage.AppenderV2
	said *Appended
	// seen are the last samples of this request by series: the store finds a
	// duplicate among them only at the commit, where it says nothing.
	seen map[storage.SeriesRef]instant
}

// instant is a sample of a series.
type instant struct {
	t    int64
	bits uint64
}

// Append answers no error that a sample is to blame for.
func (l *lenient) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AOptions) (storage.SeriesRef, error) {
	got, err := l.AppenderV2.Append(ref, ls, st, t, v, h, fh, o)
	if err == nil || errors.Is(err, &storage.AppendPartialError{}) { // an exemplar was not wanted
		now := instant{t, math.Float64bits(v)}
		if before, ok := l.seen[got]; ok && before.t == t && before.bits != now.bits {
			l.said.drop(Duplicate, 1, fmt.Sprintf("%s: %v and %v at one time", ls.Get(model.MetricNameLabel), math.Float64frombits(before.bits), v))
			return got, nil
		}
		l.seen[got] = now
		l.said.Samples++
		return got, nil
	}
	r, _ := reasonOf(err)
	l.said.drop(r, 1, ls.Get(model.MetricNameLabel)+": "+err.Error())
	return 0, nil
}
