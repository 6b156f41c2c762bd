package hindsight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// The levels of findings.
const (
	Warning = "warning" // the rule will not do what it says
	Note    = "note"    // good to know
)

// Finding is something about a rule.
type Finding struct {
	Level string `json:"level"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"` // 0: not known
	Group string `json:"group,omitempty"`
	Rule  string `json:"rule,omitempty"`
	Text  string `json:"text"`
}

// Cost is what a rule reads at each evaluation, of all tenants together.
type Cost struct {
	File    string `json:"file"`
	Group   string `json:"group"`
	Rule    string `json:"rule"`
	Series  int    `json:"series"`
	Samples int    `json:"samples"`
}

// Verdict is what is to be said of rules.
type Verdict struct {
	Findings []Finding `json:"findings"`
	// What follows is of the queue, and empty without one.
	Read   *Read  `json:"read,omitempty"`
	Seen   int    `json:"metrics_seen,omitempty"`
	Series int    `json:"series,omitempty"` // that the rules keep in memory
	Costs  []Cost `json:"costs,omitempty"`
}

// Static says what the rules alone tell.
func Static(files []*promrules.File) *Verdict {
	v := &Verdict{Findings: []Finding{}}
	for _, f := range files {
		for _, r := range f.Rules() {
			find := finder(v, f, &r)
			if r.Broad {
				find(Warning, "can read any metric, so that all metrics of a tenant are kept in memory: name the metric")
			}
			for _, c := range r.Comparisons {
				if strings.HasSuffix(c.Name, "_total") && slices.ContainsFunc(r.Selectors, func(s promrules.Selector) bool { return s.Name == c.Name && s.Raw }) {
					find(Warning, "compares the value of the counter %s, which begins anew with its process: use rate or increase", c.Name)
				}
			}
		}
	}
	return v
}

func finder(v *Verdict, f *promrules.File, r *promrules.RuleInfo) func(level, format string, a ...any) {
	return func(level, format string, a ...any) {
		one := Finding{Level: level, File: f.Name(), Line: r.Line, Group: r.Group, Rule: r.Name, Text: fmt.Sprintf(format, a...)}
		if !slices.Contains(v.Findings, one) {
			v.Findings = append(v.Findings, one)
		}
	}
}

// manySamples is how many a rule may read before it is told.
const manySamples = 1_000_000

// Check says what the rules and the history tell. shards is queue.shards.
func Check(ctx context.Context, o Options, shards int) (_ *Verdict, err error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	o.Engine.Retention = max(o.Engine.Retention, o.Until.Sub(o.From)+time.Hour)
	c := &check{Verdict: Static(o.Files), o: &o, shards: shards, seen: map[string]metric{}, recorded: map[string]bool{"ALERTS": true, "ALERTS_FOR_STATE": true, "target_info": true}}
	for _, f := range o.Files {
		for _, r := range f.Rules() {
			if r.Records {
				c.recorded[r.Name] = true
			}
		}
	}
	c.reader = &reader{o: &o, begin: o.From, wants: c.note, due: func(context.Context, time.Time) error { return nil }}
	defer func() { err = errors.Join(err, c.reader.close()) }()
	if err := c.reader.run(ctx); err != nil {
		return nil, err
	}
	for _, f := range o.Files {
		for _, r := range f.Rules() {
			if err := c.rule(ctx, f, &r); err != nil {
				return nil, err
			}
		}
	}
	c.sum()
	return c.Verdict, nil
}

// metric is one that came.
type metric struct {
	name, unit string // in OTLP
	kind       promrules.Kind
	delta      bool
}

// maxSeen bounds the metrics that are remembered.
const maxSeen = 50_000

// check is one that runs.
type check struct {
	*Verdict
	o        *Options
	shards   int
	reader   *reader
	recorded map[string]bool

	mu   sync.Mutex
	seen map[string]metric // mu; by the name in Prometheus' form
}

// note remembers what a metric is.
func (c *check) note(_ string, h otlp.MetricHead) {
	kind := promrules.KindOf(h)
	if kind == 0 {
		return
	}
	name, err := promrules.MetricName(string(h.Name), string(h.Unit), kind)
	if err != nil { // no rule can name it
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m, ok := c.seen[name]
	if !ok && len(c.seen) >= maxSeen {
		return
	}
	c.seen[name] = metric{printable(h.Name), printable(h.Unit), kind, m.delta || h.Delta}
}

// printable is what may be shown on a terminal.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(b))
}

// of finds the metric of a series.
func (c *check) of(series string) (metric, bool) {
	if m, ok := c.seen[series]; ok {
		return m, true
	}
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if base, ok := strings.CutSuffix(series, suffix); ok {
			if m, ok := c.seen[base]; ok && m.kind != promrules.ExponentialHistogram {
				return m, true
			}
		}
	}
	return metric{}, false
}

