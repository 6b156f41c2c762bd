package otlp

import (
	"math/rand/v2"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// official is an empty request of the official types.
func official(sig Signal) proto.Message {
	return [NumSignals]func() proto.Message{
		func() proto.Message { return new(coltrace.ExportTraceServiceRequest) },
		func() proto.Message { return new(colmetrics.ExportMetricsServiceRequest) },
		func() proto.Message { return new(collogs.ExportLogsServiceRequest) },
	}[sig]()
}

// officialInfo is what the official decoder finds in b.
func officialInfo(sig Signal, b []byte) (Info, error) {
	m := official(sig)
	if err := proto.Unmarshal(b, m); err != nil {
		return Info{}, err
	}
	var i Info
	add := func(first, last uint64) {
		i.Items++
		if first != 0 && (i.MinTime == 0 || first < i.MinTime) {
			i.MinTime = first
		}
		i.MaxTime = max(i.MaxTime, last)
	}
	switch m := m.(type) {
	case *coltrace.ExportTraceServiceRequest:
		for _, r := range m.ResourceSpans {
			for _, s := range r.ScopeSpans {
				for _, span := range s.Spans {
					add(span.StartTimeUnixNano, span.EndTimeUnixNano)
				}
			}
		}
	case *colmetrics.ExportMetricsServiceRequest:
		for _, r := range m.ResourceMetrics {
			for _, s := range r.ScopeMetrics {
				for _, metric := range s.Metrics {
					for _, t := range pointTimes(metric) {
						add(t, t)
					}
				}
			}
		}
	case *collogs.ExportLogsServiceRequest:
		for _, r := range m.ResourceLogs {
			for _, s := range r.ScopeLogs {
				for _, l := range s.LogRecords {
					t := l.TimeUnixNano
					if t == 0 {
						t = l.ObservedTimeUnixNano
					}
					add(t, t)
				}
			}
		}
	}
	return i, nil
}

func pointTimes(m *metrics.Metric) (times []uint64) {
	switch d := m.Data.(type) {
	case *metrics.Metric_Gauge:
		return timesOf(d.Gauge.DataPoints)
	case *metrics.Metric_Sum:
		return timesOf(d.Sum.DataPoints)
	case *metrics.Metric_Histogram:
		return timesOf(d.Histogram.DataPoints)
	case *metrics.Metric_ExponentialHistogram:
		return timesOf(d.ExponentialHistogram.DataPoints)
	case *metrics.Metric_Summary:
		return timesOf(d.Summary.DataPoints)
	}
	return nil
}

func timesOf[P interface{ GetTimeUnixNano() uint64 }](points []P) (times []uint64) {
	for _, p := range points {
		times = append(times, p.GetTimeUnixNano())
	}
	return times
}

// fill sets every field of m from r, lists with one to three entries, and goes
// at most depth messages down. A oneof gets the member that comes last in a
// random order.
func fill(m protoreflect.Message, r *rand.Rand, depth int) {
	fields := m.Descriptor().Fields()
	for _, i := range r.Perm(fields.Len()) {
		f := fields.Get(i)
		if f.Message() != nil && depth == 0 {
			continue
		}
		if !f.IsList() {
			if f.Message() != nil {
				fill(m.Mutable(f).Message(), r, depth-1)
			} else {
				m.Set(f, randomValue(f, r))
			}
			continue
		}
		l := m.Mutable(f).List()
		for range 1 + r.IntN(3) {
			if f.Message() != nil {
				fill(l.AppendMutable().Message(), r, depth-1)
			} else {
				l.Append(randomValue(f, r))
			}
		}
	}
}

var texts = []string{"", "a", "http.request.method", "GET", "grüße", "日本語のテキスト", "exactly8", "0123456789abcdef0123456789abcdef"}

func randomValue(f protoreflect.FieldDescriptor, r *rand.Rand) protoreflect.Value {
	n := r.Uint64() >> r.IntN(64)
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(texts[r.IntN(len(texts))])
	case protoreflect.BytesKind:
		b := make([]byte, map[protoreflect.Name]int{"trace_id": 16, "span_id": 8, "parent_span_id": 8}[f.Name()])
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return protoreflect.ValueOfBytes(b)
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n&1 == 1)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n % 3))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) / 3)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(n))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(n)
	}
	panic("the protocol has a field kind that the tests do not know: " + f.Kind().String())
}

// fullRequest is a request with every field set, from a seed.
func fullRequest(t testing.TB, sig Signal, seed uint64, depth int) []byte {
	m := official(sig)
	fill(m.ProtoReflect(), rand.New(rand.NewPCG(seed, uint64(sig))), depth)
	return encode(t, m)
}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t testing.TB, sig Signal, b []byte) proto.Message {
	t.Helper()
	m := official(sig)
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatalf("the official decoder refuses: %v", err)
	}
	return m
}
