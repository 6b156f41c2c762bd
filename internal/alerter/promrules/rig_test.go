package promrules_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
)

// epoch is when every story begins.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// rig is an engine whose clock is the test's.
type rig struct {
	t   *testing.T
	e   *promrules.Engine
	now time.Time
}

func newRig(t *testing.T, rules string, change ...func(*promrules.Options)) *rig {
	t.Helper()
	o := promrules.Options{Dir: t.TempDir()}
	for _, c := range change {
		c(&o)
	}
	e, err := promrules.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		left, err := os.ReadDir(o.Dir)
		if err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	r := &rig{t: t, e: e, now: epoch}
	r.load(rules)
	return r
}

func parse(t *testing.T, name, rules string) *promrules.File {
	t.Helper()
	f, err := promrules.Parse(name, []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (r *rig) load(rules string) {
	r.t.Helper()
	if err := r.e.Load([]*promrules.File{parse(r.t, "test.yaml", rules)}); err != nil {
		r.t.Fatal(err)
	}
}

// group makes a rule file of one group named g.
func group(rules string) string {
	return "groups:\n- name: g\n  interval: 15s\n  rules:\n" + rules
}

var g = promrules.GroupID{File: "test.yaml", Group: "g"}

// metrics makes a request.
func metrics(fill ...func(pmetric.MetricSlice)) []byte {
	return request("shop", fill...)
}

func request(service string, fill ...func(pmetric.MetricSlice)) []byte {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", service)
	list := rm.ScopeMetrics().AppendEmpty().Metrics()
	for _, f := range fill {
		f(list)
	}
	b, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
	if err != nil {
		panic(err)
	}
	return b
}

// point is one sample of a gauge or sum.
type point struct {
	at time.Time
	v  float64
	// where is the value of the attribute "where".
	where string
}

func put(list pmetric.NumberDataPointSlice, points []point, start time.Time) {
	for _, p := range points {
		d := list.AppendEmpty()
		d.SetTimestamp(pcommon.NewTimestampFromTime(p.at))
		if !start.IsZero() {
			d.SetStartTimestamp(pcommon.NewTimestampFromTime(start))
		}
		d.SetDoubleValue(p.v)
		if p.where != "" {
			d.Attributes().PutStr("where", p.where)
		}
	}
}

func gauge(name string, points ...point) func(pmetric.MetricSlice) {
	return func(list pmetric.MetricSlice) {
		m := list.AppendEmpty()
		m.SetName(name)
		put(m.SetEmptyGauge().DataPoints(), points, time.Time{})
	}
}

func sum(name string, temp pmetric.AggregationTemporality, points ...point) func(pmetric.MetricSlice) {
	return func(list pmetric.MetricSlice) {
		m := list.AppendEmpty()
		m.SetName(name)
		s := m.SetEmptySum()
		s.SetIsMonotonic(true)
		s.SetAggregationTemporality(temp)
		put(s.DataPoints(), points, epoch.Add(-time.Hour))
	}
}

const (
	cumulative = pmetric.AggregationTemporalityCumulative
	delta      = pmetric.AggregationTemporalityDelta
)

// append stores a request at the rig's now, and wants every sample stored.
func (r *rig) append(request []byte) {
	r.t.Helper()
	if a := r.try(request); a.Left() != 0 {
		r.t.Fatalf("at %s: %+v", r.now.Sub(epoch), a)
	}
}

func (r *rig) try(request []byte) promrules.Appended {
	r.t.Helper()
	a, err := r.e.Append(r.t.Context(), request, r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) evaluate() promrules.Evaluation {
	r.t.Helper()
	ev, err := r.e.Evaluate(r.t.Context(), g, r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	return ev
}

// run goes on in steps of 15 s until an offset, appends what feed makes and
// evaluates. It returns the changes as "5m0s firing HighCPU where=a".
func (r *rig) run(until time.Duration, feed func(at time.Time) []byte) (changes []string) {
	r.t.Helper()
	before := map[string]string{}
	if prior, ok := priors[r]; ok {
		before = prior
	}
	priors[r] = before
	r.t.Cleanup(func() { delete(priors, r) })
	for ; !r.now.After(epoch.Add(until)); r.now = r.now.Add(15 * time.Second) {
		if feed != nil {
			if b := feed(r.now); b != nil {
				r.append(b)
			}
		}
		ev := r.evaluate()
		if len(ev.Failed) > 0 {
			r.t.Fatalf("at %s: %v", r.now.Sub(epoch), ev.Failed)
		}
		active := map[string]string{}
		for _, a := range ev.Active {
			active[who(a)] = a.State.String()
		}
		for _, k := range slices.Sorted(maps.Keys(active)) {
			if s := active[k]; before[k] != s {
				changes = append(changes, fmt.Sprintf("%s %s %s", r.now.Sub(epoch), s, k))
			}
		}
		for _, k := range slices.Sorted(maps.Keys(before)) {
			if active[k] == "" {
				changes = append(changes, fmt.Sprintf("%s gone %s", r.now.Sub(epoch), k))
				delete(before, k)
			}
		}
		maps.Copy(before, active)
	}
	return changes
}

// priors are what run saw last; tests of this package are not parallel.
var priors = map[*rig]map[string]string{}

func who(a promrules.Alert) string {
	parts := []string{a.Rule}
	for _, l := range a.Labels {
		if l.Name == "where" {
			parts = append(parts, "where="+l.Value)
		}
	}
	return strings.Join(parts, " ")
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// value is the one sample of a query.
func (r *rig) value(expr string) float64 {
	r.t.Helper()
	list, err := r.e.Query(r.t.Context(), expr, r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(list) != 1 {
		r.t.Fatalf("%s at %s: %v, want one sample", expr, r.now.Sub(epoch), list)
	}
	return list[0].Value
}
