package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// LoadConfig describes closed-loop clients: each sends its next request when the
// last was answered.
type LoadConfig struct {
	// GRPC and HTTP are addresses of the gateway; clients alternate between
	// those that are given.
	GRPC, HTTP string
	// Signals that a client takes turns in. None: all three.
	Signals []otlp.Signal
	// Clients send at the same time. 0: 8.
	Clients int
	// Connections for gRPC. 0: 2.
	Connections int
	// Items a request. 0: 100.
	Items int
	// Pause of a client between two requests. 0: none.
	Pause time.Duration
	// Retry sends a request again while its answer is one that OTLP 1.11 calls
	// retryable, until Stop. Otherwise each is sent once.
	Retry bool
	// Patience with one try. 0: 10 s.
	Patience time.Duration
}

// Load is clients under way.
type Load struct {
	t      testing.TB
	c      LoadConfig
	ledger *Ledger
	stop   context.CancelFunc
	wg     sync.WaitGroup
	conns  []*grpc.ClientConn
	http   *http.Client
}

// sources are never used twice in a test process, so that loads may share a sink.
var sources atomic.Uint32

// StartLoad begins to send and to note in the ledger. It ends by Stop, or with
// the test.
func StartLoad(t testing.TB, l *Ledger, c LoadConfig) *Load {
	t.Helper()
	if len(c.Signals) == 0 {
		c.Signals = otlp.Signals[:]
	}
	if c.Clients == 0 {
		c.Clients = 8
	}
	if c.Connections == 0 {
		c.Connections = 2
	}
	if c.Items == 0 {
		c.Items = 100
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	load := &Load{t: t, c: c, ledger: l, stop: stop,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: c.Clients}}}
	for range c.Connections {
		load.conns = append(load.conns, dial(t, c.GRPC))
	}
	for i := range c.Clients {
		overHTTP := c.GRPC == "" || c.HTTP != "" && i%2 == 1
		send := load.sendHTTP
		if !overHTTP {
			conn := load.conns[i%len(load.conns)]
			send = func(ctx context.Context, sig otlp.Signal, b []byte) error { return invoke(ctx, conn, sig, b) }
		}
		load.wg.Go(func() { load.client(ctx, send) })
	}
	t.Cleanup(load.Stop)
	return load
}

// dial connects at once again when the server came back.
func dial(t testing.TB, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := newConn(addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func newConn(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 200 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}))
}

// Stop ends sending, after the requests under way had their answer.
func (l *Load) Stop() {
	l.stop()
	l.wg.Wait()
	for _, c := range l.conns {
		if err := c.Close(); err != nil && status.Code(err) != codes.Canceled {
			l.t.Errorf("close a client: %v", err)
		}
	}
	l.conns = nil
	l.http.CloseIdleConnections()
}

func (l *Load) client(ctx context.Context, send func(context.Context, otlp.Signal, []byte) error) {
	source := sources.Add(1)
	g := sample.New(l.ledger.Seed, sample.Shape{Source: source, Resources: 2, PointIDs: true})
	for turn := 0; ctx.Err() == nil; turn++ {
		sig := l.c.Signals[turn%len(l.c.Signals)]
		from := g.Next()
		// A buffer of its own: gRPC may read it after a call that ended early.
		body := g.Append(nil, sig, l.c.Items, time.Now())
		l.ledger.sent(source, g.Next())
		if l.deliver(ctx, send, sig, body) {
			l.ledger.acked(source, from, g.Next())
		}
		sleep(ctx, l.c.Pause)
	}
}

