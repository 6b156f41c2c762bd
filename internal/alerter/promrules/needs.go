package promrules

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Needs is what rules want to see of the metrics.
type Needs struct {
	// Names are the metric names in the form of Prometheus, sorted; with All a
	// rule, or a query in one of its templates, could match any, and Broad says
	// which rules do.
	Names []string
	All   bool
	Broad []string
	// Range is how far back the first evaluation has to see so that alerts are as
	// if the rules had always run: ranges, offsets, subqueries, recorded series
	// that others read, and the hold times.
	Range time.Duration
}

// NeedsOf sums up rule files.
func NeedsOf(files []*File, lookback time.Duration) Needs {
	names := map[string]bool{}
	recorded := map[string][]rule{}
	var n Needs
	var all []rule
	for _, f := range files {
		all = append(all, f.rules...)
		for _, r := range f.rules {
			if r.records {
				recorded[r.name] = append(recorded[r.name], r)
			}
		}
	}
	for _, r := range all {
		reach := reachOf(r, recorded, lookback, map[string]bool{}) + time.Duration(r.hold)
		n.Range = max(n.Range, reach)
		broad := r.asksAny
		for _, expr := range append(r.asks, r.expr) {
			for _, s := range selectors(expr) {
				if s.name == "" {
					broad = true
				} else {
					names[s.name] = true
				}
			}
		}
		if broad {
			n.All = true
			n.Broad = append(n.Broad, r.group+"/"+r.name)
		}
	}
	n.Names = slices.Sorted(maps.Keys(names))
	return n
}

// selector is a place where an expression reads.
type selector struct {
	name string        // "": any
	back time.Duration // how far, without lookback
	inst bool          // reads by lookback
}

// reachOf follows recorded series to what they are made of. seen ends circles.
func reachOf(r rule, recorded map[string][]rule, lookback time.Duration, seen map[string]bool) (reach time.Duration) {
	for _, s := range selectors(r.expr) {
		back := s.back
		if s.inst {
			back += lookback
		}
		if from, ok := recorded[s.name]; ok && !seen[s.name] {
			seen[s.name] = true
			var before time.Duration
			for _, x := range from {
				before = max(before, reachOf(x, recorded, lookback, seen))
			}
			delete(seen, s.name)
			back += before
		}
		reach = max(reach, back)
	}
	return reach + time.Duration(r.offset)
}

// selectors lists where an expression reads.
func selectors(e parser.Expr) (list []selector) {
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			if c, ok := n.(*parser.Call); ok && c.Func.Name == "info" {
				list = append(list, selector{name: "target_info", inst: true})
			}
			return nil
		}
		s := selector{name: nameOf(v), inst: true, back: v.OriginalOffset}
		for _, up := range path {
			switch up := up.(type) {
			case *parser.MatrixSelector:
				s.back += up.Range
				s.inst = false
			case *parser.SubqueryExpr:
				s.back += up.Range + up.OriginalOffset
			}
		}
		s.back = max(s.back, 0) // a negative offset reads ahead
		list = append(list, s)
		return nil
	})
	return list
}

// nameOf is the one name that a selector can match, "" when there may be others.
func nameOf(v *parser.VectorSelector) string {
	if v.Name != "" {
		return v.Name
	}
	for _, m := range v.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// bases are the names of metrics that a series may be part of: the series of a
// histogram or summary have suffixes that the metric has not.
func bases(series string) []string {
	list := []string{series}
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if b, ok := strings.CutSuffix(series, suffix); ok {
			list = append(list, b)
		}
	}
	return list
}
