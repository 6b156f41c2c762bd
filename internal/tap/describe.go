package tap

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// describe fills in name, type, value and ids from a request with one item.
func describe(i *Item, request []byte) (err error) {
	defer func() {
		if p := recover(); p != nil { // as pdata may for bytes it does not like
			err = fmt.Errorf("the Collector's decoder fails on it: %v", p)
		}
	}()
	switch i.Signal {
	case otlp.Traces:
		var d ptrace.Traces
		if d, err = (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(request); err == nil {
			i.span(d.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0))
		}
	case otlp.Metrics:
		var d pmetric.Metrics
		if d, err = (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(request); err == nil {
			i.point(d.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0))
		}
	case otlp.Logs:
		var d plog.Logs
		if d, err = (&plog.ProtoUnmarshaler{}).UnmarshalLogs(request); err == nil {
			i.record(d.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0))
		}
	}
	if err != nil {
		return fmt.Errorf("the Collector's decoder refuses it: %w", err)
	}
	return nil
}

func (i *Item) span(s ptrace.Span) {
	i.Name = bound(s.Name(), maxName)
	i.Type = strings.ToLower(s.Kind().String())
	if start, end := s.StartTimestamp(), s.EndTimestamp(); start != 0 && end >= start {
		i.Value = time.Duration(end - start).String()
	}
	switch s.Status().Code() {
	case ptrace.StatusCodeOk:
		i.Value += " ok"
	case ptrace.StatusCodeError:
		i.Value += " error"
	}
	if m := s.Status().Message(); m != "" {
		i.Value += ": " + bound(m, maxBody)
	}
	i.Value = strings.TrimSpace(i.Value)
	i.TraceID, i.SpanID, i.ParentSpanID = s.TraceID().String(), s.SpanID().String(), s.ParentSpanID().String()
}

func (i *Item) record(r plog.LogRecord) {
	i.Name = bound(r.EventName(), maxName)
	i.Type = bound(r.SeverityText(), maxName)
	if i.Type == "" && r.SeverityNumber() != 0 {
		i.Type = or(r.SeverityNumber().String(), strconv.Itoa(int(r.SeverityNumber())))
	}
	i.Value = bound(r.Body().AsString(), maxBody)
	i.TraceID, i.SpanID = r.TraceID().String(), r.SpanID().String()
}

func (i *Item) point(m pmetric.Metric) {
	i.Name = bound(m.Name(), maxName)
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		i.Type, i.Value = "gauge", number(m.Gauge().DataPoints().At(0))
	case pmetric.MetricTypeSum:
		i.Type, i.Value = "sum", number(m.Sum().DataPoints().At(0))
	case pmetric.MetricTypeHistogram:
		p := m.Histogram().DataPoints().At(0)
		i.Type, i.Value = "histogram", distribution(p, p.HasSum(), p.HasMin(), p.HasMax())
	case pmetric.MetricTypeExponentialHistogram:
		p := m.ExponentialHistogram().DataPoints().At(0)
		i.Type, i.Value = "exp_histogram", distribution(p, p.HasSum(), p.HasMin(), p.HasMax())
	case pmetric.MetricTypeSummary:
		p := m.Summary().DataPoints().At(0)
		i.Type, i.Value = "summary", fmt.Sprintf("count=%d sum=%g", p.Count(), p.Sum())
	}
	if u := m.Unit(); u != "" && u != "1" {
		i.Value += " " + bound(u, maxName)
	}
}

func number(p pmetric.NumberDataPoint) string {
	switch p.ValueType() {
	case pmetric.NumberDataPointValueTypeInt:
		return strconv.FormatInt(p.IntValue(), 10)
	case pmetric.NumberDataPointValueTypeDouble:
		return strconv.FormatFloat(p.DoubleValue(), 'g', -1, 64)
	}
	return "no value"
}

func distribution(p interface {
	Count() uint64
	Sum() float64
	Min() float64
	Max() float64
}, sum, least, most bool) string {
	text := fmt.Sprintf("count=%d", p.Count())
	if sum {
		text += fmt.Sprintf(" sum=%g", p.Sum())
	}
	if least {
		text += fmt.Sprintf(" min=%g", p.Min())
	}
	if most {
		text += fmt.Sprintf(" max=%g", p.Max())
	}
	return text
}
