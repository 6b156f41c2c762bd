package worker_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// backend is a server made of the official generated code.
type backend struct {
	addr string

	mu       sync.Mutex
	answer   func(n int) error // nil: success
	rejected int64
	hold     chan struct{} // not nil: answers wait
	got      []proto.Message
	metadata []metadata.MD
}

func serveBackend(t *testing.T) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{addr: l.Addr().String(), answer: func(int) error { return nil }}
	g := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(g, &traces{b: b})
	colmetrics.RegisterMetricsServiceServer(g, &metrics{b: b})
	collogs.RegisterLogsServiceServer(g, &logs{b: b})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Serve(l) // ends with Stop
	}()
	t.Cleanup(func() { g.Stop(); <-done })
	return b
}

func (b *backend) take(ctx context.Context, m proto.Message) (int64, error) {
	b.mu.Lock()
	md, _ := metadata.FromIncomingContext(ctx)
	b.got, b.metadata = append(b.got, m), append(b.metadata, md)
	err, rejected, hold := b.answer(len(b.got)), b.rejected, b.hold
	b.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	}
	return rejected, err
}

func (b *backend) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.got)
}

type traces struct {
	coltrace.UnimplementedTraceServiceServer
	b *backend
}

func (s *traces) Export(ctx context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	n, err := s.b.take(ctx, r)
	if err != nil {
		return nil, err
	}
	return &coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: n, ErrorMessage: "spans too old"}}, nil
}

type metrics struct {
	colmetrics.UnimplementedMetricsServiceServer
	b *backend
}

func (s *metrics) Export(ctx context.Context, r *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	_, err := s.b.take(ctx, r)
	return &colmetrics.ExportMetricsServiceResponse{}, err
}

type logs struct {
	collogs.UnimplementedLogsServiceServer
	b *backend
}

func (s *logs) Export(ctx context.Context, r *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	_, err := s.b.take(ctx, r)
	return &collogs.ExportLogsServiceResponse{}, err
}

// at is a grpc destination as the configuration makes it.
func at(b *backend, edits ...func(*worker.Destination)) worker.Destination {
	d := to("backend", edits...)
	d.Protocol, d.Endpoints, d.TLS.Insecure = worker.ProtocolGRPC, []string{b.addr}, true
	d.Retry = worker.Retry{Initial: d.Retry.Initial / 100, Max: d.Retry.Max / 100}
	return d
}

// server runs an embedded NATS server.
func server(t *testing.T) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), MaxStoreBytes: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func open(t *testing.T, s *embedded.Server) queue.Queue {
	t.Helper()
	q, err := jetstream.Open(t.Context(), jetstream.Config{Conn: s, Durability: jetstream.Process})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() }) // always nil
	return q
}

// liveRig is a built destination over a real queue.
func liveRig(t *testing.T, q queue.Queue, d worker.Destination) *rig {
	t.Helper()
	built, err := worker.Build([]worker.Destination{d}, worker.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, q, []worker.Destination{d}, built[d.Name])
}

// From a real queue to a real server: what was put in arrives, in each codec of
// the store and each compression of the wire.
func TestDeliversOverGRPC(t *testing.T) {
	q := open(t, server(t))
	for i, wire := range []string{"none", "gzip", "zstd", "snappy"} {
		t.Run(wire, func(t *testing.T) {
			b := serveBackend(t)
			d := at(b)
			d.Name, d.Compression = "to-"+wire, wire
			r := liveRig(t, q, d)
			r.n = 1000 * i // ids of their own, in streams that are shared
			var want []proto.Message
			for _, s := range otlp.Signals {
				for _, c := range []string{codec.None, codec.S2, codec.Zstd, codec.Gzip, codec.Brotli} {
					_, raw := r.put(s, c, 7)
					m := []proto.Message{new(coltrace.ExportTraceServiceRequest), new(colmetrics.ExportMetricsServiceRequest), new(collogs.ExportLogsServiceRequest)}[s]
					if err := proto.Unmarshal(raw, m); err != nil {
						t.Fatal(err)
					}
					want = append(want, m)
				}
			}
			r.start()
			until(t, "everything", func() bool { return b.count() >= len(want) })
			for _, s := range otlp.Signals {
				until(t, "acks of "+s.String(), func() bool { c := r.state(s, d.Name); return c.Pending == 0 && c.AckPending == 0 })
			}
			r.stop()
			for i, w := range want {
				if !slices.ContainsFunc(b.got, func(g proto.Message) bool { return proto.Equal(g, w) }) {
					t.Errorf("message %d did not arrive as it was put in", i)
				}
			}
		})
		purge(t, q)
	}
}

