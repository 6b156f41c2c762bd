package promrules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// TestReport is what came of a file of unit tests.
type TestReport struct {
	File     string     `json:"file"`
	Warnings []string   `json:"warnings,omitempty"`
	Tests    []TestCase `json:"tests"`
}

// TestCase is one test of a file. It passed if it has no failures.
type TestCase struct {
	Name     string   `json:"name"`
	Failures []string `json:"failures,omitempty"`
}

// Failed is how many tests did.
func (r *TestReport) Failed() (n int) {
	for _, t := range r.Tests {
		if len(t.Failures) > 0 {
			n++
		}
	}
	return n
}

// RunTests runs a file in the form of promtool test rules on an Engine of its own
// for each test, whose name run fits; nil: all. dir is where their scratch
// directories are made, "": the system's. The error is for a file that is no file
// of tests; whatever else is wrong is a failure of a test.
//
// As in promtool every group is evaluated at every evaluation_interval, whatever
// its own interval is, and the rules see what is stored up to then.
func RunTests(ctx context.Context, name, dir string, run *regexp.Regexp) (*TestReport, error) {
	f, warnings, err := readTests(name)
	if err != nil {
		return nil, err
	}
	report := &TestReport{File: name, Warnings: warnings, Tests: []TestCase{}}
	var files []*File
	var bad []string
	for _, path := range f.RuleFiles {
		file, err := ParseFile(path)
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		files = append(files, file)
	}
	for i := range f.Tests {
		t := &f.Tests[i]
		if run != nil && !run.MatchString(t.Name) {
			continue
		}
		failures := bad
		if len(bad) == 0 {
			failures, err = (&unitTest{testGroup: t, file: &f, rules: files}).run(ctx, dir)
			if err != nil {
				return nil, fmt.Errorf("%s: test %q: %w", name, t.Name, err)
			}
		}
		report.Tests = append(report.Tests, TestCase{t.Name, failures})
	}
	return report, nil
}

// ParseFile is Parse of a file, by its path.
func ParseFile(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("rule file: %w", err)
	}
	if info.Size() > MaxFileBytes { // Parse says the same, of what was read
		return nil, Problems{{File: path, Text: fmt.Sprintf("is %d bytes, want at most %d: split it", info.Size(), MaxFileBytes)}}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("rule file: %w", err)
	}
	return Parse(path, text)
}

// unitTest is a test that runs.
type unitTest struct {
	*testGroup
	file  *testFile
	rules []*File

	e        *Engine
	start    time.Time
	series   []input
	failures []string
}

// input is a series that is still to be stored.
type input struct {
	labels labels.Labels
	values []parser.SequenceValue
	next   int
}

// seriesOf reads what a file has for series, in which names need no quotes.
var seriesOf = parser.NewParser(parser.Options{EnableUnquotedUTF8Names: true})

func (t *unitTest) fail(format string, a ...any) {
	t.failures = append(t.failures, fmt.Sprintf(format, a...))
}

// run tells failures; the error is that of ctx or of the scratch directory.
func (t *unitTest) run(ctx context.Context, dir string) (failures []string, err error) {
	if t.start = t.Start.Time; t.start.IsZero() {
		t.start = time.Unix(0, 0).UTC()
	}
	for _, s := range t.Series {
		if err := t.input(s); err != nil {
			t.fail("series %q: %v", s.Series, err)
		}
	}
	for _, a := range t.Alerts {
		if a.Name == "" {
			t.fail("alert_rule_test at %s has no alertname", a.At)
		}
	}
	if len(t.failures) > 0 {
		return t.failures, nil
	}
	o := Options{
		Dir: dir, Interval: time.Duration(t.Interval), ExternalURL: t.ExternalURL,
		block: 24 * time.Hour, subquery: time.Duration(t.file.Interval), Retention: math.MaxInt64 / 2,
	}
	for name, value := range t.ExternalLabels {
		o.ExternalLabels = append(o.ExternalLabels, Label{name, value})
	}
	if t.e, err = New(o); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.e.Close()) }()
	if err := t.e.Load(t.rules); err != nil {
		t.fail("%v", err)
		return t.failures, nil
	}
	if done, err := t.evaluate(ctx); err != nil || !done {
		return t.failures, err
	}
	for i := range t.Exprs {
		t.expr(ctx, &t.Exprs[i])
	}
	return t.failures, ctx.Err()
}

