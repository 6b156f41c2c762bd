package sample

import (
	"testing"

	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/penstock-otel/penstock/internal/otlp"
)

func spansOf(m *collectortrace.ExportTraceServiceRequest) (out [][]*tracepb.Span) {
	for _, r := range m.ResourceSpans {
		out = append(out, r.ScopeSpans[0].Spans)
	}
	return out
}

func TestWebRequestsAreTracesOfTheirOwn(t *testing.T) {
	g := New(1, Shape{Story: Web})
	for _, items := range []int{1, 100, 5000} {
		blocks := spansOf(decode(t, g.Append(nil, otlp.Traces, items, now), &collectortrace.ExportTraceServiceRequest{}))
		if len(blocks) != 1 || len(blocks[0]) != items {
			t.Fatalf("%d blocks for %d items, want 1", len(blocks), items)
		}
		traces := map[string]bool{}
		for _, s := range blocks[0] {
			traces[string(s.TraceId)] = true
			if s.Kind != tracepb.Span_SPAN_KIND_SERVER || len(s.ParentSpanId) != 0 {
				t.Fatalf("%s of kind %s has parent %x", s.Name, s.Kind, s.ParentSpanId)
			}
		}
		if len(traces) != items {
			t.Errorf("%d traces of %d spans", len(traces), items)
		}
	}
}

func TestTraceOverThreeServices(t *testing.T) {
	g := New(1, Shape{Story: Trace3})
	for _, items := range []int{1, 2, 3, 100, 5000} {
		m := decode(t, g.Append(nil, otlp.Traces, items, now), &collectortrace.ExportTraceServiceRequest{})
		blocks := spansOf(m)
		if len(blocks) != min(3, items) {
			t.Fatalf("%d items are of %d services", items, len(blocks))
		}
		total, pods := 0, map[string]bool{}
		for depth, block := range blocks {
			total += len(block)
			pods[m.ResourceSpans[depth].Resource.String()] = true
			for i, s := range block {
				if string(s.TraceId) != string(blocks[0][i].TraceId) {
					t.Fatalf("span %d of service %d is of another trace than its caller", i, depth)
				}
				if depth == 0 && len(s.ParentSpanId) != 0 || depth > 0 && string(s.ParentSpanId) != string(blocks[depth-1][i].SpanId) {
					t.Fatalf("span %d of service %d has parent %x", i, depth, s.ParentSpanId)
				}
			}
		}
		if total != items || len(pods) != len(blocks) {
			t.Errorf("%d spans of %d pods, want %d of %d", total, len(pods), items, len(blocks))
		}
	}
}

func TestStoriesCarryIdentities(t *testing.T) {
	for _, story := range []Story{Shop, Web, Trace3} {
		g := New(3, Shape{Source: 7, Story: story})
		var seen Seen
		for range 5 {
			if n, err := ItemIDs(otlp.Traces, g.Append(nil, otlp.Traces, 100, now), func(id uint64) { seen.Add(id) }); n != 100 || err != nil {
				t.Fatalf("%s: %d items, %v", story, n, err)
			}
		}
		if seen.Distinct() != 500 || g.Next() != 500 || !seen.Has(ID(7, 499)) {
			t.Errorf("%s: %d identities, next %d", story, seen.Distinct(), g.Next())
		}
		if again, err := ParseStory(story.String()); err != nil || again != story {
			t.Errorf("%s is parsed as %v, %v", story, again, err)
		}
	}
	if _, err := ParseStory("novel"); err == nil {
		t.Error("an unknown story was taken")
	}
}
