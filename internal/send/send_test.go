package send_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/gateway"
	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/send"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// front is the front door of a gateway over a queue in memory.
type front struct {
	q          *memory.Queue
	grpc, http string
}

func serveGateway(t *testing.T) *front {
	t.Helper()
	f := &front{q: memory.New()}
	plan := topology.Plan{Shards: 1, MaxBytes: 512 << 20}
	if err := topology.Apply(t.Context(), f.q, plan); err != nil {
		t.Fatal(err)
	}
	c := gateway.DefaultConfig()
	c.GRPC.Listen, c.HTTP.Listen = "127.0.0.1:0", "127.0.0.1:0"
	log := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(context.Background())
	up, ended := make(chan struct{}), make(chan error, 1)
	go func() { // ends with stop; waited for by the cleanup
		ended <- app.New("test", log).Run(ctx, func(ctx context.Context, a *app.App) error {
			g, err := gateway.Start(ctx, a, gateway.Options{Config: c, Queue: f.q, Plan: plan, Registry: prometheus.NewRegistry(), Logger: log})
			if err == nil {
				f.grpc, f.http = g.GRPCAddr().String(), "http://"+g.HTTPAddr().String()
				close(up)
			}
			return err
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-up:
	case <-time.After(10 * time.Second):
		t.Fatal("the gateway does not start")
	}
	return f
}

// items counts what is stored of a signal.
func (f *front) items(t *testing.T, s otlp.Signal) (n int) {
	t.Helper()
	st, err := f.q.StreamState(t.Context(), topology.Stream(s, 0))
	if err != nil {
		t.Fatal(err)
	}
	for seq := st.FirstSeq; seq <= st.LastSeq; seq++ {
		m, _, err := f.q.Get(t.Context(), st.Name, seq)
		if err != nil {
			t.Fatal(err)
		}
		r, err := record.Decode(m)
		if err != nil {
			t.Fatal(err)
		}
		n += r.Items
	}
	return n
}

func config(edits ...func(*send.Config)) send.Config {
	c := send.Config{Protocol: "grpc", Insecure: true, Signals: otlp.Signals[:], Items: 230, Batch: 50, Clients: 2, Seed: 1}
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

// What is counted as accepted is what a gateway has stored, to the item.
func TestCountsAreExact(t *testing.T) {
	for _, protocol := range []string{"grpc", "http"} {
		for _, compression := range []string{"", "none", "gzip", "zstd", "snappy"} {
			if protocol == "http" && compression == "snappy" {
				continue // refused by Validate
			}
			t.Run(protocol+" "+compression, func(t *testing.T) {
				f := serveGateway(t)
				c := config(func(c *send.Config) {
					c.Protocol, c.Compression, c.Target = protocol, compression, f.grpc
					if protocol == "http" {
						c.Target = f.http + "/"
					}
				})
				var totals send.Totals
				if err := send.Run(t.Context(), c, &totals); err != nil {
					t.Fatal(err)
				}
				for _, s := range otlp.Signals {
					if stored, said := f.items(t, s), totals.Accepted[s].Load(); stored != 230 || said != 230 {
						t.Errorf("%s: %d stored, %d counted, want 230", s, stored, said)
					}
				}
				if totals.All() != 690 || totals.Requests.Load() != 15 || totals.Failed.Load()+totals.Rejected.Load()+totals.Resent.Load()+totals.Unknown.Load() != 0 {
					t.Errorf("totals: all %d, requests %d, failed %d, rejected %d, resent %d", totals.All(), totals.Requests.Load(), totals.Failed.Load(), totals.Rejected.Load(), totals.Resent.Load())
				}
			})
		}
	}
}

// server answers what it is told, over gRPC and over HTTP.
type server struct {
	grpc, http string

	mu     sync.Mutex
	answer func(n int) ([]byte, error) // n counts from 1; an error is a gRPC status
	status int                         // of HTTP, when answer fails
	bodies [][]byte
	paths  []string
}

func serve(t *testing.T, answer func(n int) ([]byte, error)) *server {
	t.Helper()
	s := &server{answer: answer, status: http.StatusServiceUnavailable}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.ForceServerCodecV2(grpcwire.Codec{}))
	for _, sig := range otlp.Signals {
		g.RegisterService(grpcwire.ServiceDesc(sig, func(_ context.Context, sig otlp.Signal, recv func(*grpcwire.Frame) error) ([]byte, error) {
			var f grpcwire.Frame
			if err := recv(&f); err != nil {
				return nil, err
			}
			defer f.Free()
			b, release := f.Bytes(nil)
			defer release()
			return s.take(sig.String(), b)
		}), nil)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Serve(l) // ends with Stop
	}()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err == nil {
			b, err = codec.Decode(nil, r.Header.Get("Content-Encoding"), b, 1<<24)
		}
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		reply, err := s.take(r.URL.Path, b)
		if err != nil {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(s.status)
			reply = []byte(err.Error())
		}
		_, _ = w.Write(reply) // the client notices
	}))
	t.Cleanup(func() { h.Close(); g.Stop(); <-done })
	s.grpc, s.http = l.Addr().String(), h.URL
	return s
}

