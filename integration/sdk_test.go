package integration

import (
	"context"
	"os"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// sdkItems of each kind that the SDK makes.
const sdkItems = 30

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// shutDown flushes a provider: what it could not deliver is an error.
func shutDown(t *testing.T, what string, p interface{ Shutdown(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := p.Shutdown(ctx); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func sdkTraces(t *testing.T, transport, addr, compression string) {
	t.Helper()
	ctx := context.Background()
	var e trace.SpanExporter
	var err error
	if transport == "grpc" {
		o := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(addr), otlptracegrpc.WithInsecure()}
		if compression == "gzip" {
			o = append(o, otlptracegrpc.WithCompressor("gzip"))
		}
		e, err = otlptracegrpc.New(ctx, o...)
	} else {
		c := otlptracehttp.NoCompression
		if compression == "gzip" {
			c = otlptracehttp.GzipCompression
		}
		e, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(addr), otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(c))
	}
	if err != nil {
		t.Fatal(err)
	}
	p := trace.NewTracerProvider(trace.WithBatcher(e, trace.WithMaxExportBatchSize(7)))
	tracer := p.Tracer("integration")
	for i := range sdkItems {
		ctx, parent := tracer.Start(ctx, "parent")
		_, child := tracer.Start(ctx, "child")
		child.SetAttributes(attribute.Int("i", i), attribute.Float64("f", 0.1), attribute.Bool("b", true), attribute.StringSlice("s", []string{"ä", ""}))
		child.AddEvent("event")
		child.SetStatus(codes.Error, "on purpose")
		child.End()
		parent.End()
	}
	shutDown(t, "traces over "+transport, p)
}

func sdkMetrics(t *testing.T, transport, addr, compression string) {
	t.Helper()
	ctx := context.Background()
	var e sdkmetric.Exporter
	var err error
	if transport == "grpc" {
		o := []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpoint(addr), otlpmetricgrpc.WithInsecure()}
		if compression == "gzip" {
			o = append(o, otlpmetricgrpc.WithCompressor("gzip"))
		}
		e, err = otlpmetricgrpc.New(ctx, o...)
	} else {
		c := otlpmetrichttp.NoCompression
		if compression == "gzip" {
			c = otlpmetrichttp.GzipCompression
		}
		e, err = otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(addr), otlpmetrichttp.WithInsecure(), otlpmetrichttp.WithCompression(c))
	}
	if err != nil {
		t.Fatal(err)
	}
	p := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(e)))
	meter := p.Meter("integration")
	counter, err := meter.Int64Counter("requests")
	if err != nil {
		t.Fatal(err)
	}
	durations, err := meter.Float64Histogram("duration", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	gauge, err := meter.Float64Gauge("temperature")
	if err != nil {
		t.Fatal(err)
	}
	for i := range sdkItems {
		o := metric.WithAttributes(attribute.Int("i", i%5))
		counter.Add(ctx, int64(i), o)
		durations.Record(ctx, float64(i)/7, o)
		gauge.Record(ctx, -float64(i), o)
	}
	shutDown(t, "metrics over "+transport, p)
}

func sdkLogs(t *testing.T, transport, addr, compression string) {
	t.Helper()
	ctx := context.Background()
	var e log.Exporter
	var err error
	if transport == "grpc" {
		o := []otlploggrpc.Option{otlploggrpc.WithEndpoint(addr), otlploggrpc.WithInsecure()}
		if compression == "gzip" {
			o = append(o, otlploggrpc.WithCompressor("gzip"))
		}
		e, err = otlploggrpc.New(ctx, o...)
	} else {
		c := otlploghttp.NoCompression
		if compression == "gzip" {
			c = otlploghttp.GzipCompression
		}
		e, err = otlploghttp.New(ctx, otlploghttp.WithEndpoint(addr), otlploghttp.WithInsecure(), otlploghttp.WithCompression(c))
	}
	if err != nil {
		t.Fatal(err)
	}
	p := log.NewLoggerProvider(log.WithProcessor(log.NewBatchProcessor(e)))
	logger := p.Logger("integration")
	for i := range sdkItems {
		var r otellog.Record
		r.SetTimestamp(time.Now())
		r.SetSeverity(otellog.SeverityWarn)
		r.SetBody(attribute.StringValue("a record with \"quotes\" and ünïcode"))
		r.AddAttributes(attribute.Int("i", i), attribute.StringSlice("s", []string{"a", "b"}), attribute.Bool("b", true))
		logger.Emit(ctx, r)
	}
	shutDown(t, "logs over "+transport, p)
}

// pdataItems of each signal that the Collector's data model sends.
const pdataItems = 12

// sendPdata uses the Collector's own gRPC clients. They write fields in an order
// of their own.
func sendPdata(t *testing.T, addr string) {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	now := pcommon.NewTimestampFromTime(time.Now())

	traces := ptrace.NewTraces()
	rs := traces.ResourceSpans().AppendEmpty()
	attributes(rs.Resource().Attributes())
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	metrics := pmetric.NewMetrics()
	rm := metrics.ResourceMetrics().AppendEmpty()
	attributes(rm.Resource().Attributes())
	series := rm.ScopeMetrics().AppendEmpty().Metrics()
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	attributes(rl.Resource().Attributes())
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for i := range pdataItems {
		s := spans.AppendEmpty()
		s.SetName("span")
		s.SetTraceID([16]byte{1, byte(i)})
		s.SetSpanID([8]byte{2, byte(i)})
		s.SetStartTimestamp(now)
		attributes(s.Attributes())
		s.Links().AppendEmpty().SetTraceID([16]byte{3})

		m := series.AppendEmpty()
		m.SetName("metric")
		switch i % 4 {
		case 0:
			p := m.SetEmptyExponentialHistogram().DataPoints().AppendEmpty()
			p.SetTimestamp(now)
			p.Positive().BucketCounts().FromRaw([]uint64{1, 0, 3})
			attributes(p.Attributes())
		case 1:
			p := m.SetEmptySummary().DataPoints().AppendEmpty()
			p.SetTimestamp(now)
			p.QuantileValues().AppendEmpty().SetQuantile(0.5)
		case 2:
			p := m.SetEmptyHistogram().DataPoints().AppendEmpty()
			p.SetTimestamp(now)
			p.Exemplars().AppendEmpty().SetDoubleValue(1)
		default:
			m.SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(-1)
		}

		r := records.AppendEmpty()
		r.SetTimestamp(now)
		r.Body().SetEmptyMap().PutStr("nested", "body")
		attributes(r.Attributes())
	}
	if _, err := ptraceotlp.NewGRPCClient(conn).Export(ctx, ptraceotlp.NewExportRequestFromTraces(traces)); err != nil {
		t.Fatalf("traces: %v", err)
	}
	if _, err := pmetricotlp.NewGRPCClient(conn).Export(ctx, pmetricotlp.NewExportRequestFromMetrics(metrics)); err != nil {
		t.Fatalf("metrics: %v", err)
	}
	if _, err := plogotlp.NewGRPCClient(conn).Export(ctx, plogotlp.NewExportRequestFromLogs(logs)); err != nil {
		t.Fatalf("logs: %v", err)
	}
}

// attributes of every type.
func attributes(m pcommon.Map) {
	m.PutStr("string", "värde")
	m.PutInt("int", -1)
	m.PutDouble("double", 0.5)
	m.PutBool("bool", true)
	m.PutEmptyBytes("bytes").FromRaw([]byte{0, 1, 255})
	m.PutEmptySlice("slice").AppendEmpty().SetStr("in it")
	m.PutEmptyMap("map").PutStr("k", "v")
	m.PutEmpty("empty")
}
