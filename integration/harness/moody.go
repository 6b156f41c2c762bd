package harness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// PoisonEvery is how many items have one among them that a moody backend does
// not take.
const PoisonEvery = 1500

// Poisonous tells whether a moody backend does not take the item.
func Poisonous(id uint64) bool {
	_, seq := sample.SplitID(id)
	return seq%PoisonEvery == 77
}

// maxMoodyRequest is what many backends take at most: the default of gRPC.
const maxMoodyRequest = 4 << 20

// Moody is an OTLP backend over gRPC and HTTP that answers at random, from a
// seed, with whatever the specification knows and servers do: success, partial
// success, every code, waits of seconds, no answer, a reset connection, and too
// large above 4 MiB. It knows of each item whether it took or rejected it, and
// what it does not confirm it did not take.
//
// One item in PoisonEvery it never takes: whatever is in a request with it is
// rejected for good.
//
// A reset ends a whole connection. So that it takes no answer along that was
// given, whoever calls over gRPC has one call on a connection.
type Moody struct {
	GRPCAddr, HTTPAddr string

	t testing.TB

	mu        sync.Mutex // guards everything below
	r         *rand.Rand
	conns     map[string]net.Conn // by the peer's address
	delivered map[uint64]int
	rejected  map[uint64]int
	answers   map[string]int
	requests  int
}

// mood is one answer: a number of times in ten thousand, and what to do.
type mood struct {
	share int
	name  string
	take  bool // the items are taken, but for those of a partial success
	grpc  func(ctx context.Context, m *Moody) error
	http  func(w http.ResponseWriter, r *http.Request, m *Moody)
	kind  moodKind
}

type moodKind uint8

const (
	moodAnswer moodKind = iota
	moodPartial
	moodWarning
	moodHang
	moodReset
)

// grpcMoods and httpMoods are the tables of OTLP 1.11, "Failures", with what is
// beside them. The rest of ten thousand is success.
var grpcMoods = func() (out []mood) {
	says := func(share int, c codes.Code, wait time.Duration) {
		name := c.String()
		st := status.New(c, "the mood is "+c.String())
		if wait > 0 {
			name += " RetryInfo"
			st, _ = st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}) // an error only for OK
		}
		out = append(out, mood{share: share, name: name, grpc: func(context.Context, *Moody) error { return st.Err() }})
	}
	for _, c := range []codes.Code{codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss} {
		says(150, c, 0)
	}
	for _, c := range []codes.Code{codes.InvalidArgument, codes.FailedPrecondition, codes.AlreadyExists, codes.Internal, codes.Unknown, codes.Code(42)} {
		says(60, c, 0)
	}
	for _, c := range []codes.Code{codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.NotFound} {
		says(5, c, 0)
	}
	says(60, codes.ResourceExhausted, 0)
	says(2, codes.ResourceExhausted, 2*time.Second)
	says(2, codes.Unavailable, time.Second)
	return append(out, common...)
}()

var httpMoods = func() (out []mood) {
	says := func(share, code int, wait string) {
		name := fmt.Sprint("HTTP ", code)
		if wait != "" {
			name += " Retry-After"
		}
		out = append(out, mood{share: share, name: name, take: code/100 == 2, http: func(w http.ResponseWriter, _ *http.Request, _ *Moody) {
			if wait != "" {
				w.Header().Set("Retry-After", wait)
			}
			if code/100 == 3 {
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			}
			w.WriteHeader(code)
		}})
	}
	for _, c := range []int{429, 502, 503, 504} {
		says(250, c, "")
	}
	for _, c := range []int{400, 408, 409, 422, 500} {
		says(60, c, "")
	}
	for _, c := range []int{301, 307, 401, 403, 404, 405, 415, 431, 501, 505} {
		says(3, c, "")
	}
	for _, c := range []int{202, 204} {
		says(100, c, "")
	}
	says(60, 413, "")
	says(2, 429, "2")
	says(2, 503, "1")
	out = append(out,
		mood{share: 100, name: "200 unreadable", take: true, http: func(w http.ResponseWriter, _ *http.Request, m *Moody) { m.write(w, []byte{0xff, 0xff}) }},
		mood{share: 50, name: "200 HTML", http: func(w http.ResponseWriter, _ *http.Request, m *Moody) {
			w.Header().Set("Content-Type", "text/html")
			m.write(w, []byte("<html>log in</html>"))
		}})
	return append(out, common...)
}()

var common = []mood{
	{share: 800, name: "partial success", take: true, kind: moodPartial},
	{share: 100, name: "warning", take: true, kind: moodWarning},
	{share: 8, name: "hang", kind: moodHang},
	{share: 30, name: "reset", kind: moodReset},
}

var success = mood{name: "success", take: true}