func (s *server) take(path string, body []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies, s.paths = append(s.bodies, bytes.Clone(body)), append(s.paths, path)
	return s.answer(len(s.bodies))
}

// one is a single request.
func one(protocol string, s *server) send.Config {
	return config(func(c *send.Config) {
		c.Protocol, c.Signals, c.Items, c.Batch, c.Clients, c.Target = protocol, []otlp.Signal{otlp.Logs}, 10, 10, 1, s.grpc
		if protocol == "http" {
			c.Target = s.http
		}
	})
}

func each(t *testing.T, f func(t *testing.T, protocol string)) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) { f(t, protocol) })
	}
}

// A refusal that asks to be sent again is sent again, with the same bytes.
func TestResends(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		soon, err := status.New(codes.ResourceExhausted, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)})
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, func(n int) ([]byte, error) {
			return nil, map[int]error{1: status.Error(codes.Unavailable, "not yet"), 2: soon.Err()}[n]
		})
		var totals send.Totals
		if err := send.Run(t.Context(), one(protocol, s), &totals); err != nil {
			t.Fatal(err)
		}
		if len(s.bodies) != 3 || !bytes.Equal(s.bodies[0], s.bodies[1]) || !bytes.Equal(s.bodies[0], s.bodies[2]) {
			t.Errorf("%d requests, want three of the same bytes", len(s.bodies))
		}
		if totals.Resent.Load() != 2 || totals.Requests.Load() != 1 || totals.All() != 10 {
			t.Errorf("resent %d, requests %d, accepted %d; want 2, 1, 10", totals.Resent.Load(), totals.Requests.Load(), totals.All())
		}
		if protocol == "http" && s.paths[0] != "/v1/logs" {
			t.Errorf("sent to %s", s.paths[0])
		}
	})
}

func TestPartialSuccessIsCounted(t *testing.T) {
	for said, want := range map[int64]int64{3: 3, -4: 0, 1 << 50: 10} {
		each(t, func(t *testing.T, protocol string) {
			s := serve(t, func(int) ([]byte, error) { return otlp.AppendResponse(nil, otlp.Logs, said, "some"), nil })
			var totals send.Totals
			if err := send.Run(t.Context(), one(protocol, s), &totals); err != nil {
				t.Fatal(err)
			}
			if totals.Rejected.Load() != want || totals.All() != 10-want || len(s.bodies) != 1 {
				t.Errorf("said %d: rejected %d, accepted %d, requests %d", said, totals.Rejected.Load(), totals.All(), len(s.bodies))
			}
		})
	}
}

func TestFinalRefusalEnds(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		s := serve(t, func(int) ([]byte, error) { return nil, status.Error(codes.InvalidArgument, "never") })
		s.status = http.StatusBadRequest
		var totals send.Totals
		c := one(protocol, s)
		c.Items = 0 // for ever, but for the refusal
		err := send.Run(t.Context(), c, &totals)
		if err == nil || !strings.HasPrefix(err.Error(), "send 10 log_records: ") || !strings.Contains(err.Error(), "never") {
			t.Errorf("got %v", err)
		}
		if totals.Failed.Load() != 10 || totals.All() != 0 || len(s.bodies) != 1 {
			t.Errorf("failed %d, accepted %d, requests %d", totals.Failed.Load(), totals.All(), len(s.bodies))
		}
	})
}