func purge(t *testing.T, q queue.Queue) {
	t.Helper()
	for _, s := range otlp.Signals {
		st, err := q.StreamState(t.Context(), topology.Stream(s, 0))
		if err == nil {
			err = q.Purge(t.Context(), st.Name, st.LastSeq)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The answers of a server, each to its end.
func TestAnswersOverGRPC(t *testing.T) {
	s := server(t)
	f := func(name string, answer func(n int) error, check func(t *testing.T, r *rig, b *backend)) {
		t.Run(name, func(t *testing.T) {
			q := open(t, s)
			b := serveBackend(t)
			b.answer = answer
			d := at(b)
			d.Name = "d-" + name
			r := liveRig(t, q, d)
			purge(t, q)
			m := message(otlp.Traces, 10)
			m.ID = name
			m.Body = nil // the empty request is valid
			m.Header["Penstock-Crc32c"] = "00000000"
			r.publish(topology.Stream(otlp.Traces, 0), m)
			r.start()
			until(t, "the settlement", func() bool { // what is pending is known a moment after a publish only
				st, err := q.StreamState(t.Context(), topology.Stream(otlp.Traces, 0))
				return err == nil && r.state(otlp.Traces, d.Name).AckFloor == st.LastSeq
			})
			r.stop()
			check(t, r, b)
		})
	}
	unavailable, err := status.New(codes.Unavailable, "come again").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(300 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	f("later", func(n int) error {
		if n < 3 {
			return unavailable.Err()
		}
		return nil
	}, func(t *testing.T, r *rig, b *backend) {
		if b.count() != 3 {
			t.Errorf("%d attempts, want 3", b.count())
		}
		r.wantMetric(2, "penstock_exporter_send_failures_total", "code=UNAVAILABLE", "kind=retryable")
		if n := r.metric("penstock_exporter_redeliveries_total"); n < 2 {
			t.Errorf("%g redeliveries, want 2 with an export and some without, for others to probe", n)
		}
		r.wantMetric(10, "penstock_exporter_sent_spans_total")
	})
	f("never", func(int) error { return status.Error(codes.InvalidArgument, "not like this") }, func(t *testing.T, r *rig, b *backend) {
		dead := r.dead()
		if len(dead) != 1 || dead[0].Header[deadletter.HeaderCode] != "INVALID_ARGUMENT" || dead[0].Header[deadletter.HeaderID] != "never" {
			t.Errorf("dead letters: %+v", dead)
		}
		r.wantMetric(10, "penstock_exporter_dead_lettered_spans_total")
	})
}

func TestPartialSuccessOverGRPC(t *testing.T) {
	b := serveBackend(t)
	b.rejected = 3
	r := liveRig(t, open(t, server(t)), at(b))
	r.put(otlp.Traces, codec.S2, 10)
	r.start()
	until(t, "the ack", func() bool { c := r.state(otlp.Traces, "backend"); return c.AckFloor == 1 })
	r.stop()
	r.wantMetric(7, "penstock_exporter_sent_spans_total")
	r.wantMetric(3, "penstock_exporter_rejected_spans_total")
	if b.count() != 1 || r.log.count("spans too old") != 1 {
		t.Errorf("%d attempts, want 1; log:\n%s", b.count(), r.log)
	}
}

// A worker whose connection is gone acks nothing, and what it held comes to
// another after the ack wait.
func TestTakeOverOnARealQueue(t *testing.T) {
	s, b := server(t), serveBackend(t)
	lost := open(t, s)
	r := liveRig(t, lost, at(b))
	r.plan.AckWait = time.Second
	r.o.Config.AckWait = r.o.Config.AckWait / 60
	if err := topology.ApplyConsumers(t.Context(), lost, r.plan); err != nil {
		t.Fatal(err)
	}
	r.put(otlp.Metrics, codec.S2, 4)
	b.hold = make(chan struct{})
	r.start()
	until(t, "the first attempt", func() bool { return b.count() == 1 })
	_ = lost.Close() // always nil

	q := open(t, s)
	second := liveRig(t, q, at(b))
	second.plan.AckWait = r.plan.AckWait
	if err := topology.ApplyConsumers(t.Context(), q, second.plan); err != nil {
		t.Fatal(err)
	}
	second.start()
	until(t, "the second attempt", func() bool { return b.count() == 2 })
	close(b.hold)
	until(t, "the ack", func() bool { return second.state(otlp.Metrics, "backend").AckFloor == 1 })
	second.stop()
	r.stop()
	r.wantMetric(1, "penstock_exporter_ack_failures_total")
	second.wantMetric(4, "penstock_exporter_sent_metric_points_total")
}
