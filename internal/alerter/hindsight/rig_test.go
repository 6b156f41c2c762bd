package hindsight_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/alerter/hindsight"
	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a queue into which a test writes history, in a time of its own.
type rig struct {
	t     *testing.T
	q     queue.Queue
	plan  topology.Plan
	begin time.Time
	n     int
}

// story runs f where time is the test's.
func story(t *testing.T, shards int, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, q: memory.New(), plan: topology.Plan{Shards: shards, MaxBytes: 1 << 30}}
		defer func() { r.must(r.q.Close()) }()
		r.must(topology.Apply(t.Context(), r.q, r.plan))
		r.begin = time.Now()
		f(t, r)
	})
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// run lets time go on until an offset and stores each 15 s what feed makes.
func (r *rig) run(until time.Duration, feed func(at time.Duration)) {
	r.t.Helper()
	for end := r.begin.Add(until); time.Now().Before(end); time.Sleep(15 * time.Second) {
		feed(time.Since(r.begin))
	}
}

func (r *rig) put(shard int, tenant string, fill func(pmetric.MetricSlice)) {
	r.t.Helper()
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "shop")
	fill(rm.ScopeMetrics().AppendEmpty().Metrics())
	raw, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
	r.must(err)
	p, err := codec.NewPolicy(codec.S2, 1, 0)
	r.must(err)
	body, name, err := p.Append(nil, raw)
	r.must(err)
	r.n++
	_, err = r.q.Publish(r.t.Context(), topology.Stream(otlp.Metrics, shard), record.Encode(&record.Record{
		ID: fmt.Sprint("id-", r.n), Signal: otlp.Metrics, Tenant: tenant, Codec: name, Items: md.DataPointCount(), RawBytes: len(raw), Body: body,
	}))
	r.must(err)
}

// gauge is one point of now.
func gauge(name, unit string, v float64, attributes ...string) func(pmetric.MetricSlice) {
	return func(list pmetric.MetricSlice) {
		m := list.AppendEmpty()
		m.SetName(name)
		m.SetUnit(unit)
		point(m.SetEmptyGauge().DataPoints().AppendEmpty(), v, attributes)
	}
}

func counter(name string, delta bool, v float64) func(pmetric.MetricSlice) {
	return func(list pmetric.MetricSlice) {
		m := list.AppendEmpty()
		m.SetName(name)
		s := m.SetEmptySum()
		s.SetIsMonotonic(true)
		s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		if delta {
			s.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		}
		point(s.DataPoints().AppendEmpty(), v, nil)
	}
}

func point(p pmetric.NumberDataPoint, v float64, attributes []string) {
	p.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	p.SetDoubleValue(v)
	for i := 0; i+1 < len(attributes); i += 2 {
		p.Attributes().PutStr(attributes[i], attributes[i+1])
	}
}

func parse(t *testing.T, rules string) []*promrules.File {
	t.Helper()
	f, err := promrules.Parse("rules.yaml", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	return []*promrules.File{f}
}

// options ask for what was stored from an offset until now.
func (r *rig) options(rules string, from time.Duration) hindsight.Options {
	r.t.Helper()
	return hindsight.Options{
		Source: r.q, Streams: r.plan.Streams(otlp.Metrics), Files: parse(r.t, rules), From: r.begin.Add(from), Until: time.Now(),
		Engine: promrules.Options{Dir: r.t.TempDir()},
	}
}
