package otlpgrpc

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
	"github.com/penstock-otel/penstock/pkg/pool"
)

// quick connects again soon.
var quick = pool.Config{Backoff: backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.2, MaxDelay: 20 * time.Millisecond}}

func newExporter(t *testing.T, cfg Config) *Exporter {
	t.Helper()
	cfg.Pool = quick
	x, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestSuite(t *testing.T) {
	const secret = "hunter2-hunter2" // the suite sends it with every request
	fails := func(code codes.Code, msg string, want exporter.Kind, name string) exportertest.Answer {
		return exportertest.Answer{Name: code.String(),
			Set:  say(func(context.Context) ([]byte, error) { return nil, status.Error(code, msg) }),
			Want: &exportertest.Want{Kind: want, Code: name, Says: []string{`destination "backend"`, "127.0.0.1:"}}}
	}
	wait := func(code codes.Code) func(context.Context) ([]byte, error) {
		return func(context.Context) ([]byte, error) {
			st, err := status.New(code, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})
			if err != nil {
				panic(err)
			}
			return nil, st.Err()
		}
	}
	gives := func(b []byte) func(exportertest.Destination) {
		return say(func(context.Context) ([]byte, error) { return b, nil })
	}
	packed := func(b []byte) func(exportertest.Destination) {
		return say(func(ctx context.Context) ([]byte, error) { return b, grpc.SetSendCompressor(ctx, "gzip") })
	}
	exportertest.Run(t, exportertest.Kind{
		New: func(t *testing.T, o exportertest.Options) (exporter.Exporter, exportertest.Destination) {
			s := serve(t)
			cfg := Config{Name: "backend", Endpoints: []string{s.addr}, Compression: o.Compression, Timeout: o.Timeout, MaxRequestBytes: o.MaxRequestBytes}
			if o.Header != "" {
				cfg.Headers = []outgoing.Header{{Name: o.Header, Value: o.Secret}}
			}
			return newExporter(t, cfg), s
		},
		Compressions: Compressions,
		Answers: []exportertest.Answer{
			fails(codes.Canceled, "gone", exporter.Retryable, "CANCELLED"),
			fails(codes.DeadlineExceeded, "slow", exporter.Retryable, "DEADLINE_EXCEEDED"),
			fails(codes.Aborted, "", exporter.Retryable, "ABORTED"),
			fails(codes.OutOfRange, "", exporter.Retryable, "OUT_OF_RANGE"),
			fails(codes.Unavailable, "overloaded", exporter.Retryable, "UNAVAILABLE"),
			fails(codes.DataLoss, "", exporter.Retryable, "DATA_LOSS"),
			fails(codes.ResourceExhausted, "grpc: received message larger than max (9 vs. 4)", exporter.TooLarge, "RESOURCE_EXHAUSTED"),
			fails(codes.InvalidArgument, "bad "+secret+" "+strings.Repeat("x", 5000), exporter.Permanent, "INVALID_ARGUMENT"),
			fails(codes.Unauthenticated, "Bearer "+secret, exporter.Permanent, "UNAUTHENTICATED"),
			fails(codes.PermissionDenied, "", exporter.Permanent, "PERMISSION_DENIED"),
			fails(codes.Unimplemented, "", exporter.Permanent, "UNIMPLEMENTED"),
			fails(codes.Internal, "", exporter.Permanent, "INTERNAL"),
			fails(codes.Unknown, "", exporter.Permanent, "UNKNOWN"),
			fails(codes.Code(17), "", exporter.Permanent, "CODE_OTHER"),
			fails(codes.Code(99), "", exporter.Permanent, "CODE_OTHER"),
			fails(codes.Code(math.MaxInt32), "", exporter.Permanent, "CODE_OTHER"),
			{Name: "UnavailableWithDelay", Set: say(wait(codes.Unavailable)), Want: &exportertest.Want{Code: "UNAVAILABLE", After: 7 * time.Second}},
			{Name: "ExhaustedWithDelay", Set: say(wait(codes.ResourceExhausted)), Want: &exportertest.Want{Code: "RESOURCE_EXHAUSTED", After: 7 * time.Second}},
			{Name: "Partial", Set: gives(otlp.AppendResponse(nil, otlp.Metrics, 3, "3 too old, key "+secret)), Result: exporter.Result{Rejected: 3, Message: "3 too old, key ***"}},
			{Name: "PartialGzip", Set: packed(otlp.AppendResponse(nil, otlp.Metrics, 3, "3 too old")), Result: exporter.Result{Rejected: 3, Message: "3 too old"}},
			{Name: "AnswerBomb", Set: packed(make([]byte, 5<<20)), Want: &exportertest.Want{Kind: exporter.Permanent, Code: "bad_response", Says: []string{"4194304"}}},
			{Name: "Warning", Set: gives(otlp.AppendResponse(nil, otlp.Metrics, 0, "soon deprecated")), Result: exporter.Result{Message: "soon deprecated"}},
			{Name: "Unreadable", Set: gives([]byte{0xff, 0xff}), Result: exporter.Result{Message: "cannot be read"}},
			{Name: "AnswerTooLarge", Set: gives(make([]byte, 4<<20+1)), Want: &exportertest.Want{Kind: exporter.Permanent, Code: "bad_response", Says: []string{"4194304"}}},
		},
	})
}

