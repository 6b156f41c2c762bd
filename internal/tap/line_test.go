package tap_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/text/width"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/tap"
)

var at = time.Date(2026, 1, 2, 15, 4, 5, 678e6, time.FixedZone("", 3600))

func TestLine(t *testing.T) {
	span := tap.Item{Kind: tap.KindItem, Signal: otlp.Traces, Tenant: "blue", Stream: "PENSTOCK_TRACES_0", Sequence: 7, StoredAt: at,
		Time: at, Service: "checkout", Name: "GET /orders", Type: "server", Value: "12.3ms", TraceID: "0af7", SpanID: "00f0",
		Attributes: []tap.Attribute{{Key: "http.route", Value: "/orders"}, {Key: "empty", Value: ""}}}
	odd := span
	odd.Service, odd.Name = "a service of a long name", "日本語のテキスト日本語のテキスト日本語"
	odd.Tenant, odd.Attributes, odd.Type, odd.Value = "", nil, "", "two\nlines\tand \x1b[31mred\x07 \u009b31m \u202ereversed\u2028"
	bare := tap.Item{Kind: tap.KindItem, Signal: otlp.Logs, StoredAt: at}
	for _, c := range []struct {
		item  tap.Item
		width int
		want  string
	}{
		{span, 0, "2026-01-02T14:04:05.678Z traces  checkout           GET /orders                      server     12.3ms http.route=/orders empty= trace=0af7 span=00f0 tenant=blue"},
		{span, 100, "2026-01-02T14:04:05.678Z traces  checkout           GET /orders                      server     12.…"},
		{span, 30, "2026-01-02T14:04:05.678Z trac…"},
		{span, 1, "…"},
		{odd, 0, `2026-01-02T14:04:05.678Z traces  a service of a lo… 日本語のテキスト日本語のテキス…  -          two\nlines\tand \x1b[31mred\x07 \x9b31m \u202ereversed\u2028 trace=0af7 span=00f0`},
		{bare, 0, "2026-01-02T14:04:05.678Z logs    -                  -                                -"},
		{tap.Item{Kind: tap.KindItem}, 0, "-                        traces  -                  -                                -"},
		{tap.Item{Kind: tap.KindSkipped, Stream: "PENSTOCK_LOGS_0", Sequence: 12, Messages: 3, Problem: "why"}, 0, "-- PENSTOCK_LOGS_0 skipped 3 messages from sequence 12: why"},
		{tap.Item{Kind: tap.KindDamaged, Stream: "PENSTOCK_LOGS_0", Sequence: 12, Problem: "why\x1b"}, 0, `-- PENSTOCK_LOGS_0 damaged: sequence 12: why\x1b`},
	} {
		if got := c.item.Line(c.width); got != c.want {
			t.Errorf("in %d:\n%s\nwant\n%s", c.width, got, c.want)
		}
	}
}

// nasty is text that does something to terminals, or to who reads them.
var nasty = []string{"\x1b[2J", "\x1b]0;title\x07", "\u009b2J", "\r\n", "\x00\x7f", "\u202e\u2066\u200b\ufeff", "\U000e0041", "\xff\xfe", "\u2028", "e\u0301", "日本", "👩\u200d👧", "plain", `\x1b "quoted"`}

// everywhere is an item with the text in each of its fields.
func everywhere(text string) tap.Item {
	i := tap.Item{StoredAt: at, Time: at, Attributes: []tap.Attribute{{Key: text, Value: text}}}
	v := reflect.ValueOf(&i).Elem()
	for f := range v.NumField() {
		if v.Field(f).Kind() == reflect.String {
			v.Field(f).SetString(text)
		}
	}
	return i
}

