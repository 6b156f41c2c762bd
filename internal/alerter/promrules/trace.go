package promrules

import (
	"context"

	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
)

// traceOf is the trace id of the newest exemplar of what the rule reads, within its
// reach before the alert fired, of series that are not of another alert: no label
// that both have may differ. "" when there is none.
func (e *Engine) traceOf(ctx context.Context, r *rules.AlertingRule, a *rules.Alert) string {
	q, err := e.db.ExemplarQuerier(ctx)
	if err != nil { // it is an extra: the alert goes on without
		return ""
	}
	from := a.ActiveAt.Add(-reachOf(rule{expr: r.Query()}, nil, e.o.Lookback, nil))
	found, err := q.Select(from.UnixMilli(), a.FiredAt.UnixMilli(), parser.ExtractSelectors(r.Query())...)
	if err != nil {
		return ""
	}
	own := r.Labels()
	var at int64
	var trace string
	for _, s := range found {
		if !compatible(s.SeriesLabels, a.Labels, own) {
			continue
		}
		for _, x := range s.Exemplars {
			if id := x.Labels.Get(otlptranslator.ExemplarTraceIDKey); id != "" && x.Ts >= at {
				at, trace = x.Ts, id
			}
		}
	}
	return trace
}

// compatible passes over the labels that the rule itself sets.
func compatible(series, alert, own labels.Labels) bool {
	same := true
	series.Range(func(l labels.Label) {
		if alert.Has(l.Name) && !own.Has(l.Name) && alert.Get(l.Name) != l.Value {
			same = false
		}
	})
	return same
}
