package tap_test

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/tap"
)

// said is type and value of each item of a request.
func said(t *testing.T, sig otlp.Signal, raw []byte) (list []string) {
	t.Helper()
	r := newRig(t, 1)
	r.put(sig, "", raw)
	for _, i := range r.stored(func(o *tap.Options) { o.Signals = []otlp.Signal{sig} }) {
		if i.Problem != "" {
			t.Error(i.Problem)
		}
		list = append(list, i.Type+"|"+i.Value)
	}
	return list
}

func checkSaid(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("\n%q\nwant\n%q", got, want)
	}
}

func TestPointsInWords(t *testing.T) {
	d := pmetric.NewMetrics()
	list := d.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
	add := func(unit string) pmetric.Metric {
		m := list.AppendEmpty()
		m.SetUnit(unit)
		return m
	}
	add("1").SetEmptyGauge().DataPoints().AppendEmpty().SetDoubleValue(0.5)
	add("").SetEmptyGauge().DataPoints().AppendEmpty()
	sum := add("By").SetEmptySum()
	sum.DataPoints().AppendEmpty().SetIntValue(-7)
	sum.DataPoints().AppendEmpty().SetIntValue(8)
	h := add("s").SetEmptyHistogram().DataPoints()
	h.AppendEmpty().SetCount(3)
	full := h.AppendEmpty()
	full.SetCount(4)
	full.SetSum(1.5)
	full.SetMin(0.25)
	full.SetMax(1)
	e := add("s").SetEmptyExponentialHistogram().DataPoints().AppendEmpty()
	e.SetCount(5)
	e.SetSum(2)
	s := add("").SetEmptySummary().DataPoints().AppendEmpty()
	s.SetCount(6)
	s.SetSum(3)
	list.AppendEmpty().SetName("nothing")
	checkSaid(t, said(t, otlp.Metrics, encoded((&pmetric.ProtoMarshaler{}).MarshalMetrics(d))),
		"gauge|0.5", "gauge|no value", "sum|-7 By", "sum|8 By", "histogram|count=3 s", "histogram|count=4 sum=1.5 min=0.25 max=1 s",
		"exp_histogram|count=5 sum=2 s", "summary|count=6 sum=3")
}

func TestSpansInWords(t *testing.T) {
	d := ptrace.NewTraces()
	list := d.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	span := func(kind ptrace.SpanKind, start, end uint64, code ptrace.StatusCode, message string) {
		s := list.AppendEmpty()
		s.SetKind(kind)
		s.SetStartTimestamp(1)
		for _, a := range []string{"list", "map"} {
			s.Attributes().PutEmpty(a)
		}
		s.SetStartTimestamp(0)
		if start > 0 {
			s.SetStartTimestamp(1)
		}
		s.SetEndTimestamp(1)
		if end > 0 {
			s.SetEndTimestamp(1_500_001)
		}
		s.Status().SetCode(code)
		s.Status().SetMessage(message)
	}
	span(ptrace.SpanKindClient, 1, 1, ptrace.StatusCodeUnset, "")
	span(ptrace.SpanKindUnspecified, 1, 0, ptrace.StatusCodeOk, "")
	span(ptrace.SpanKind(77), 0, 1, ptrace.StatusCodeError, "broken")
	checkSaid(t, said(t, otlp.Traces, encoded((&ptrace.ProtoMarshaler{}).MarshalTraces(d))),
		"client|1.5ms", "unspecified|0s ok", "|error: broken")
}

func TestRecordsInWords(t *testing.T) {
	d := plog.NewLogs()
	list := d.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	list.AppendEmpty().SetSeverityNumber(plog.SeverityNumberError2)
	list.AppendEmpty().SetSeverityNumber(99)
	m := list.AppendEmpty()
	m.Body().SetEmptyMap().PutInt("a", 1)
	m.Attributes().PutEmptySlice("l").AppendEmpty().SetInt(1)
	m.Attributes().PutEmptyMap("m")
	raw := encoded((&plog.ProtoMarshaler{}).MarshalLogs(d))
	checkSaid(t, said(t, otlp.Logs, raw), "Error2|", "99|", `|{"a":1}`)
	r := newRig(t, 1)
	r.put(otlp.Logs, "", raw)
	if a := r.stored()[2].Attributes; a[0].Value != "[...]" || a[1].Value != "{...}" {
		t.Errorf("%v", a)
	}
}