// checkHarmless states what Line and AppendJSON promise for any text.
func checkHarmless(t testing.TB, text string, columns int) {
	t.Helper()
	i := everywhere(text)
	for _, kind := range []tap.Kind{tap.KindItem, tap.KindDamaged, tap.KindSkipped, tap.Kind(text)} {
		i.Kind = kind
		line := i.Line(columns)
		cells := 0
		for at, r := range line {
			if !unicode.IsPrint(r) || r == utf8.RuneError && !strings.HasPrefix(line[at:], "\ufffd") {
				t.Fatalf("%q: %U in the line %q", text, r, line)
			}
			cells++
			if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
				cells++
			}
		}
		if columns > 0 && cells > columns {
			t.Fatalf("%q: %d cells of %d: %q", text, cells, columns, line)
		}
		b := inJSON(t, i)
		for _, r := range b {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q: %U in the JSON %q", text, r, b)
			}
		}
		var back tap.Item
		if err := json.Unmarshal([]byte(b), &back); err != nil {
			t.Fatalf("%q: %v of %q", text, err, b)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); utf8.ValidString(text) && (back.Name != want || back.Attributes[0].Key != want) {
			t.Fatalf("%q: read back %q", text, back.Name)
		}
	}
}

func TestTextIsHarmless(t *testing.T) {
	for _, text := range append(nasty, strings.Join(nasty, "x"), strings.Repeat("\u0301", 500)) {
		for columns := 0; columns < 130; columns += 3 {
			checkHarmless(t, text, columns)
		}
	}
}

func FuzzHarmless(f *testing.F) {
	for n, text := range nasty {
		f.Add(text, uint8(n*7))
	}
	f.Fuzz(func(t *testing.T, text string, columns uint8) { checkHarmless(t, text, int(columns)) })
}

// The same through the queue, with the whole item.
func TestTelemetryIsHarmless(t *testing.T) {
	r := newRig(t, 1)
	var valid []string
	for _, text := range nasty {
		if utf8.ValidString(text) {
			valid = append(valid, text)
		}
	}
	for _, sig := range otlp.Signals {
		r.put(sig, "", requests[sig]("service "+strings.Join(valid, ""), valid...))
	}
	items := r.stored(func(o *tap.Options) { o.Full = true })
	if len(items) != otlp.NumSignals*len(valid) {
		t.Fatalf("%d items", len(items))
	}
	for n, i := range items {
		for _, out := range []string{i.Line(0), i.Line(80), inJSON(t, i)} {
			for _, r := range out {
				if !unicode.IsPrint(r) {
					t.Errorf("item %d: %U in %q", n, r, out)
				}
			}
		}
		var back tap.Item
		if err := json.Unmarshal([]byte(inJSON(t, i)), &back); err != nil {
			t.Error(err)
		}
		proto, err := otlp.AppendProtoFromJSON(nil, i.Signal, back.OTLP)
		want, _ := otlp.AppendProtoFromJSON(nil, i.Signal, i.OTLP)
		if err != nil || string(proto) != string(want) {
			t.Errorf("item %d: %s, %v", n, back.OTLP, err)
		}
	}
}

func TestTextsAreBounded(t *testing.T) {
	r := newRig(t, 1)
	long := strings.Repeat("ä", 50_000)
	many := make([]string, 0, 3)
	for n := range 3 {
		many = append(many, fmt.Sprint(n, long))
	}
	for _, sig := range otlp.Signals {
		r.put(sig, "", requests[sig](long, many...))
	}
	d := ptrace.NewTraces()
	attributes := d.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().Attributes()
	for n := range 100 {
		attributes.PutStr(fmt.Sprint("key", n), long[:100])
	}
	r.put(otlp.Traces, "", encoded((&ptrace.ProtoMarshaler{}).MarshalTraces(d)))
	items := r.stored()
	if last := slices.IndexFunc(items, func(i tap.Item) bool { return len(i.Attributes) == 16 }); last < 0 || len(items) != 10 {
		t.Errorf("%d items, none with 16 attributes", len(items))
	}
	for _, i := range items {
		if i.Service == "" {
			continue
		}
		b := inJSON(t, i)
		if len(b) > 8<<10 || !strings.Contains(b, "…") || !utf8.ValidString(b) {
			t.Errorf("%s: %d bytes", i.Signal, len(b))
		}
	}
}