func TestUnreadableAnswerFails(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		s := serve(t, func(int) ([]byte, error) { return []byte("\x0a\xffnonsense"), nil })
		var totals send.Totals
		if err := send.Run(t.Context(), one(protocol, s), &totals); err == nil || totals.Failed.Load() != 10 {
			t.Errorf("got %v and %d failed", err, totals.Failed.Load())
		}
	})
}

// A server that is not there is waited for, until the caller has enough; what
// was not answered is neither accepted nor failed.
func TestEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, protocol string) {
		s := &server{grpc: nobody, http: "http://" + nobody}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		var totals send.Totals
		if err := send.Run(ctx, one(protocol, s), &totals); err != nil {
			t.Errorf("got %v", err)
		}
		if totals.Unknown.Load() != 10 || totals.All()+totals.Failed.Load() != 0 || totals.Resent.Load() < 1 {
			t.Errorf("unknown %d, accepted %d, failed %d, resent %d", totals.Unknown.Load(), totals.All(), totals.Failed.Load(), totals.Resent.Load())
		}
	})
}

// An answer that breaks off is no answer.
func TestBrokenAnswerIsResent(t *testing.T) {
	n := 0
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if n++; n == 1 {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("short"))
		}
	}))
	defer h.Close()
	var totals send.Totals
	if err := send.Run(t.Context(), one("http", &server{http: h.URL}), &totals); err != nil || totals.Resent.Load() != 1 || totals.All() != 10 {
		t.Errorf("%v, resent %d, accepted %d", err, totals.Resent.Load(), totals.All())
	}
}

// The rate is that of a signal, and the first batch is not waited for.
func TestRate(t *testing.T) {
	s := serve(t, func(int) ([]byte, error) { return nil, nil })
	c := one("grpc", s)
	c.Items, c.Batch, c.Rate, c.Clients = 0, 10, 100, 3
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin := time.Now()
	var totals send.Totals
	if err := send.Run(ctx, c, &totals); err != nil {
		t.Fatal(err)
	}
	most := int64(10 + 100*time.Since(begin).Seconds() + 10)
	if n := totals.All() + totals.Unknown.Load(); n < 10 || n > most {
		t.Errorf("sent %d items, want 10 to %d at 100 a second", n, most)
	}
}

func TestValidate(t *testing.T) {
	f := func(want string, edit func(*send.Config)) {
		t.Helper()
		c := config(func(c *send.Config) { c.Target = "localhost:1" }, edit)
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if err := send.Run(t.Context(), c, new(send.Totals)); err == nil || err.Error() != want {
			t.Errorf("Run: got %v", err)
		}
	}
	f(`protocol is "soap": want grpc or http`, func(c *send.Config) { c.Protocol = "soap" })
	f("no target address", func(c *send.Config) { c.Target = "" })
	f("batch is 0: want 1 to 100000 items", func(c *send.Config) { c.Batch = 0 })
	f("clients is 1001: want 1 to 1000", func(c *send.Config) { c.Clients = 1001 })
	f("count is -1 and rate 0: want 0 or more", func(c *send.Config) { c.Items = -1 })
	f("count is 230 and rate -2: want 0 or more", func(c *send.Config) { c.Rate = -2 })
	f("no signal to send", func(c *send.Config) { c.Signals = nil })
	f(`compression is "lzma": want none, gzip, zstd or snappy`, func(c *send.Config) { c.Compression = "lzma" })
	f("compression is snappy: protocol http takes none, gzip or zstd", func(c *send.Config) { c.Protocol, c.Compression = "http", "snappy" })
	f(`target is "localhost:1": want a base URL such as http://127.0.0.1:4318`, func(c *send.Config) { c.Protocol = "http" })
	if err := config(func(c *send.Config) { c.Target = "x" }).Validate(); err != nil {
		t.Error(err)
	}
}

// TLS is spoken unless it is declined.
func TestTLS(t *testing.T) {
	s := serve(t, func(int) ([]byte, error) { return nil, nil })
	c := one("grpc", s)
	c.Insecure = false
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var totals send.Totals
	if err := send.Run(ctx, c, &totals); err != nil || totals.Unknown.Load() != 10 || len(s.bodies) != 0 {
		t.Errorf("%v; a server in plain text got %d requests", err, len(s.bodies))
	}
	c.Target = "\x00"
	if err := send.Run(t.Context(), c, &totals); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a target that is none: %v", err)
	}
}
