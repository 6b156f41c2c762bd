package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var ops = map[string]string{"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "==", "ne": "!="}

var aggs = []string{"avg", "min", "max", "sum", "count", "last", "rate", "increase", "p50", "p90", "p95", "p99"}

var percentile = regexp.MustCompile(`^p([0-9]{1,2}(?:\.[0-9]{1,4})?)$`)

// query is a rule on its way to an expression.
type query struct {
	metric   string // in Prometheus' form
	kind     string
	matchers string   // with braces, "" without any
	agg      string   // "": the series as they are
	group    []string // labels in Prometheus' form
	grouped  bool     // group_by was said
	window   string
}

// selector is the series of a metric with a suffix, over the window if ranged.
func (q *query) selector(suffix string, ranged bool) string {
	s := q.metric + suffix + q.matchers
	if ranged {
		s += "[" + q.window + "]"
	}
	return s
}

// by puts an aggregation around an expression, or nothing when the series stay
// apart. more are labels that it has to keep.
func (q *query) by(op, expr string, more ...string) string {
	if !q.grouped {
		return expr
	}
	labels := append(slices.Clone(more), q.group...)
	if len(labels) == 0 {
		return op + "(" + expr + ")"
	}
	return fmt.Sprintf("%s by (%s) (%s)", op, strings.Join(labels, ", "), expr)
}

// left is what is compared. plain: its value is a number of things and not of the
// metric's unit.
func (q *query) left() (expr string, plain bool, err error) {
	switch q.kind {
	case Counter:
		return q.counter()
	case Histogram, ExponentialHistogram:
		return q.histogram()
	}
	return q.gauge()
}

func (q *query) gauge() (expr string, plain bool, err error) {
	over := func(f string) string {
		if q.window == "" {
			return q.selector("", false)
		}
		return f + "(" + q.selector("", true) + ")"
	}
	switch q.agg {
	case "":
		if q.grouped || q.window != "" {
			return "", false, fmt.Errorf("group_by and window need agg: avg, min, max, sum, count or last")
		}
		return q.selector("", false), false, nil
	case "avg", "min", "max":
		if q.window == "" && !q.grouped {
			return "", false, fmt.Errorf("agg %s needs a window, over which it is taken, or group_by, whose series it joins", q.agg)
		}
		return q.by(q.agg, over(q.agg+"_over_time")), false, nil
	case "sum", "count":
		if !q.grouped {
			return "", false, fmt.Errorf("agg %s joins series and needs group_by: labels, or [] for all together", q.agg)
		}
		return q.by(q.agg, over("avg_over_time")), q.agg == "count", nil
	case "last":
		if q.window == "" || q.grouped {
			return "", false, fmt.Errorf("agg last is the newest value of a series within window, and takes no group_by")
		}
		return over("last_over_time"), false, nil
	}
	return "", false, fmt.Errorf("agg %s is not for a %s, want avg, min, max, sum, count or last", q.agg, q.kind)
}

func (q *query) counter() (expr string, plain bool, err error) {
	if q.window == "" {
		return "", false, fmt.Errorf("a counter needs a window, over which its rate is taken: at least four times the interval of its points, such as 5m")
	}
	op, f := "sum", "rate"
	switch q.agg {
	case "", "rate", "sum":
	case "increase":
		f = "increase"
	case "avg", "min", "max":
		if op = q.agg; !q.grouped {
			return "", false, fmt.Errorf("agg %s of a counter joins the rates of its series and needs group_by", q.agg)
		}
	default:
		return "", false, fmt.Errorf("agg %s is not for a counter, want rate, increase, sum, avg, min or max", q.agg)
	}
	return q.by(op, f+"("+q.selector("", true)+")"), false, nil
}

func (q *query) histogram() (expr string, plain bool, err error) {
	if q.window == "" {
		return "", false, fmt.Errorf("a histogram needs a window: at least four times the interval of its points, such as 5m")
	}
	classic := q.kind == Histogram
	rate := func(suffix string, keep ...string) string {
		return q.by("sum", "rate("+q.selector(suffix, true)+")", keep...)
	}
	if m := percentile.FindStringSubmatch(q.agg); m != nil {
		p, err := strconv.ParseFloat(m[1]+"e-2", 64)
		if err != nil {
			return "", false, fmt.Errorf("agg %s: %w", q.agg, err)
		}
		if classic {
			return fmt.Sprintf("histogram_quantile(%s, %s)", format(p), rate("_bucket", "le")), false, nil
		}
		return fmt.Sprintf("histogram_quantile(%s, %s)", format(p), rate("")), false, nil
	}
	switch q.agg {
	case "avg":
		if classic {
			return rate("_sum") + " / " + rate("_count"), false, nil
		}
		return "histogram_avg(" + rate("") + ")", false, nil
	case "rate", "count":
		if classic {
			return rate("_count"), true, nil
		}
		return "histogram_count(" + rate("") + ")", true, nil
	}
	return "", false, fmt.Errorf("agg %q is not for a histogram, want a percentile such as p99, avg, or rate for observations a second", q.agg)
}

// absent has a value when there is no series at all.
func (q *query) absent() string {
	suffix := ""
	if q.kind == Histogram {
		suffix = "_count"
	}
	if q.window == "" {
		return "absent(" + q.selector(suffix, false) + ")"
	}
	return "absent_over_time(" + q.selector(suffix, true) + ")"
}

// matchersOf writes the conditions, sorted by label.
func matchersOf(where, not map[string]values, names Names) (string, error) {
	var list []string
	add := func(from map[string]values, one, several string) error {
		for _, name := range keys(from) {
			label, err := labelOf(name, names)
			if err != nil {
				return err
			}
			v := from[name]
			switch len(v) {
			case 0:
				return fmt.Errorf("where: label %s has no value", name)
			case 1:
				list = append(list, label+one+strconv.Quote(v[0]))
			default:
				quoted := make([]string, len(v))
				for i, x := range v {
					quoted[i] = regexp.QuoteMeta(x)
				}
				list = append(list, label+several+strconv.Quote(strings.Join(quoted, "|")))
			}
		}
		return nil
	}
	if err := add(where, "=", "=~"); err != nil {
		return "", err
	}
	if err := add(not, "!=", "!~"); err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", nil
	}
	slices.Sort(list)
	return "{" + strings.Join(list, ", ") + "}", nil
}

var legacyLabel = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// labelOf is an attribute as a label; one that is a label is itself.
func labelOf(name string, names Names) (string, error) {
	if legacyLabel.MatchString(name) {
		return name, nil
	}
	label, err := names.Label(name)
	if err != nil || !legacyLabel.MatchString(label) {
		return "", fmt.Errorf("%q cannot be the name of a label: write the attribute or label as it is", name)
	}
	return label, nil
}
