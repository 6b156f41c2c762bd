package harness

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// Behaviour decides what a backend answers: nil takes the request, an error is
// the answer, and then nothing of the request counts as arrived.
type Behaviour func(ctx context.Context, sig otlp.Signal, body []byte) error

// Accept takes everything.
func Accept(context.Context, otlp.Signal, []byte) error { return nil }

// Answer refuses everything with the code, over HTTP with 503 for Unavailable
// and 400 for all else.
func Answer(code codes.Code) Behaviour {
	return func(context.Context, otlp.Signal, []byte) error {
		return status.Errorf(code, "the test's backend answers %s", code)
	}
}

// Slow takes everything, each request after the time, also when the caller is no
// longer there to hear of it.
func Slow(d time.Duration) Behaviour {
	return func(context.Context, otlp.Signal, []byte) error {
		time.Sleep(d)
		return nil
	}
}

// RejectItem refuses for good each request that has the item in it.
func RejectItem(id uint64) Behaviour {
	return func(_ context.Context, sig otlp.Signal, body []byte) error {
		has := false
		if _, err := sample.ItemIDs(sig, body, func(other uint64) { has = has || other == id }); err != nil || has {
			return status.Errorf(codes.InvalidArgument, "the test's backend does not take item %d: %v", id, err)
		}
		return nil
	}
}

// Hang takes nothing and answers nothing until the caller gives up.
func Hang(ctx context.Context, _ otlp.Signal, _ []byte) error {
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

// Body is one request that arrived.
type Body struct {
	Signal otlp.Signal
	Bytes  []byte
}

// Sink is an OTLP backend over gRPC and HTTP. It records the identity of what it
// takes, stays at its addresses while it goes down and comes up, and answers as
// told.
type Sink struct {
	GRPCAddr, HTTPAddr string

	t      testing.TB
	grpc   *grpc.Server // nil when down
	http   *http.Server
	served sync.WaitGroup

	mu       sync.Mutex // guards everything below
	behave   Behaviour
	keep     bool
	bodies   []Body
	seen     sample.Seen
	items    uint64
	bytes    uint64
	requests uint64
	replayed map[string]uint64 // items by the replay that says to have sent them
	tenants  map[string]uint64 // items by the tenant that their request names
}

// NewSink starts a backend; it ends with the test.
func NewSink(t testing.TB) *Sink {
	t.Helper()
	s := &Sink{GRPCAddr: FreeAddr(t), HTTPAddr: FreeAddr(t), t: t, behave: Accept, replayed: map[string]uint64{}, tenants: map[string]uint64{}}
	s.Up()
	t.Cleanup(s.Down)
	return s
}

// Up listens again after Down.
func (s *Sink) Up() {
	s.t.Helper()
	if s.grpc != nil {
		return
	}
	s.grpc = grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.MaxRecvMsgSize(64<<20), grpc.WaitForHandlers(true))
	serveRaw(s.grpc, func(ctx context.Context, sig otlp.Signal, body []byte) ([]byte, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		header := func(name string) string { return strings.Join(md.Get(name), ",") }
		return nil, s.take(ctx, sig, body, header)
	})
	s.http = &http.Server{Handler: http.HandlerFunc(s.serveHTTP), ReadHeaderTimeout: 10 * time.Second}
	s.listen(s.GRPCAddr, s.grpc.Serve)
	s.listen(s.HTTPAddr, s.http.Serve)
}

func (s *Sink) listen(addr string, serve func(net.Listener) error) {
	s.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		s.t.Fatalf("backend: %v", err)
	}
	s.served.Go(func() {
		if err := serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, grpc.ErrServerStopped) {
			s.t.Errorf("backend at %s: %v", addr, err)
		}
	})
}

// Down closes listeners and connections at once: who calls gets "connection
// refused".
func (s *Sink) Down() {
	if s.grpc == nil {
		return
	}
	s.grpc.Stop()
	if err := s.http.Close(); err != nil {
		s.t.Errorf("close the backend: %v", err)
	}
	s.served.Wait()
	s.grpc, s.http = nil, nil
}

// Behave changes what following requests are answered.
func (s *Sink) Behave(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behave = b
}

// Keep makes the sink keep the bytes of what it takes, for Bodies.
func (s *Sink) Keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = true
}

// Bodies are the requests kept so far.
func (s *Sink) Bodies() []Body {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies[:len(s.bodies):len(s.bodies)]
}

// Arrived is what the sink took: requests, items, their bytes, and how many
// items came again.
type Arrived struct{ Requests, Items, Bytes, Distinct, Duplicates uint64 }

// Arrived counts until now.
func (s *Sink) Arrived() Arrived {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Arrived{s.requests, s.items, s.bytes, s.seen.Distinct(), s.seen.Duplicates()}
}

// replayHeader marks what a replay sends.
const replayHeader = "penstock-replay-job"

// Replayed is the number of items that came with the mark of each replay.
func (s *Sink) Replayed() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.replayed)
}

// TenantHeader is where a sink looks for the tenant of a request.
const TenantHeader = "x-scope-orgid"

// Tenants is the number of items that came for each tenant, "" for none.
func (s *Sink) Tenants() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.tenants)
}

// missing is how many of the identities have not arrived, and the first.
func (s *Sink) missing(source uint32, from, to uint64) (n, first uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for seq := from; seq < to; seq++ {
		if !s.seen.Has(sample.ID(source, seq)) {
			if n == 0 {
				first = seq
			}
			n++
		}
	}
	return n, first
}

func (s *Sink) take(ctx context.Context, sig otlp.Signal, body []byte, header func(string) string) error {
	s.mu.Lock()
	behave := s.behave
	s.mu.Unlock()
	if err := behave(ctx, sig, body); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// What the caller no longer waits for counts all the same: it arrived.
	n, err := sample.ItemIDs(sig, body, func(id uint64) { s.seen.Add(id) })
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "%s of %d bytes: %v", sig, len(body), err)
	}
	s.requests++
	s.items += uint64(n)
	s.bytes += uint64(len(body))
	if job := header(replayHeader); job != "" {
		s.replayed[job] += uint64(n)
	}
	s.tenants[header(TenantHeader)] += uint64(n)
	if s.keep {
		s.bodies = append(s.bodies, Body{sig, body})
	}
	return nil
}

func (s *Sink) serveHTTP(w http.ResponseWriter, r *http.Request) {
	sig, err := otlp.ParseSignal(strings.TrimPrefix(r.URL.Path, "/v1/"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	body, err := readBody(r)
	if err == nil {
		err = s.take(r.Context(), sig, body, r.Header.Get)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	switch status.Code(err) {
	case codes.OK:
	case codes.Unavailable:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

// readBody reads an HTTP body, decompressed.
func readBody(r *http.Request) ([]byte, error) {
	switch enc := r.Header.Get("Content-Encoding"); enc {
	case "", "identity":
		return io.ReadAll(r.Body)
	case "gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	default:
		return nil, errors.New("the test's backend does not read content-encoding " + enc)
	}
}