// deliver says whether the request was acknowledged.
func (l *Load) deliver(ctx context.Context, send func(context.Context, otlp.Signal, []byte) error, sig otlp.Signal, body []byte) bool {
	for {
		// Not of ctx: a request under way at Stop gets its answer.
		try, cancel := context.WithTimeout(context.Background(), l.c.Patience)
		err := send(try, sig, body)
		cancel()
		if err == nil {
			return true
		}
		code := status.Code(err)
		again := l.c.Retry && retryable(code) && ctx.Err() == nil
		l.ledger.failed(code.String(), !again, !retryable(code) || code == codes.ResourceExhausted)
		sleep(ctx, 20*time.Millisecond)
		if !again {
			return false
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// retryable is the table of the OTLP specification 1.11, "Failures" of
// OTLP/gRPC; for RESOURCE_EXHAUSTED the test's clients do not ask for RetryInfo.
func retryable(c codes.Code) bool {
	switch c {
	case codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return true
	}
	return false
}

// nothingRejected is the reply of the Collector to what it takes whole: an empty
// partial_success, which OTLP 1.11 calls full success.
const nothingRejected = "\x0a\x00"

// invoke sends bytes; a partial success is an error.
func invoke(ctx context.Context, conn *grpc.ClientConn, sig otlp.Signal, b []byte, o ...grpc.CallOption) error {
	var reply []byte
	if err := conn.Invoke(ctx, method(sig), &b, &reply, o...); err != nil {
		return err
	}
	if len(reply) > 0 && string(reply) != nothingRejected {
		return status.Errorf(codes.Internal, "%d bytes of partial success", len(reply))
	}
	return nil
}

func (l *Load) sendHTTP(ctx context.Context, sig otlp.Signal, b []byte) error {
	return post(ctx, l.http, l.c.HTTP, sig, "application/x-protobuf", "", b)
}

// post sends a body over OTLP/HTTP; the error carries the gRPC code that means
// the same. For JSON the success must be an empty object, for protobuf empty.
func post(ctx context.Context, c *http.Client, addr string, sig otlp.Signal, contentType, encoding string, b []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/"+sig.String(), bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := c.Do(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return status.Error(codes.DeadlineExceeded, err.Error())
		}
		return status.Error(codes.Unavailable, err.Error())
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if len(reply) > 0 && string(bytes.TrimSpace(reply)) != "{}" {
			return status.Errorf(codes.Internal, "success with %q", reply)
		}
		return nil
	case http.StatusTooManyRequests:
		return status.Errorf(codes.ResourceExhausted, "%s: %q", resp.Status, reply)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return status.Errorf(codes.Unavailable, "%s: %q", resp.Status, reply)
	}
	return status.Errorf(codes.InvalidArgument, "%s: %q", resp.Status, reply)
}

// Send sends one request over gRPC, compressed with gzip if asked, and fails the
// test unless it is taken whole.
func Send(t testing.TB, grpcAddr string, sig otlp.Signal, body []byte, compress bool) {
	t.Helper()
	conn := dial(t, grpcAddr)
	defer conn.Close()
	var o []grpc.CallOption
	if compress {
		o = append(o, grpc.UseCompressor("gzip"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := invoke(ctx, conn, sig, body, o...); err != nil {
		t.Fatalf("send %s of %d bytes: %v", sig, len(body), err)
	}
}

// Send sends one request with that many items over gRPC and notes it; it fails
// the test unless the request is taken whole.
func (l *Ledger) Send(t testing.TB, grpcAddr string, sig otlp.Signal, items int) {
	t.Helper()
	g := sample.New(l.Seed, sample.Shape{Source: sources.Add(1), PointIDs: true})
	body := g.Append(nil, sig, items, time.Now())
	l.sent(g.Source(), g.Next())
	Send(t, grpcAddr, sig, body, false)
	l.acked(g.Source(), 0, g.Next())
}

// Seed is PENSTOCK_TEST_SEED, or one of the clock. It is printed either way.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano()) % 1_000_000_007
	if env := os.Getenv("PENSTOCK_TEST_SEED"); env != "" {
		n, err := strconv.ParseUint(env, 10, 64)
		if err != nil {
			t.Fatal(fmt.Errorf("PENSTOCK_TEST_SEED: %w", err))
		}
		seed = n
	}
	t.Logf("PENSTOCK_TEST_SEED=%d", seed)
	return seed
}
