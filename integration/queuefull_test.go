package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/penstock-otel/penstock/integration/harness"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// leastDelay and mostDelay are what a client may be told to wait by a full
// queue. The SDKs give up after a minute, and at once when they are told to wait
// for longer.
const (
	leastDelay = time.Second
	mostDelay  = 45 * time.Second
)

// TestQueueFull: I4. The destination is down until the queue is full. Clients are
// refused in the words of OTLP and told when to come back; intake resumes by
// itself once the destination is back; and the OpenTelemetry SDK, with its retry
// as it is by default, loses nothing.
func TestQueueFull(t *testing.T) {
	t.Setenv("PENSTOCK_RETENTION_REPLAY_WINDOW", "0s")
	t.Setenv("PENSTOCK_RETENTION_EVERY", "1s")
	sink := harness.NewSink(t)
	sink.Down()
	up := harness.NewUpTo(t, harness.Queue{Dir: t.TempDir(), Durability: "process", MaxBytes: "64MiB"},
		harness.Destinations(harness.Destination{Name: "backend", Protocol: "grpc", Endpoint: sink.GRPCAddr, More: "retry: {initial: 1s, max: 3s}"}))
	up.Start()
	ledger := harness.NewLedger(harness.Seed(t))
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: up.GRPCAddr, HTTP: up.HTTPAddr, Signals: []otlp.Signal{otlp.Traces}, Items: 500})
	acked, since := 0, time.Now()
	harness.Until(t, 60*time.Second, func() string { return "the queue is full" }, func() bool {
		if now := ledger.Counts().Acked; now != acked {
			acked, since = now, time.Now()
		}
		return time.Since(since) > 7*time.Second // longer than between two looks at its streams
	})
	load.Stop()
	c := ledger.Counts()
	for code := range c.Errors {
		if code != codes.Unavailable.String() && code != codes.ResourceExhausted.String() {
			t.Errorf("a full queue is answered with %v", c.Errors)
		}
	}

	body := sample.New(ledger.Seed, sample.Shape{Source: 960_001}).Append(nil, otlp.Traces, 10, time.Now())
	var request collectortrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		t.Fatal(err)
	}
	delay := refusedOverGRPC(t, up.GRPCAddr, &request)
	t.Logf("full after %d items; over gRPC the wait is %s", c.AckedItems, delay)
	delay = refusedOverHTTP(t, up.HTTPAddr, body)
	t.Logf("over HTTP the wait is %s", delay)
	// Other signals have streams of their own.
	ledger.Send(t, up.GRPCAddr, otlp.Logs, 10)

	// The SDK exports into the full queue, and is still at it when the
	// destination is back.
	outcomes := make(chan error, 2)
	for _, transport := range []string{"grpc", "http"} {
		go func() { outcomes <- exportSpan(transport, up.GRPCAddr, up.HTTPAddr) }()
	}
	time.Sleep(3 * time.Second) // of the minute that they have
	before, began := ledger.Counts().Acked, time.Now()
	sink.Up()
	load = harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: up.GRPCAddr, HTTP: up.HTTPAddr, Signals: []otlp.Signal{otlp.Traces}, Clients: 2, Pause: 50 * time.Millisecond})
	harness.Until(t, 60*time.Second, func() string { return "intake resumes by itself" }, func() bool { return ledger.Counts().Acked > before })
	t.Logf("intake resumed %s after the destination was back", time.Since(began).Round(10*time.Millisecond))
	for range 2 {
		if err := <-outcomes; err != nil {
			t.Errorf("the SDK lost a span: %v", err)
		}
	}
	load.Stop()
	harness.Until(t, 60*time.Second, func() string { return fmt.Sprintf("everything acknowledged arrives: %+v", sink.Arrived()) }, func() bool {
		items, _ := ledger.Missing(sink)
		return items == 0 && sink.Arrived().Items >= ledger.Counts().AckedItems+2
	})
	assertBounded(t, up)
	up.Terminate()
}

// refusedOverGRPC wants UNAVAILABLE, or RESOURCE_EXHAUSTED, with RetryInfo.
func refusedOverGRPC(t *testing.T, addr string, request *collectortrace.ExportTraceServiceRequest) time.Duration {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = collectortrace.NewTraceServiceClient(conn).Export(ctx, request)
	st := status.Convert(err)
	if c := st.Code(); c != codes.Unavailable && c != codes.ResourceExhausted {
		t.Fatalf("a full queue answers %v", st)
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return sensible(t, "RetryInfo", info.GetRetryDelay().AsDuration())
		}
	}
	t.Errorf("a full queue answers without RetryInfo: %v", st)
	return 0
}

// refusedOverHTTP wants 503 or 429, with Retry-After in seconds.
func refusedOverHTTP(t *testing.T, addr string, body []byte) time.Duration {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+addr+"/v1/traces", "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("a full queue answers %s: %q", resp.Status, said)
	}
	s, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil {
		t.Errorf("a full queue answers %s with Retry-After %q: %v", resp.Status, resp.Header.Get("Retry-After"), err)
	}
	return sensible(t, "Retry-After", time.Duration(s)*time.Second)
}

func sensible(t *testing.T, what string, d time.Duration) time.Duration {
	t.Helper()
	if d < leastDelay || d > mostDelay {
		t.Errorf("%s of a full queue is %s, want %s to %s: the SDKs try for a minute in all", what, d, leastDelay, mostDelay)
	}
	return d
}

// heard keeps what an exporter of the SDK made of its last batch.
type heard struct {
	trace.SpanExporter
	err error
}

// ExportSpans is called by one span processor.
func (h *heard) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	h.err = h.SpanExporter.ExportSpans(ctx, spans)
	return h.err
}

// exportSpan exports one span with the SDK and its retry as it is by default. The
// error says that it was given up.
func exportSpan(transport, grpcAddr, httpAddr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	var h heard
	var err error
	if transport == "grpc" {
		h.SpanExporter, err = otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(grpcAddr), otlptracegrpc.WithInsecure(), otlptracegrpc.WithTimeout(90*time.Second))
	} else {
		h.SpanExporter, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(httpAddr), otlptracehttp.WithInsecure(), otlptracehttp.WithTimeout(90*time.Second))
	}
	if err != nil {
		return err
	}
	p := trace.NewTracerProvider(trace.WithSyncer(&h))
	_, span := p.Tracer("integration").Start(ctx, "while the queue is full")
	span.End() // exports, and waits
	if h.err != nil {
		return fmt.Errorf("over %s: %w", transport, h.err)
	}
	return p.Shutdown(ctx)
}