func TestHeadersOfARequest(t *testing.T) {
	s := serve(t)
	x := newExporter(t, Config{Endpoints: []string{s.addr}, UserAgent: "penstock/1.2.3", TenantHeader: "X-Scope-OrgID",
		Credential: &exportertest.Credential{Values: []string{"Bearer token-1"}}})
	defer x.Close()
	r := exportertest.Request(t, otlp.Logs, "none", nil)
	r.Header = []exporter.Header{{Name: "Penstock-Replay-Job", Value: "job-1"}}
	if _, err := x.Export(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", nil)); err != nil {
		t.Fatal(err)
	}
	if got := s.metadata[1].Get("penstock-replay-job"); len(got) > 0 {
		t.Errorf("the header of one request came with another: %q", got)
	}
	for name, want := range map[string]string{"penstock-replay-job": "job-1", "user-agent": "penstock/1.2.3 grpc-go/" + grpc.Version, "x-scope-orgid": "acme", "authorization": "Bearer token-1"} {
		if got := s.metadata[0].Get(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A token of one call is as secret as a configured header.
func TestAuthorizationIsNotRepeated(t *testing.T) {
	s := serve(t)
	x := newExporter(t, Config{Endpoints: []string{s.addr}, Credential: &exportertest.Credential{Values: []string{"Bearer token-12345"}}})
	defer x.Close()
	say(func(context.Context) ([]byte, error) {
		return nil, status.Error(codes.Unauthenticated, "token-12345 has expired")
	})(s)
	_, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", nil))
	exportertest.Check(t, "expired", err, exportertest.Want{Kind: exporter.Permanent, Says: []string{"*** has expired"}, Hides: []string{"token-12345"}})
}

func TestNoCredentials(t *testing.T) {
	s := serve(t)
	x := newExporter(t, Config{Name: "backend", Endpoints: []string{s.addr},
		Credential: &exportertest.Credential{Err: context.DeadlineExceeded}})
	defer x.Close()
	_, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", nil))
	exportertest.Check(t, "no token", err, exportertest.Want{Code: "no_token", Says: []string{`"backend"`}})
}

func TestBusy(t *testing.T) {
	s := serve(t)
	x, err := New(Config{Endpoints: []string{s.addr}, Timeout: 2 * time.Second, Pool: pool.Config{MaxConnections: 1, MaxInFlight: 1, WaitTimeout: 100 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	s.Hold()
	first := make(chan error)
	r := exportertest.Request(t, otlp.Logs, "none", nil)
	go func() { _, err := x.Export(context.Background(), r); first <- err }()
	for s.Held() != 1 {
		time.Sleep(time.Millisecond)
	}
	_, err = x.Export(context.Background(), r)
	exportertest.Check(t, "busy", err, exportertest.Want{Code: "busy", Says: []string{"max_connections"}})
	s.Free()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if st := x.Stats(); st.Ready != 1 || st.Waits == 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestStoredBytesAreShippedAsTheyAre(t *testing.T) {
	s := serve(t)
	x := newExporter(t, Config{Endpoints: []string{s.addr}, Compression: "zstd"})
	defer x.Close()
	r := exportertest.Request(t, otlp.Traces, "zstd", exportertest.Body(otlp.Traces, 1, 100))
	body, err := x.bodies.Of(r)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Release()
	if !body.Stored || &body.Data[0] != &r.Body[0] {
		t.Error("the body was made anew")
	}
	if _, err := x.Export(context.Background(), r); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	f := func(change func(*Config), want ...string) {
		t.Helper()
		c := Config{Name: "backend", Endpoints: []string{"127.0.0.1:4317"}}
		change(&c)
		_, err := New(c)
		for _, w := range append(want, `destination "backend"`) {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("got %v, want %q", err, w)
			}
		}
	}
	f(func(c *Config) { c.Endpoints = nil }, "endpoints: none given")
	f(func(c *Config) { c.Compression = "br" }, `compression: "br"`)
	f(func(c *Config) { c.Compression, c.CompressionLevel = "gzip", 12 }, "compression_level: ")
	f(func(c *Config) { c.Timeout = -1 }, "timeout: ")
	f(func(c *Config) { c.MaxRequestBytes = -1 }, "max_request_bytes: -1")
	f(func(c *Config) { c.Headers = []outgoing.Header{{Name: "content-type"}} }, "headers[0]")
	f(func(c *Config) { c.TenantHeader = "a b" }, "tenant_header")
	f(func(c *Config) { c.Endpoints = []string{"dns://%%/x"} }, "dns://%%/x")
}
