package promrules

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// RuleInfo is what a rule reads, as far as its text tells.
type RuleInfo struct {
	Group, Name string
	Line        int // 0: not known
	Records     bool
	// For is how long its condition has to hold.
	For time.Duration
	// Expr is as Prometheus writes it.
	Expr        string
	Selectors   []Selector
	Comparisons []Comparison
	// Broad: it, or one of its templates, may read any metric.
	Broad bool
}

// Selector is a place where an expression reads.
type Selector struct {
	// Name of the series, "" when it can be any.
	Name string
	// Text is the selector without range and offset.
	Text string
	// Window is the length of its range, 0 when it reads the newest sample.
	Window time.Duration
	// Raw: the value itself is used, and not how fast it grows. Rate: how fast it
	// changes, for which two samples are needed.
	Raw, Rate bool
}

// Comparison holds the value of one metric, in its own unit, against a number.
type Comparison struct {
	Name  string
	Limit float64
}

// growth are the functions that look at how fast a counter grows.
var growth = []string{"rate", "irate", "increase", "resets", "changes", "absent", "absent_over_time", "present_over_time", "count_over_time"}

// changing are functions that need two samples.
var changing = []string{"rate", "irate", "increase", "delta", "idelta", "deriv", "predict_linear"}

// sameUnit are functions and aggregations whose result has the unit of what they
// are given.
var sameUnit = []string{"avg_over_time", "min_over_time", "max_over_time", "last_over_time", "quantile_over_time", "histogram_quantile", "histogram_avg",
	"abs", "ceil", "floor", "round", "clamp", "clamp_max", "clamp_min"}

// Rules describes the rules of a file, in its order.
func (f *File) Rules() []RuleInfo {
	list := make([]RuleInfo, 0, len(f.rules))
	for _, r := range f.rules {
		one := RuleInfo{Group: r.group, Name: r.name, Line: r.line, Records: r.records, For: time.Duration(r.waits), Expr: r.expr.String(), Broad: r.asksAny}
		for _, e := range append([]parser.Expr{r.expr}, r.asks...) {
			one.Selectors = append(one.Selectors, describe(e)...)
		}
		one.Broad = one.Broad || slices.ContainsFunc(one.Selectors, func(s Selector) bool { return s.Name == "" })
		one.Comparisons = comparisons(r.expr)
		list = append(list, one)
	}
	return list
}

func describe(e parser.Expr) (list []Selector) {
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		s := Selector{Name: nameOf(v), Text: plain(v), Raw: true}
		for _, up := range path {
			switch up := up.(type) {
			case *parser.MatrixSelector:
				s.Window = up.Range
			case *parser.Call:
				if slices.Contains(growth, up.Func.Name) {
					s.Raw = false
				}
				s.Rate = s.Rate || slices.Contains(changing, up.Func.Name)
			case *parser.AggregateExpr:
				if up.Op == parser.COUNT || up.Op == parser.GROUP {
					s.Raw = false
				}
			}
		}
		list = append(list, s)
		return nil
	})
	return list
}

// plain writes a selector without its offset.
func plain(v *parser.VectorSelector) string {
	return (&parser.VectorSelector{Name: v.Name, LabelMatchers: v.LabelMatchers}).String()
}

func comparisons(e parser.Expr) (list []Comparison) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		b, ok := n.(*parser.BinaryExpr)
		if !ok || !b.Op.IsComparisonOperator() {
			return nil
		}
		for _, sides := range [][2]parser.Expr{{b.LHS, b.RHS}, {b.RHS, b.LHS}} {
			limit, ok := number(sides[1])
			if name := measured(sides[0]); ok && name != "" {
				list = append(list, Comparison{name, limit})
			}
		}
		return nil
	})
	return list
}

func number(e parser.Expr) (float64, bool) {
	switch e := e.(type) {
	case *parser.NumberLiteral:
		return e.Val, true
	case *parser.ParenExpr:
		return number(e.Expr)
	case *parser.UnaryExpr:
		v, ok := number(e.Expr)
		if e.Op == parser.SUB {
			v = -v
		}
		return v, ok
	}
	return 0, false
}

// measured is the metric whose value an expression has in its unit, "" when it is
// another value.
func measured(e parser.Expr) string {
	switch e := e.(type) {
	case *parser.VectorSelector:
		return nameOf(e)
	case *parser.MatrixSelector:
		return measured(e.VectorSelector)
	case *parser.ParenExpr:
		return measured(e.Expr)
	case *parser.SubqueryExpr:
		return measured(e.Expr)
	case *parser.AggregateExpr:
		switch e.Op {
		case parser.AVG, parser.MIN, parser.MAX, parser.QUANTILE, parser.TOPK, parser.BOTTOMK:
			return measured(e.Expr)
		case parser.SUM:
			if quantiles(e.Expr) {
				return measured(e.Expr)
			}
		}
	case *parser.Call:
		switch {
		case slices.Contains(sameUnit, e.Func.Name):
			for _, arg := range e.Args {
				if arg.Type() == parser.ValueTypeVector || arg.Type() == parser.ValueTypeMatrix {
					return measured(arg)
				}
			}
		case e.Func.Name == "rate" && quantiles(e):
			return measured(e.Args[0])
		}
	}
	return ""
}

// quantiles tells whether an expression reads the buckets of a classic histogram:
// what is made of them has the unit of the metric.
func quantiles(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok && strings.HasSuffix(nameOf(v), "_bucket") {
			found = true
		}
		return nil
	})
	return found
}
