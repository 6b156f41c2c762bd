package rules

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Source says where a rule of the text that came out stood in the short form. One
// rule may become two.
type Source struct {
	Line, Index int
}

// Text is a rule file in Prometheus' form: made of the short form, with the source
// of each rule by group and place in it, or text itself and nil. name is for
// errors, which are Problems.
func Text(name string, text []byte, names Names) ([]byte, map[string][]Source, error) {
	if !IsShort(text) {
		return text, nil, nil
	}
	r := &reader{file: name}
	f := r.read(text)
	if len(r.bad) > 0 {
		return nil, nil, r.bad
	}
	if f.Name == "" {
		f.Name = "rules"
	}
	out, from := promFile{}, map[string][]Source{}
	for i := range f.Rules {
		one := &f.Rules[i]
		made, problems := one.compile(names)
		for _, p := range problems {
			r.bad = append(r.bad, &Problem{File: name, Rule: one.Alert, Index: one.index, Line: one.line, Text: p})
		}
		g := out.group(f.Name, one.Every)
		g.Rules = append(g.Rules, made...)
		for range made {
			from[g.Name] = append(from[g.Name], Source{one.line, one.index})
		}
	}
	if len(r.bad) > 0 {
		return nil, nil, r.bad
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(out); err != nil {
		return nil, nil, Problems{{File: name, Text: err.Error()}}
	}
	return b.Bytes(), from, nil
}

// promFile is the form of Prometheus, as far as it is made here.
type promFile struct {
	Groups []*promGroup `yaml:"groups"`
}

type promGroup struct {
	Name     string     `yaml:"name"`
	Interval string     `yaml:"interval,omitempty"`
	Rules    []promRule `yaml:"rules"`
}

type promRule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Keep        string            `yaml:"keep_firing_for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// group finds or makes that of an interval: rules of one are evaluated together.
func (f *promFile) group(name, every string) *promGroup {
	if every != "" {
		name += " every " + every
	}
	for _, g := range f.Groups {
		if g.Name == name {
			return g
		}
	}
	g := &promGroup{Name: name, Interval: every}
	f.Groups = append(f.Groups, g)
	return g
}

var (
	duration    = regexp.MustCompile(`^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$`)
	nothing     = regexp.MustCompile(`^[0a-z]*$`)
	legacyName  = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	classicPart = regexp.MustCompile(`_(bucket|count|sum)$`)
)

// compile makes one rule, or two where its absence is an alert too.
func (r *rule) compile(names Names) (made []promRule, problems []string) {
	bad := func(format string, a ...any) { problems = append(problems, fmt.Sprintf(format, a...)) }

	if r.Alert == "" {
		bad("alert is missing: say what the alert is called")
	}
	op, ok := ops[r.Op]
	if !ok {
		bad("op %q is unknown, want gt, gte, lt, lte, eq or ne", r.Op)
	}
	for _, d := range []struct{ key, value string }{{"window", r.Window}, {"for", r.For}, {"keep_firing_for", r.Keep}, {"every", r.Every}} {
		if d.value != "" && (!duration.MatchString(d.value) || nothing.MatchString(d.value) && d.key != "for" && d.key != "keep_firing_for") {
			bad("%s %q has to be a duration such as 30s, 5m or 1h30m", d.key, d.value)
		}
	}
	absent := cmp.Or(r.OnAbsent, AbsentOK)
	if !slices.Contains([]string{AbsentOK, AbsentHold, AbsentFire}, absent) {
		bad("on_absent %q is unknown, want ok, hold or fire", absent)
	}
	if r.Labels["severity"] != "" && r.Severity != "" {
		bad("severity is there twice: take it out of labels")
	}
	if r.Summary != "" && r.Notes["summary"] != "" {
		bad("summary is there twice: take it out of annotations")
	}

	q, unit, err := r.query(names)
	if err != nil {
		bad("%v", err)
		return nil, problems
	}
	left, plain, err := q.left()
	if err != nil {
		bad("%v", err)
		return nil, problems
	}
	if r.Threshold == "" {
		bad("threshold is missing: say what the value is compared with")
		return nil, problems
	}
	limit, err := threshold(r.Threshold, unit, plain)
	if err != nil {
		bad("%v", err)
	}
	if len(problems) > 0 {
		return nil, problems
	}

	labels := map[string]string{"severity": cmp.Or(r.Severity, r.Labels["severity"], "warning")}
	for k, v := range r.Labels {
		labels[k] = cmp.Or(labels[k], v)
	}
	notes := maps.Clone(r.Notes)
	if notes == nil {
		notes = map[string]string{}
	}
	shown := unit
	if plain {
		shown = ""
	}
	if notes["summary"] = cmp.Or(r.Summary, notes["summary"]); notes["summary"] == "" {
		notes["summary"] = fmt.Sprintf("%s is %s, threshold %s %s", q.metric, readable(shown), op, r.Threshold)
	}
	one := promRule{Alert: r.Alert, Expr: left + " " + op + " " + limit, For: r.For, Keep: r.Keep, Labels: labels, Annotations: notes}
	if absent == AbsentHold {
		notes[HoldAnnotation] = AbsentHold
	}
	made = append(made, one)
	if absent == AbsentFire {
		gone := maps.Clone(notes)
		gone["summary"] = q.metric + q.inText() + " has no data"
		made = append(made, promRule{Alert: r.Alert, Expr: q.absent(), For: r.For, Keep: r.Keep, Labels: labels, Annotations: gone})
	}
	return made, nil
}

// inText is the matchers for an annotation, which is a template.
func (q *query) inText() string {
	if strings.Contains(q.matchers, "{{") || strings.Contains(q.matchers, "}}") {
		return ""
	}
	return q.matchers
}

// query finds the metric in Prometheus' form, its kind and its unit.
func (r *rule) query(names Names) (q *query, unit string, err error) {
	q = &query{metric: r.Metric, kind: r.Type, agg: r.Agg, window: r.Window}
	kinds := []string{Gauge, UpDown, Counter, Histogram, ExponentialHistogram}
	switch {
	case r.Metric == "":
		return nil, "", fmt.Errorf("metric is missing: say which metric is looked at")
	case r.Type != "" && !slices.Contains(kinds, r.Type):
		return nil, "", fmt.Errorf("type %q is unknown, want one of %s", r.Type, join(kinds))
	case r.Agg != "" && !slices.Contains(aggs, r.Agg) && !percentile.MatchString(r.Agg):
		return nil, "", fmt.Errorf("agg %q is unknown, want one of %s, or another percentile", r.Agg, join(aggs))
	case r.Unit != nil && r.Type == "":
		return nil, "", fmt.Errorf("unit makes metric the name in OTLP: it needs type as well, one of %s", join(kinds))
	case r.Unit != nil:
		unit = *r.Unit
		if q.metric, err = names.Metric(r.Metric, unit, r.Type); err != nil {
			return nil, "", fmt.Errorf("metric %q (unit %q, type %s): %w", r.Metric, unit, r.Type, err)
		}
	case !legacyName.MatchString(r.Metric):
		return nil, "", fmt.Errorf("metric %q is a name of OTLP: say its unit (\"\" when it has none) and its type, of which its name in rules is made", r.Metric)
	default:
		unit = unitOfName(r.Metric)
	}
	if !legacyName.MatchString(q.metric) {
		return nil, "", fmt.Errorf("metric %q cannot be written in a rule", r.Metric)
	}
	if q.kind == "" {
		q.kind = guessKind(q.metric, r.Agg)
	}
	if m := classicPart.FindString(q.metric); q.kind == Histogram && m != "" && r.Unit == nil {
		return nil, "", fmt.Errorf("metric %q is part of a histogram: leave out %s, it is put there as agg needs it", r.Metric, m)
	}
	if q.matchers, err = matchersOf(r.Where, r.WhereNot, names); err != nil {
		return nil, "", err
	}
	if r.GroupBy != nil {
		q.grouped = true
		for _, name := range *r.GroupBy {
			label, err := labelOf(name, names)
			if err != nil {
				return nil, "", fmt.Errorf("group_by: %w", err)
			}
			q.group = append(q.group, label)
		}
	}
	return q, unit, nil
}

// guessKind goes by what names in Prometheus' form are like.
func guessKind(metric, agg string) string {
	switch {
	case strings.HasSuffix(metric, "_total"):
		return Counter
	case percentile.MatchString(agg), strings.HasSuffix(metric, "_bucket"):
		return Histogram
	}
	return Gauge
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func join(list []string) string { return strings.Join(list, ", ") }