// input takes a series; of two with the same labels the last one counts.
func (t *unitTest) input(s testSeries) error {
	ls, values, err := seriesOf.ParseSeriesDesc(s.Series + " " + s.Values)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(t.series, func(i input) bool { return labels.Equal(i.labels, ls) })
	if at < 0 {
		t.series = append(t.series, input{labels: ls, values: values})
	} else {
		t.series[at].values = values
	}
	return nil
}

// evaluate goes through the slots and compares alerts on its way. Not done: a rule
// failed, and what would follow means nothing.
func (t *unitTest) evaluate(ctx context.Context) (done bool, err error) {
	groups := t.e.Groups()
	rank := func(g GroupInfo) int { return max(0, slices.Index(t.file.GroupOrder, g.ID.Group)) }
	slices.SortStableFunc(groups, func(a, b GroupInfo) int { return cmp.Compare(rank(a), rank(b)) })
	step := time.Duration(t.file.Interval)
	for at := t.start; !at.After(t.start.Add(t.end())); at = at.Add(step) {
		if err := t.store(ctx, at); err != nil {
			t.fail("store samples at %s: %v", at.Sub(t.start), err)
			return false, ctx.Err()
		}
		found := map[string][]pair{}
		failed := false
		for _, g := range groups {
			ev, err := t.e.Evaluate(ctx, g.ID, at)
			if err != nil {
				return false, err
			}
			for _, f := range ev.Failed {
				t.fail("rule %s, at %s: %v", f.Rule, at.Sub(t.start), f.Err)
				failed = true
			}
			for _, a := range ev.Active {
				if a.State == Firing {
					found[a.Rule] = append(found[a.Rule], pair{toProm(a.Labels), toProm(a.Annotations)})
				}
			}
		}
		if failed {
			return false, nil
		}
		for i := range t.Alerts {
			if a := &t.Alerts[i]; time.Duration(a.At)/step == at.Sub(t.start)/step {
				t.alerts(a, found[a.Name])
			}
		}
	}
	return true, nil
}

// end is when the last thing is looked at, from the start.
func (t *unitTest) end() (last time.Duration) {
	for _, a := range t.Alerts {
		last = max(last, time.Duration(a.At))
	}
	for _, x := range t.Exprs {
		last = max(last, time.Duration(x.At))
	}
	return last
}

// store appends what there is up to a time.
func (t *unitTest) store(ctx context.Context, until time.Time) error {
	app := t.e.db.AppenderV2(ctx)
	for i := range t.series {
		s := &t.series[i]
		for ; s.next < len(s.values); s.next++ {
			at := t.start.Add(time.Duration(s.next) * time.Duration(t.Interval)).UnixMilli()
			if at > until.UnixMilli() {
				break
			}
			v := s.values[s.next]
			if v.Omitted {
				continue
			}
			value := v.Value
			if v.Histogram != nil {
				value = 0
			}
			if _, err := app.Append(0, s.labels, 0, at, value, nil, v.Histogram, storage.AOptions{}); err != nil {
				return errors.Join(fmt.Errorf("%s: %w", s.labels, err), app.Rollback())
			}
		}
	}
	return app.Commit()
}

// pair is who an alert is, and what is told of it.
type pair struct{ labels, annotations labels.Labels }

func comparePairs(a, b pair) int {
	return cmp.Or(labels.Compare(a.labels, b.labels), labels.Compare(a.annotations, b.annotations))
}

func (p pair) String() string { return p.labels.String() + " annotations " + p.annotations.String() }