// NewMoody starts a backend; it ends with the test.
func NewMoody(t testing.TB, seed uint64) *Moody {
	t.Helper()
	m := &Moody{GRPCAddr: FreeAddr(t), HTTPAddr: FreeAddr(t), t: t, r: rand.New(rand.NewPCG(seed, 99)),
		conns: map[string]net.Conn{}, delivered: map[uint64]int{}, rejected: map[uint64]int{}, answers: map[string]int{}}
	server := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.MaxRecvMsgSize(maxMoodyRequest), grpc.WaitForHandlers(true))
	serveRaw(server, m.serveGRPC)
	h := &http.Server{Handler: http.HandlerFunc(m.serveHTTP), ReadHeaderTimeout: 10 * time.Second}
	var wg sync.WaitGroup
	for addr, serve := range map[string]func(net.Listener) error{m.GRPCAddr: server.Serve, m.HTTPAddr: h.Serve} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := serve(&keeper{l, m}); err != nil && !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("moody backend at %s: %v", addr, err)
			}
		})
	}
	t.Cleanup(func() {
		server.Stop()
		h.Close()
		wg.Wait()
	})
	return m
}

// keeper keeps the connections that it accepts, so that one can be reset.
type keeper struct {
	net.Listener
	m *Moody
}

func (k *keeper) Accept() (net.Conn, error) {
	c, err := k.Listener.Accept()
	if err == nil {
		k.m.mu.Lock()
		k.m.conns[c.RemoteAddr().String()] = c
		k.m.mu.Unlock()
	}
	return c, err
}

func (m *Moody) reset(peer string) {
	m.mu.Lock()
	c := m.conns[peer]
	delete(m.conns, peer)
	m.mu.Unlock()
	if tcp, ok := c.(*net.TCPConn); ok {
		if err := errors.Join(tcp.SetLinger(0), tcp.Close()); err != nil {
			m.t.Errorf("reset %s: %v", peer, err)
		}
	}
}

// mood for the next request.
func (m *Moody) mood(table []mood) mood {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	n := m.r.IntN(10_000)
	out := success
	for _, x := range table {
		if n -= x.share; n < 0 {
			out = x
			break
		}
	}
	m.answers[out.name]++
	return out
}

// take notes what becomes of the items and gives the body of the answer.
func (m *Moody) take(x mood, sig otlp.Signal, body []byte) ([]byte, error) {
	var ids []uint64
	n, err := sample.ItemIDs(sig, body, func(id uint64) { ids = append(ids, id) })
	if err != nil || n != len(ids) {
		m.t.Errorf("%s of %d bytes with %d items, %d of them known: %v", sig, len(body), n, len(ids), err)
		return nil, status.Error(codes.InvalidArgument, "no OTLP")
	}
	if slices.ContainsFunc(ids, Poisonous) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.answers["poison"]++
		return nil, status.Error(codes.InvalidArgument, "an item of this is poison")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	rejected := 0
	if x.kind == moodPartial && n > 0 {
		rejected = 1 + m.r.IntN(n)
	}
	for i, id := range ids {
		if i < rejected {
			m.rejected[id]++
		} else {
			m.delivered[id]++
		}
	}
	if x.kind != moodPartial && x.kind != moodWarning {
		return nil, nil
	}
	// ExportPartialSuccess is field 1 of every response: how many were rejected,
	// and a message.
	p := protowire.AppendTag(nil, 1, protowire.VarintType)
	p = protowire.AppendVarint(p, uint64(rejected))
	p = protowire.AppendTag(p, 2, protowire.BytesType)
	p = protowire.AppendString(p, fmt.Sprintf("the mood rejects %d", rejected))
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), p), nil
}

func (m *Moody) serveGRPC(ctx context.Context, sig otlp.Signal, body []byte) ([]byte, error) {
	x := m.mood(grpcMoods)
	switch {
	case x.kind == moodHang:
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	case x.kind == moodReset:
		if p, ok := peer.FromContext(ctx); ok {
			m.reset(p.Addr.String())
		}
		return nil, status.Error(codes.Unavailable, "never heard")
	case x.take:
		return m.take(x, sig, body)
	}
	return nil, x.grpc(ctx, m)
}

func (m *Moody) serveHTTP(w http.ResponseWriter, r *http.Request) {
	sig, err := otlp.ParseSignal(strings.TrimPrefix(r.URL.Path, "/v1/"))
	if err != nil {
		m.t.Errorf("a request to %s: %v", r.URL, err)
		http.NotFound(w, r)
		return
	}
	body, err := readBody(r)
	if err != nil { // the client gave up
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if len(body) > maxMoodyRequest {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	x := m.mood(httpMoods)
	switch x.kind {
	case moodHang:
		<-r.Context().Done()
		return
	case moodReset:
		m.reset(r.RemoteAddr)
		return
	}
	var reply []byte
	if x.take {
		if reply, err = m.take(x, sig, body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	if x.http != nil {
		x.http(w, r, m)
		return
	}
	m.write(w, reply)
}

func (m *Moody) write(w http.ResponseWriter, b []byte) {
	if _, err := w.Write(b); err != nil {
		m.t.Errorf("an answer was not written: %v", err) // the item it tells of would count twice
	}
}

// Requests until now, and how often each answer was given.
func (m *Moody) Requests() (n int, answers map[string]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]int, len(m.answers))
	for k, v := range m.answers {
		out[k] = v
	}
	return m.requests, out
}

// Moods are the names of all answers over that protocol.
func Moods(overHTTP bool) []string {
	table, out := grpcMoods, []string{success.name}
	if overHTTP {
		table = httpMoods
	}
	for _, x := range table {
		out = append(out, x.name)
	}
	return out
}

// Fates are how often each item was taken and how often rejected by a partial
// success.
func (m *Moody) Fates() (delivered, rejected map[uint64]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.delivered, m.rejected
}
