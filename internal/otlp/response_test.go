package otlp

import (
	"errors"
	"math"
	"strings"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// officialResponse decodes a response with the official types; set tells whether
// partial_success is.
func officialResponse(t *testing.T, sig Signal, b []byte, unmarshal func([]byte, proto.Message) error) (set bool, rejected int64, message string) {
	t.Helper()
	var err error
	switch sig {
	case Traces:
		var r coltrace.ExportTraceServiceResponse
		err = unmarshal(b, &r)
		set, rejected, message = r.PartialSuccess != nil, r.GetPartialSuccess().GetRejectedSpans(), r.GetPartialSuccess().GetErrorMessage()
	case Metrics:
		var r colmetrics.ExportMetricsServiceResponse
		err = unmarshal(b, &r)
		set, rejected, message = r.PartialSuccess != nil, r.GetPartialSuccess().GetRejectedDataPoints(), r.GetPartialSuccess().GetErrorMessage()
	case Logs:
		var r collogs.ExportLogsServiceResponse
		err = unmarshal(b, &r)
		set, rejected, message = r.PartialSuccess != nil, r.GetPartialSuccess().GetRejectedLogRecords(), r.GetPartialSuccess().GetErrorMessage()
	}
	if err != nil {
		t.Fatalf("%s %q: %v", sig, b, err)
	}
	return set, rejected, message
}

func TestResponseIsTheOfficialOne(t *testing.T) {
	for _, sig := range Signals {
		for _, c := range []struct {
			rejected int64
			message  string
		}{
			{0, ""}, {1, ""}, {0, "a warning"}, {5, "5 are too old"}, {math.MaxInt64, "all\t\"<of>\u2028 them\""},
			{300, strings.Repeat("long ", 400)}, {2, "bad \xff"},
		} {
			want := boundMessage(c.message)
			b := AppendResponse([]byte("x"), sig, c.rejected, c.message)[1:]
			j := AppendResponseJSON([]byte("x"), sig, c.rejected, c.message)[1:]
			for _, f := range []struct {
				b         []byte
				unmarshal func([]byte, proto.Message) error
				parse     func([]byte) (int64, string, error)
			}{{b, proto.Unmarshal, ParseResponse}, {j, protojson.Unmarshal, ParseResponseJSON}} {
				set, rejected, message := officialResponse(t, sig, f.b, f.unmarshal)
				if full := c.rejected == 0 && c.message == ""; set == full || rejected != c.rejected || message != want {
					t.Errorf("%s %q: %v %d %q, want %+v", sig, f.b, set, rejected, message, c)
				}
				if rejected, message, err := f.parse(f.b); rejected != c.rejected || message != want || err != nil {
					t.Errorf("%s %q: parsed %d %q %v, want %+v", sig, f.b, rejected, message, err, c)
				}
			}
		}
	}
	if b, j := AppendResponse(nil, Logs, 0, ""), AppendResponseJSON(nil, Logs, 0, ""); len(b) != 0 || string(j) != "{}" {
		t.Errorf("full success is %x, %s", b, j)
	}
	if j := AppendResponseJSON(nil, Metrics, 3, "x"); string(j) != `{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"x"}}` {
		t.Errorf("%s", j)
	}
}

func TestParseResponse(t *testing.T) {
	for _, c := range []struct {
		b        string
		rejected int64
		message  string
		problem  string
	}{
		{"", 0, "", ""},
		{"\x0a\x00", 0, "", ""},
		{lenField(1, "\x08\x05"), 5, "", ""},
		{lenField(1, "\x08\x05") + lenField(1, lenField(2, "m")), 5, "m", ""}, // merged
		{lenField(9, "x") + lenField(1, "\x08\x05\x1a\x01z"), 5, "", ""},      // unknown fields
		{lenField(1, lenField(1, "x")+"\x10\x07"), 0, "", ""},                 // other wire types
		{lenField(1, "\x08"+overlong+"\x01"), 0, "", ""},                      // -1
		{lenField(1, lenField(2, "a\xff")), 0, "a?", ""},
		{"\x0a\x05", 0, "", "partial_success: length 5 exceeds the 0 bytes left at byte 0"},
		{"\x00", 0, "", "response: field number 0 is outside"},
		{"\x10", 0, "", "field 2: value is cut short"},
		{lenField(9, "x") + lenField(1, "\x08"), 0, "", "partial_success.rejected: value is cut short at byte 5"},
		{lenField(1, "\x80"), 0, "", "partial_success: tag is cut short at byte 2"},
		{"<html>", 0, "", "field 7: "},
	} {
		rejected, message, err := ParseResponse([]byte(c.b))
		var m *Malformed
		if rejected != c.rejected || message != c.message || (err == nil) != (c.problem == "") ||
			err != nil && (!errors.As(err, &m) || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%q: %d %q %v, want %+v", c.b, rejected, message, err, c)
		}
	}
}

func TestParseResponseJSON(t *testing.T) {
	for _, c := range []struct {
		b        string
		rejected int64
		message  string
		ok       bool
	}{
		{"", 0, "", true}, {" \r\n", 0, "", true}, {"{}", 0, "", true}, {"null", 0, "", true},
		{`{"partialSuccess":null}`, 0, "", true},
		{`{"partialSuccess":{}}`, 0, "", true},
		{`{"partialSuccess":{"rejectedSpans":"5","errorMessage":"m"}}`, 5, "m", true},
		{`{"partialSuccess":{"rejectedLogRecords":5}}`, 5, "", true},
		{`{"partialSuccess":{"rejectedDataPoints":5.0,"new":[1]},"new":{}}`, 5, "", true},
		{`{"partialSuccess":{"rejectedSpans":"1e3"}}`, 1000, "", true},
		{`{"partialSuccess":{"rejectedSpans":null,"errorMessage":null}}`, 0, "", true},
		{`{"partialSuccess":{"rejectedSpans":-5}}`, 0, "", true},
		{`{"partialSuccess":{"rejectedSpans":1.5}}`, 0, "", false},
		{`{"partialSuccess":{"rejectedSpans":1e30}}`, 0, "", false},
		{`{"partialSuccess":{"rejectedSpans":"many"}}`, 0, "", false},
		{`{"partialSuccess":{"rejectedSpans":{}}}`, 0, "", false},
		{`{"partialSuccess":5}`, 0, "", false},
		{`<html>`, 0, "", false},
	} {
		rejected, message, err := ParseResponseJSON([]byte(c.b))
		var m *Malformed
		if rejected != c.rejected || message != c.message || (err == nil) != c.ok || err != nil && !errors.As(err, &m) {
			t.Errorf("%s: %d %q %v, want %+v", c.b, rejected, message, err, c)
		}
	}
}

func TestSignals(t *testing.T) {
	for _, s := range Signals {
		if got, err := ParseSignal(s.String()); got != s || err != nil || s.Items() == "" {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	if _, err := ParseSignal("profiles"); err == nil {
		t.Error("profiles is a signal")
	}
}
