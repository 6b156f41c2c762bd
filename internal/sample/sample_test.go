package sample

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/otlp"
)

var now = time.Date(2026, 11, 22, 10, 0, 0, 123456789, time.UTC)

func message(sig otlp.Signal) proto.Message {
	return [...]proto.Message{
		otlp.Traces:  &collectortrace.ExportTraceServiceRequest{},
		otlp.Metrics: &collectormetrics.ExportMetricsServiceRequest{},
		otlp.Logs:    &collectorlogs.ExportLogsServiceRequest{},
	}[sig]
}

// decode reads b with the official types and holds against it that the official
// encoder would have written it as long; it writes oneofs last, so the order
// may differ.
func decode[M proto.Message](t *testing.T, b []byte, m M) M {
	t.Helper()
	if err := (proto.UnmarshalOptions{}).Unmarshal(b, m); err != nil {
		t.Fatalf("official types refuse the request: %v", err)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(again) != len(b) {
		t.Fatalf("%T: %d bytes, where the official encoder writes %d", m, len(b), len(again))
	}
	return m
}

func TestRequestsAreAsTheOfficialEncoderWritesThem(t *testing.T) {
	for _, sig := range otlp.Signals {
		for _, shape := range []Shape{{}, {Source: 9, Resources: 6, PointIDs: true}} {
			g := New(7, shape)
			for _, items := range []int{1, 2, 5, 100, 3000} {
				m := decode(t, g.Append(nil, sig, items, now), message(sig))
				b, err := proto.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := ItemIDs(sig, b, func(uint64) {}); n != items || err != nil {
					t.Errorf("%s: %d items asked for, %d found, error %v", sig, items, n, err)
				}
			}
		}
	}
}

func TestSizeOfAnItem(t *testing.T) {
	for _, c := range []struct {
		sig         otlp.Signal
		items, want int
	}{{otlp.Traces, 100, 440}, {otlp.Metrics, 1000, 105}, {otlp.Logs, 512, 300}} {
		g := New(1, Shape{})
		total := 0
		for range 100 {
			total += len(g.Append(nil, c.sig, c.items, now))
		}
		got := float64(total) / float64(100*c.items)
		if got < 0.95*float64(c.want) || got > 1.05*float64(c.want) {
			t.Errorf("%s: %.1f bytes an item in requests of %d, want %d within 5 %%", c.sig, got, c.items, c.want)
		}
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	run := func(seed uint64, source uint32) []byte {
		g := New(seed, Shape{Source: source, Resources: 2, PointIDs: true})
		var b []byte
		for i := range 9 {
			b = g.Append(b, otlp.Signals[i%3], 10+i, now.Add(time.Duration(i)*time.Second))
		}
		return b
	}
	if !bytes.Equal(run(3, 4), run(3, 4)) {
		t.Error("the same seed and source gave different bytes")
	}
	if bytes.Equal(run(3, 4), run(4, 4)) || bytes.Equal(run(3, 4), run(3, 5)) {
		t.Error("another seed or source gave the same bytes")
	}
}

func TestItemIDsAreThoseAnnounced(t *testing.T) {
	for _, sig := range otlp.Signals {
		g := New(5, Shape{Source: MaxSource, Resources: 3, PointIDs: true})
		for _, items := range []int{1, 17, 250} {
			first := g.Next()
			var got []uint64
			n, err := ItemIDs(sig, g.Append(nil, sig, items, now), func(id uint64) { got = append(got, id) })
			if err != nil || n != items || len(got) != items || g.Next() != first+uint64(items) {
				t.Fatalf("%s: %d items, %d ids, next %d after %d, error %v; want %d", sig, n, len(got), g.Next(), first, err, items)
			}
			for i, id := range got {
				if source, seq := SplitID(id); source != g.Source() || seq != first+uint64(i) {
					t.Fatalf("%s: item %d has source %d sequence %d, want %d and %d", sig, i, source, seq, g.Source(), first+uint64(i))
				}
			}
		}
	}
}

func TestJoinedRequestsKeepTheirIDs(t *testing.T) {
	g := New(5, Shape{})
	b := g.Append(g.Append(nil, otlp.Traces, 3, now), otlp.Traces, 4, now)
	var seqs []uint64
	if n, err := ItemIDs(otlp.Traces, b, func(id uint64) { _, seq := SplitID(id); seqs = append(seqs, seq) }); n != 7 || err != nil {
		t.Fatalf("%d items, error %v", n, err)
	}
	if want := []uint64{0, 1, 2, 3, 4, 5, 6}; !slices.Equal(seqs, want) {
		t.Errorf("sequences %v, want %v", seqs, want)
	}
}

func TestScrambleIsOneToOne(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		if v := r.Uint64(); unscramble(scramble(v)) != v {
			t.Fatalf("%x came back as %x", v, unscramble(scramble(v)))
		}
	}
	if scramble(0) != 0 {
		t.Error("zero must stay the only zero")
	}
}

func TestNoItemsIsTheEmptyRequest(t *testing.T) {
	for _, items := range []int{0, -1} {
		if b := New(1, Shape{}).Append([]byte("kept"), otlp.Logs, items, now); string(b) != "kept" {
			t.Errorf("%d items added %d bytes", items, len(b)-4)
		}
	}
}

func TestSpansFormTraces(t *testing.T) {
	g := New(11, Shape{Resources: 2})
	req := decode(t, g.Append(nil, otlp.Traces, 400, now), &collectortrace.ExportTraceServiceRequest{})
	if len(req.ResourceSpans) != 2 {
		t.Fatalf("%d resources, want 2", len(req.ResourceSpans))
	}
	traces, spans, linked, failed := map[string]bool{}, map[string]string{}, 0, 0
	for _, block := range req.ResourceSpans {
		if attribute(block.Resource, "service.name") == "" || attribute(block.Resource, "k8s.pod.name") == "" {
			t.Errorf("resource without service.name or k8s.pod.name: %v", block.Resource)
		}
		for _, s := range block.ScopeSpans[0].Spans {
			traces[string(s.TraceId)] = true
			spans[string(s.SpanId)] = string(s.TraceId)
			if trace, ok := spans[string(s.ParentSpanId)]; ok {
				linked++
				if trace != string(s.TraceId) {
					t.Errorf("span %x of trace %x has its parent in trace %x", s.SpanId, s.TraceId, trace)
				}
			}
			if s.Status.GetCode() == 2 {
				failed++
			}
			if s.StartTimeUnixNano > s.EndTimeUnixNano || s.EndTimeUnixNano > uint64(now.UnixNano()) ||
				s.EndTimeUnixNano < uint64(now.Add(-time.Second).UnixNano()) {
				t.Errorf("span runs from %d to %d at %d", s.StartTimeUnixNano, s.EndTimeUnixNano, now.UnixNano())
			}
			for _, e := range s.Events {
				if e.TimeUnixNano < s.StartTimeUnixNano || e.TimeUnixNano > s.EndTimeUnixNano {
					t.Errorf("event at %d outside of its span", e.TimeUnixNano)
				}
			}
		}
	}
	if len(spans) != 400 || len(traces) < 40 || len(traces) > 120 || linked < 250 || failed == 0 {
		t.Errorf("%d span ids, %d traces, %d spans with their parent, %d failed", len(spans), len(traces), linked, failed)
	}
}

func TestLogsSpeakOfTraces(t *testing.T) {
	req := decode(t, New(2, Shape{}).Append(nil, otlp.Logs, 500, now), &collectorlogs.ExportLogsServiceRequest{})
	severities := map[string]int{}
	for _, r := range req.ResourceLogs[0].ScopeLogs[0].LogRecords {
		severities[r.SeverityText]++
		if len(r.TraceId) != 16 || r.Body.GetStringValue() == "" || r.ObservedTimeUnixNano < r.TimeUnixNano {
			t.Fatalf("record lacks trace, body or order of times: %v", r)
		}
		if bytes.Contains([]byte(r.Body.GetStringValue()), []byte(varying)) {
			t.Fatalf("record was not given values of its own: %q", r.Body.GetStringValue())
		}
	}
	if len(severities) != 4 || severities["INFO"] < 300 {
		t.Errorf("severities are %v", severities)
	}
}

func TestCumulativeSeriesNeverGoBack(t *testing.T) {
	g := New(2, Shape{})
	last := map[string]float64{}
	kinds := map[string]bool{}
	for round := range 5 {
		at := now.Add(time.Duration(round) * time.Second)
		req := decode(t, g.Append(nil, otlp.Metrics, 24*77, at), &collectormetrics.ExportMetricsServiceRequest{})
		for _, block := range req.ResourceMetrics {
			for _, m := range block.ScopeMetrics[0].Metrics {
				series := attribute(block.Resource, "k8s.pod.name") + m.Name
				if h := m.GetHistogram(); h != nil {
					kinds["histogram"] = true
					for _, p := range h.DataPoints {
						var n uint64
						for _, c := range p.BucketCounts {
							n += c
						}
						if n != p.Count || len(p.BucketCounts) != len(p.ExplicitBounds)+1 || p.Count == 0 {
							t.Fatalf("%s: buckets hold %d, count says %d", m.Name, n, p.Count)
						}
					}
				}
				if s := m.GetSum(); s.GetIsMonotonic() {
					kinds["counter"] = true
					for _, p := range s.DataPoints {
						key := series
						for _, a := range p.Attributes {
							key += a.String()
						}
						v := p.GetAsDouble() + float64(p.GetAsInt())
						if v < last[key] || p.StartTimeUnixNano >= p.TimeUnixNano {
							t.Fatalf("%s went from %v to %v", key, last[key], v)
						}
						last[key] = v
					}
				}
				if m.GetGauge() != nil {
					kinds["gauge"] = true
				}
			}
		}
	}
	if len(kinds) != 3 || len(last) < 24*30 {
		t.Errorf("kinds %v, %d counters", kinds, len(last))
	}
}

func TestItemIDsTellBrokenBytes(t *testing.T) {
	for _, sig := range otlp.Signals {
		b := New(1, Shape{PointIDs: true}).Append(nil, sig, 3, now)
		if _, err := ItemIDs(sig, b[:len(b)-1], func(uint64) {}); err == nil {
			t.Errorf("%s: a cut request was walked without error", sig)
		}
	}
	if _, err := ItemIDs(otlp.Logs, []byte{0}, func(uint64) {}); err == nil {
		t.Error("field number 0 was walked without error")
	}
}

func TestItemIDsPassOverForeignItems(t *testing.T) {
	req := &collectormetrics.ExportMetricsServiceRequest{}
	b := New(1, Shape{}).Append(nil, otlp.Metrics, 50, now) // without PointIDs
	if err := proto.Unmarshal(b, req); err != nil {
		t.Fatal(err)
	}
	n, err := ItemIDs(otlp.Metrics, b, func(id uint64) { t.Errorf("id %x", id) })
	if n != 50 || err != nil {
		t.Errorf("%d items, error %v", n, err)
	}
}

func attribute(r *resourcepb.Resource, key string) string {
	i := slices.IndexFunc(r.Attributes, func(kv *commonpb.KeyValue) bool { return kv.Key == key })
	if i < 0 {
		return ""
	}
	return r.Attributes[i].Value.GetStringValue()
}

func BenchmarkAppend(b *testing.B) {
	for sig, items := range map[otlp.Signal]int{otlp.Traces: 100, otlp.Metrics: 1000, otlp.Logs: 512} {
		b.Run(sig.String(), func(b *testing.B) {
			g := New(1, Shape{})
			buf := g.Append(nil, sig, items, now)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				buf = g.Append(buf[:0], sig, items, now)
			}
		})
	}
}

func BenchmarkItemIDs(b *testing.B) {
	for sig, items := range map[otlp.Signal]int{otlp.Traces: 100, otlp.Metrics: 1000, otlp.Logs: 512} {
		b.Run(sig.String(), func(b *testing.B) {
			buf := New(1, Shape{PointIDs: true}).Append(nil, sig, items, now)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ItemIDs(sig, buf, func(uint64) {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