func (t *unitTest) alerts(want *alertTest, got []pair) {
	var expected []pair
	for _, a := range want.Alerts {
		ls := map[string]string{}
		for k, v := range a.Labels {
			ls[k] = v
		}
		ls[labels.AlertName] = want.Name
		expected = append(expected, pair{labels.FromMap(ls), labels.FromMap(a.Annotations)})
	}
	slices.SortFunc(got, comparePairs)
	slices.SortFunc(expected, comparePairs)
	if !slices.EqualFunc(expected, got, func(a, b pair) bool { return comparePairs(a, b) == 0 }) {
		t.fail("alert %s, at %s:\n  want %s\n  got  %s", want.Name, want.At, listOf(expected), listOf(got))
	}
}

// listOf writes what is compared one below the other.
func listOf[T fmt.Stringer](list []T) string {
	if len(list) == 0 {
		return "nothing"
	}
	texts := make([]string, len(list))
	for i, x := range list {
		texts[i] = x.String()
	}
	return strings.Join(texts, "\n       ")
}

// value is a sample as it is compared.
type value struct {
	labels    labels.Labels
	v         float64
	histogram string
}

func (v value) String() string {
	if v.histogram != "" {
		return v.labels.String() + " " + v.histogram
	}
	return fmt.Sprintf("%s %v", v.labels, v.v)
}

func (t *unitTest) expr(ctx context.Context, want *exprTest) {
	bad := func(err error) { t.fail("expr %q, at %s: %v", want.Expr, want.At, err) }
	vector, err := t.e.query(ctx, want.Expr, t.start.Add(time.Duration(want.At)))
	if err != nil {
		bad(err)
		return
	}
	var got, expected []value
	for _, s := range vector {
		one := value{labels: s.Metric, v: s.F}
		if s.H != nil {
			one.histogram = s.H.TestExpression()
		}
		got = append(got, one)
	}
	for _, s := range want.Samples {
		one, err := s.value()
		if err != nil {
			bad(err)
			return
		}
		expected = append(expected, one)
	}
	byLabels := func(a, b value) int { return labels.Compare(a.labels, b.labels) }
	slices.SortStableFunc(got, byLabels)
	slices.SortStableFunc(expected, byLabels)
	if !slices.EqualFunc(expected, got, func(a, b value) bool {
		return labels.Equal(a.labels, b.labels) && a.histogram == b.histogram && t.same(a.v, b.v)
	}) {
		t.fail("expr %q, at %s:\n  want %s\n  got  %s", want.Expr, want.At, listOf(expected), listOf(got))
	}
}

// same is exact, or off by the last bit with fuzzy_compare. As in promtool no NaN is
// the same as another.
func (t *unitTest) same(a, b float64) bool {
	return a == b || t.file.FuzzyCompare && (math.Nextafter(a, math.Inf(-1)) == b || math.Nextafter(a, math.Inf(1)) == b)
}

func (s *expectedSample) value() (value, error) {
	ls, err := exprs.ParseMetric(s.Labels)
	if err != nil {
		return value{}, fmt.Errorf("labels %q: %w", s.Labels, err)
	}
	one := value{labels: ls, v: s.Value}
	if s.Histogram == "" {
		return one, nil
	}
	_, list, err := exprs.ParseSeriesDesc("{} " + s.Histogram)
	if err != nil {
		return value{}, fmt.Errorf("histogram %q: %w", s.Histogram, err)
	}
	var h *histogram.FloatHistogram
	if len(list) == 1 {
		h = list[0].Histogram
	}
	if h == nil {
		return value{}, fmt.Errorf("histogram %q has to be one histogram", s.Histogram)
	}
	one.histogram = h.TestExpression()
	return one, nil
}

// toProm copies.
func toProm(from Labels) labels.Labels {
	b := labels.NewScratchBuilder(len(from))
	for _, l := range from {
		b.Add(l.Name, l.Value)
	}
	b.Sort()
	return b.Labels()
}
