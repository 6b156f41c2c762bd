package conformance

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

const secJSON = "OTLP/HTTP: JSON Protobuf Encoding"

var jsonRows = []Row{
	{ID: "J1", Level: "MUST", Section: secJSON, needs: needHTTP, run: rowJ1,
		Rule: "Trace and span ids are hex in either case, in spans, links, logs and exemplars, and never base64."},
	{ID: "J2", Level: "MUST", Section: secJSON, needs: needHTTP, run: rowJ2,
		Rule: "Enums are integers; their names are not allowed."},
	{ID: "J3", Level: "MUST", Section: secJSON, needs: needHTTP, run: rowJ3,
		Rule: "Fields of unknown names are ignored."},
	{ID: "J4", Level: "stated", Section: secJSON, needs: needHTTP, run: rowJ4,
		Rule: "Keys are lowerCamelCase; the names of the protobuf fields are not valid."},
	{ID: "J5", Level: "stated", Section: secJSON, needs: needHTTP, run: rowJ5,
		Rule: "64-bit integers are read as strings and as numbers, without loss; bytes other than ids are base64."},
}

// jsonArrived posts JSON and gives what the backend got of it, as the signal's
// request. Without a backend the request is nil.
func (c *check) jsonArrived(ctx context.Context, s signal, mark, body string) (proto.Message, Verdict) {
	b := c.anyBackend()
	var w *watch
	if b != nil {
		w = b.expect(mark, nil)
	}
	a, err := c.postPatiently(ctx, s, jsonType, "", []byte(body))
	if v := wantOK(s, a, err, jsonType, body); v.Outcome != Pass || b == nil {
		return nil, v
	}
	if !w.await(ctx, 1, c.Patience) {
		return nil, failed(body, "the same at the backend", fmt.Sprintf("nothing within %s", c.Patience))
	}
	m, err := w.all()[0].decode(s)
	if err != nil {
		return nil, failed(body, "the same at the backend", err.Error())
	}
	return m, passed
}

// decode reads an arrival, protobuf or JSON.
func (a *arrival) decode(s signal) (proto.Message, error) {
	m := s.newRequest()
	if a.problem != "" {
		return nil, fmt.Errorf("%s", a.problem)
	}
	if strings.HasPrefix(a.header.Get("Content-Type"), jsonType) {
		return nil, fmt.Errorf("the endpoint exports JSON, in which this suite does not look for values")
	}
	return m, proto.Unmarshal(a.body, m)
}

// idPlaces are requests with an id in each place, for a format of hex digits.
func idPlaces(s signal, mark, verb string) string {
	t, sp, p := fmt.Sprintf(verb, traceID), fmt.Sprintf(verb, spanID), fmt.Sprintf(verb, parentID)
	return placeIDs(s, mark, t, sp, p)
}

func placeIDs(s signal, mark, t, sp, p string) string {
	body := s.requestJSON(mark)
	switch s.name {
	case "traces":
		return strings.Replace(body, fmt.Sprintf(`"traceId":"%x","spanId":"%x"`, traceID, spanID),
			fmt.Sprintf(`"traceId":%q,"spanId":%q,"parentSpanId":%q,"links":[{"traceId":%q,"spanId":%q}]`, t, sp, p, t, sp), 1)
	case "metrics":
		exemplars := fmt.Sprintf(`"timeUnixNano":"%d","exemplars":[{"timeUnixNano":"%d","asInt":"1","traceId":%q,"spanId":%q}]`, int64(endNano), int64(endNano), t, sp)
		return strings.Replace(body, `"metrics":[`, `"metrics":[`+
			`{"name":"s","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"asInt":"1",`+exemplars+`}]}},`+
			`{"name":"g","gauge":{"dataPoints":[{"asInt":"1",`+exemplars+`}]}},`+
			`{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"1","sum":1,"bucketCounts":["1"],`+exemplars+`}]}},`+
			`{"name":"e","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"count":"1","sum":1,"scale":0,"zeroCount":"1",`+exemplars+`}]}},`, 1)
	default:
		return strings.Replace(body, `"severityNumber":9`, fmt.Sprintf(`"severityNumber":9,"traceId":%q,"spanId":%q`, t, sp), 1)
	}
}