func (c *check) rule(ctx context.Context, f *promrules.File, r *promrules.RuleInfo) error {
	find := finder(c.Verdict, f, r)
	cost := Cost{File: f.Name(), Group: r.Group, Rule: r.Name}
	some := slices.ContainsFunc(r.Selectors, func(s promrules.Selector) bool { _, ok := c.of(s.Name); return ok })
	for _, s := range r.Selectors {
		if s.Name == "" || c.recorded[s.Name] {
			continue
		}
		m, ok := c.of(s.Name)
		if !ok {
			level := Warning
			if some { // such as one of several names that a metric has had
				level = Note
			}
			find(level, "%s did not come within %s%s", s.Name, c.o.Until.Sub(c.o.From).Round(time.Second), c.instead(s.Name))
			continue
		}
		all, now, err := c.measure(ctx, s)
		if err != nil {
			return err
		}
		cost.Series += now.Series
		cost.Samples += now.Samples
		switch {
		case all.Series == 0 && m.kind == promrules.Histogram && c.isBase(s.Name):
			find(Warning, "%s comes with explicit buckets: its series are %[1]s_bucket, %[1]s_count and %[1]s_sum", s.Name)
		case all.Series == 0:
			find(Warning, "%s comes, but no series of it is as in %s: look at its labels", s.Name, s.Text)
		case s.Rate && all.Interval > 0 && s.Window < 2*all.Interval:
			find(Warning, "%s comes every %s, so that a window of %s never has the two samples that are needed: want %s or more", s.Name, rounded(all.Interval), s.Window, rounded(4*all.Interval))
		case s.Rate && all.Interval > 0 && s.Window < 4*all.Interval:
			find(Warning, "%s comes every %s, so that a window of %s has gaps whenever a sample is late: want %s or more", s.Name, rounded(all.Interval), s.Window, rounded(4*all.Interval))
		}
		if m.delta && s.Raw && (m.kind == promrules.MonotonicSum) {
			find(Warning, "%s comes as deltas: its sum begins at 0 with each alerter, so that its value means nothing: use rate or increase", s.Name)
		}
		if m.delta && c.shards > 1 {
			find(Warning, "%s comes as deltas and queue.shards is %d: deltas of one series may come through several streams and be swapped, by 30 s at most, and the earlier one is then lost", s.Name, c.shards)
		}
	}
	for _, x := range r.Comparisons {
		m, ok := c.of(x.Name)
		switch {
		case !ok:
		case m.unit == "1" && (m.kind == promrules.Gauge) && (x.Limit > 1 || x.Limit < -1):
			find(Warning, "compares %s with %v, and its unit is \"1\": it is a part of 1, 80 %% is 0.8", x.Name, x.Limit)
		case m.unit == "%" && x.Limit > 0 && x.Limit < 1:
			find(Warning, "compares %s with %v, and its unit is %%: 80 %% is 80", x.Name, x.Limit)
		}
	}
	if cost.Samples > manySamples {
		find(Warning, "reads %d samples at each evaluation: a recording rule for a part of it makes it cheaper", cost.Samples)
	}
	if cost.Series > 0 {
		c.Costs = append(c.Costs, cost)
	}
	return nil
}

func (c *check) isBase(name string) bool { _, ok := c.seen[name]; return ok }

func rounded(d time.Duration) time.Duration {
	return d.Round(min(time.Second, max(time.Millisecond, d/100)))
}

// measure looks at a selector over all that was read, and as an evaluation at the
// end does.
func (c *check) measure(ctx context.Context, s promrules.Selector) (all, now promrules.Measured, err error) {
	for _, name := range slices.Sorted(maps.Keys(c.reader.tenants)) {
		e := c.reader.tenants[name].e
		m, err := e.Measure(ctx, s.Text, c.o.From.Add(-time.Hour), c.o.Until.Add(time.Hour))
		if err != nil {
			return all, now, err
		}
		all.Series += m.Series
		all.Samples += m.Samples
		all.Interval = max(all.Interval, m.Interval)
		if s.Window == 0 {
			now.Series += m.Series
			now.Samples += m.Series
			continue
		}
		// As dense as it is, over the window: which may be longer than what was read.
		now.Series += m.Series
		if m.Interval > 0 {
			now.Samples += int(float64(m.Series) * max(1, float64(s.Window)/float64(m.Interval)))
		} else {
			now.Samples += m.Samples
		}
	}
	return all, now, nil
}

// sum says what is of all rules together.
func (c *check) sum() {
	c.Seen = len(c.seen)
	r := &c.reader.read
	r.Tenants = c.reader.names()
	for _, name := range r.Tenants {
		n, _ := c.reader.tenants[name].e.Series()
		c.Series += n
	}
	c.Read = r
	if n := r.Dropped[promrules.SeriesLimit.String()]; n > 0 {
		c.Findings = append(c.Findings, Finding{Level: Warning, Text: fmt.Sprintf("the rules name more series than a tenant may have: %d samples were left out", n)})
	}
	slices.SortFunc(c.Costs, func(a, b Cost) int { return cmp.Or(cmp.Compare(b.Samples, a.Samples), cmp.Compare(a.Rule, b.Rule)) })
}