// idsOf are the ids of an arrival in the order of placeIDs, of everything that is
// in it.
func idsOf(m proto.Message) (ids [][]byte) {
	switch m := m.(type) {
	case *coltrace.ExportTraceServiceRequest:
		for _, rs := range m.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				for _, sp := range ss.GetSpans() {
					ids = append(ids, sp.GetTraceId(), sp.GetSpanId(), sp.GetParentSpanId())
					for _, l := range sp.GetLinks() {
						ids = append(ids, l.GetTraceId(), l.GetSpanId())
					}
				}
			}
		}
	case *colmetrics.ExportMetricsServiceRequest:
		for _, rm := range m.GetResourceMetrics() {
			for _, sm := range rm.GetScopeMetrics() {
				for _, x := range sm.GetMetrics() {
					ids = append(ids, exemplarIDs(x)...)
				}
			}
		}
	case *collogs.ExportLogsServiceRequest:
		for _, rl := range m.GetResourceLogs() {
			for _, sl := range rl.GetScopeLogs() {
				for _, r := range sl.GetLogRecords() {
					ids = append(ids, r.GetTraceId(), r.GetSpanId())
				}
			}
		}
	}
	return ids
}

func exemplarIDs(x *metrics.Metric) (ids [][]byte) {
	add := func(list []*metrics.Exemplar) {
		for _, e := range list {
			ids = append(ids, e.GetTraceId(), e.GetSpanId())
		}
	}
	for _, p := range slices.Concat(x.GetGauge().GetDataPoints(), x.GetSum().GetDataPoints()) {
		add(p.GetExemplars())
	}
	for _, p := range x.GetHistogram().GetDataPoints() {
		add(p.GetExemplars())
	}
	for _, p := range x.GetExponentialHistogram().GetDataPoints() {
		add(p.GetExemplars())
	}
	return ids
}

func wantIDs(s signal, m proto.Message, sent string) Verdict {
	want := map[string][][]byte{
		"traces": {traceID, spanID, parentID, traceID, spanID}, "metrics": {traceID, spanID, traceID, spanID, traceID, spanID, traceID, spanID}, "logs": {traceID, spanID},
	}[s.name]
	got := idsOf(m)
	if len(got) != len(want) {
		return failed(sent, fmt.Sprintf("ids %x at the backend", want), fmt.Sprintf("%x", got))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			return failed(sent, fmt.Sprintf("ids %x at the backend", want), fmt.Sprintf("%x", got))
		}
	}
	return passed
}

func rowJ1(c *check) {
	for _, x := range []struct{ name, verb string }{{"lower case", "%x"}, {"upper case", "%X"}} {
		c.each("hex in "+x.name, func(ctx context.Context, s signal) Verdict {
			mark := newMark()
			body := idPlaces(s, mark, x.verb)
			m, v := c.jsonArrived(ctx, s, mark, body)
			if m == nil {
				return v
			}
			return wantIDs(s, m, body)
		})
	}
	c.each("base64", func(ctx context.Context, s signal) Verdict {
		e := base64.StdEncoding
		body := placeIDs(s, newMark(), e.EncodeToString(traceID), e.EncodeToString(spanID), e.EncodeToString(parentID))
		return c.wantJSONRefused(ctx, s, body)
	})
}

func (c *check) wantJSONRefused(ctx context.Context, s signal, body string) Verdict {
	a, err := c.post(ctx, s, jsonType, "", []byte(body))
	switch {
	case err != nil:
		return failed(body, "HTTP 400", err.Error())
	case a.status != http.StatusBadRequest:
		return failed(body, "HTTP 400", a.String())
	}
	return passed
}

// enumPlaces are a request with an enum, and its name in place of the integer.
func enumPlaces(s signal) (body, name string) {
	body = s.requestJSON(newMark())
	switch s.name {
	case "traces":
		body = strings.Replace(body, `"kind":2`, `"kind":2,"status":{"code":2}`, 1)
		return body, strings.Replace(body, `"kind":2`, `"kind":"SPAN_KIND_SERVER"`, 1)
	case "metrics":
		body = strings.Replace(body, `"gauge":{`, `"sum":{"aggregationTemporality":2,"isMonotonic":true,`, 1)
		return body, strings.Replace(body, `"aggregationTemporality":2`, `"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE"`, 1)
	default:
		return body, strings.Replace(body, `"severityNumber":9`, `"severityNumber":"SEVERITY_NUMBER_INFO"`, 1)
	}
}

func rowJ2(c *check) {
	c.each("integer", func(ctx context.Context, s signal) Verdict {
		body, _ := enumPlaces(s)
		return c.takenHTTP(ctx, s, jsonType, "", []byte(body))
	})
	c.each("an integer of a later version", func(ctx context.Context, s signal) Verdict {
		body, _ := enumPlaces(s)
		body = strings.NewReplacer(`"kind":2`, `"kind":77`, `"aggregationTemporality":2`, `"aggregationTemporality":77`, `"severityNumber":9`, `"severityNumber":77`).Replace(body)
		return c.takenHTTP(ctx, s, jsonType, "", []byte(body))
	})
	c.each("a name is refused", func(ctx context.Context, s signal) Verdict {
		_, name := enumPlaces(s)
		return c.wantJSONRefused(ctx, s, name)
	})
}

func rowJ3(c *check) {
	for _, x := range []struct{ name, value string }{
		{"a text", `"x"`}, {"a number", `1.5e3`}, {"null", `null`}, {"an object", `{"kind":"SERVER","resource_spans":[{}],"a":[1,{"b":null}]}`}, {"a list", `[[],{},"]"]`},
	} {
		c.each(x.name+" at every depth", func(ctx context.Context, s signal) Verdict {
			mark := newMark()
			body := strings.ReplaceAll(s.requestJSON(mark), `{`, `{"conformanceUnknown":`+x.value+`,`)
			_, v := c.jsonArrived(ctx, s, mark, body)
			return v
		})
	}
}

func rowJ4(c *check) {
	c.each("the name of a protobuf field is refused or ignored", func(ctx context.Context, s signal) Verdict {
		mark := newMark()
		camel := map[string]string{"traces": "resourceSpans", "metrics": "resourceMetrics", "logs": "resourceLogs"}[s.name]
		snake := strings.Replace(camel, "resource", "resource_", 1)
		snake = strings.ToLower(snake)
		body := strings.Replace(s.requestJSON(mark), camel, snake, 1)
		return c.wantUnseen(ctx, s, mark, body)
	})
}

// wantUnseen wants a request to be refused, or to arrive nowhere.
func (c *check) wantUnseen(ctx context.Context, s signal, mark, body string) Verdict {
	b := c.anyBackend()
	var w *watch
	if b != nil {
		w = b.expect(mark, nil)
	}
	a, err := c.post(ctx, s, jsonType, "", []byte(body))
	switch {
	case err != nil:
		return failed(body, "HTTP 400, or 200 and nothing taken", err.Error())
	case a.status == http.StatusBadRequest:
		return passed
	case a.status != http.StatusOK:
		return failed(body, "HTTP 400, or 200 and nothing taken", a.String())
	case b == nil:
		return notApplicable("the endpoint answers 200; whether it took anything only a backend can tell")
	case w.await(ctx, 1, c.Quiet):
		return failed(body, "HTTP 400, or 200 and nothing taken", "it arrived at the backend")
	}
	return passed
}

func rowJ5(c *check) {
	for _, x := range []struct{ name, form string }{{"a string", `"%d"`}, {"a number", `%d`}} {
		c.each("a 64-bit integer as "+x.name, func(ctx context.Context, s signal) Verdict {
			mark := newMark()
			value := fmt.Sprintf(x.form, int64(bigInt))
			extra := fmt.Sprintf(`{"key":"service.name","value":{"stringValue":%q}},{"key":"big","value":{"intValue":%s}},{"key":"raw","value":{"bytesValue":"AP8Q"}}`, mark, value)
			body := strings.Replace(s.requestJSON(mark), fmt.Sprintf(`{"key":"service.name","value":{"stringValue":%q}}`, mark), extra, 1)
			m, v := c.jsonArrived(ctx, s, mark, body)
			if m == nil {
				return v
			}
			// The values in the bytes of their fields: int_value is 3, bytes_value is 7.
			b := encode(m)
			if !bytes.Contains(b, append([]byte{3 << 3}, varint(bigInt)...)) {
				return failed(body, fmt.Sprintf("the integer %d at the backend", int64(bigInt)), fmt.Sprint(m))
			}
			if !bytes.Contains(b, []byte{7<<3 | 2, 3, 0x00, 0xff, 0x10}) {
				return failed(body, "the bytes 00 ff 10 at the backend", fmt.Sprint(m))
			}
			return passed
		})
	}
}
