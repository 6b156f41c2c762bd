package receiver

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// half is a gRPC call of which only a part of the message is sent.
type half struct {
	rest   *io.PipeWriter
	answer chan *http.Response // nil when the connection ended without one
	cancel func()
}

// halfSend declares a message of size bytes and sends the first sent of them, on
// a connection of its own.
func (d *door) halfSend(t testing.TB, s otlp.Signal, size, sent int) *half {
	t.Helper()
	c := client(t, "h2c", nil)
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.g.Addr().String()+grpcwire.Method(s), r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	h := &half{w, make(chan *http.Response, 1), cancel}
	go func() {
		resp, err := c.Do(req)
		if err != nil {
			resp = nil
		}
		h.answer <- resp
	}()
	frame := make([]byte, 5+sent)
	binary.BigEndian.PutUint32(frame[1:], uint32(size))
	written := make(chan struct{})
	go func() { // a shut gate does not take it
		defer close(written)
		_, _ = w.Write(frame) // fails when the call was ended
	}()
	t.Cleanup(func() {
		cancel()
		_ = w.Close()
		<-written
		if resp := <-h.answer; resp != nil {
			_ = resp.Body.Close()
		}
		c.CloseIdleConnections()
	})
	return h
}

// code waits for the status of the answer.
func (h *half) code(t testing.TB) string {
	t.Helper()
	select {
	case resp := <-h.answer:
		h.answer <- resp
		if resp == nil {
			return "none"
		}
		if c := resp.Header.Get("Grpc-Status"); c != "" {
			return c
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err.Error()
		}
		return resp.Trailer.Get("Grpc-Status")
	case <-time.After(10 * time.Second):
		t.Fatal("no answer within 10 s")
		return ""
	}
}

func TestHalfSentMessageEnds(t *testing.T) {
	d := open(t, func(s *setup) { s.grpc.ReadTimeout = short(100 * time.Millisecond) })
	first := d.halfSend(t, otlp.Traces, 1000, 500)
	nothing := d.halfSend(t, otlp.Logs, 10, 0)
	for _, h := range []*half{first, nothing} {
		if got := h.code(t); got != "1" { // CANCELLED is gRPC's own answer: retryable
			t.Errorf("the answer is %q", got)
		}
	}
	eventually(t, "both are counted", func() bool { // gRPC answers before the call has ended here
		return d.count(t, "requests_total", "transport", "grpc", "outcome", "deadline_exceeded") == 2
	})
	// The timer goes on for later calls, and lets go of none that is in time.
	later := d.halfSend(t, otlp.Traces, 1000, 500)
	if err := exportBytes(testContext(t), d.dial(t), otlp.Traces, request(otlp.Traces, 5)); err != nil {
		t.Error(err)
	}
	if got := later.code(t); got != "1" {
		t.Errorf("the answer is %q", got)
	}
	eventually(t, "no timer is left", func() bool {
		d.g.receiving.mu.Lock()
		defer d.g.receiving.mu.Unlock()
		return d.g.receiving.timer == nil
	})
}

func TestMessageOfACallThatLeaves(t *testing.T) {
	d := open(t)
	h := d.halfSend(t, otlp.Traces, 100000, 50000)
	eventually(t, "the half is received", func() bool { return d.g.pool.InUse() > 40000 })
	h.cancel()
	eventually(t, "it is counted", func() bool { return d.count(t, "requests_total", "outcome", "canceled") == 1 })
	d.givenBack(t)
}

func TestHalfSentBodyEnds(t *testing.T) {
	d := open(t, func(s *setup) { s.http.ReadTimeout = short(100 * time.Millisecond) })
	for _, protocol := range []string{"h1", "h2c"} {
		r, w := io.Pipe()
		go func() { _, _ = w.Write(make([]byte, 500)) }() // fails when the body was closed
		a, err := post(testContext(t), t, client(t, protocol, nil), d.url("/v1/traces"), typeProtobuf, "", r)
		if err != nil {
			t.Fatalf("%s: %v", protocol, err)
		}
		refusedHTTP(t, protocol, a, typeProtobuf, http.StatusServiceUnavailable, false)
		_ = w.Close()
	}
	if n := d.count(t, "requests_total", "transport", "http", "outcome", "deadline_exceeded"); n != 2 {
		t.Errorf("%v requests are counted", n)
	}
}

func TestCutAndBrokenBodies(t *testing.T) {
	d := open(t)
	f := func(what, head, outcome string, wantAnswer bool) {
		t.Helper()
		before := d.count(t, "requests_total", "outcome", outcome)
		c, err := net.Dial("tcp", d.h.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"+head); err != nil {
			t.Fatal(err)
		}
		if wantAnswer {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %s", what, resp.Status)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, what+" is counted as "+outcome, func() bool { return d.count(t, "requests_total", "outcome", outcome) == before+1 })
	}
	f("cut", "Content-Length: 100\r\n\r\nhalf", "canceled", false)
	f("cut chunks", "Transfer-Encoding: chunked\r\n\r\n64\r\nhalf", "canceled", false)
	f("broken chunks", "Transfer-Encoding: chunked\r\n\r\nzz\r\nhalf", "malformed", true)
}

// Half-received messages fill the buffers and are never finished. Others wait,
// memory stays within bounds, and then the half-received ones are refused.
func TestGateUnderPressure(t *testing.T) {
	const limit = 2 * 512 << 10 // of the gate
	d := open(t, func(s *setup) {
		s.limits.MaxRequestBytes, s.limits.MaxInFlightBytes, s.patience = 256<<10, 512<<10, 100*time.Millisecond
	})
	c := d.dial(t)
	b := request(otlp.Traces, 5)
	if err := exportBytes(testContext(t), c, otlp.Traces, b); err != nil { // the connection stands
		t.Fatal(err)
	}
	var held []*half
	for range 12 { // 2.6 MB
		held = append(held, d.halfSend(t, otlp.Traces, 256<<10, 220<<10))
	}
	eventually(t, "the gate has been shut", func() bool { return d.count(t, "gate_waits_total") > 0 })
	if err := exportBytes(testContext(t), c, otlp.Traces, b); err != nil {
		t.Error("another client:", err)
	}
	// What is in use passes the limit by what reads that were under way bring,
	// each no more than the read buffer of its connection.
	if n := d.g.pool.InUse(); n > limit+int64(len(held)+1)*(128<<10) {
		t.Errorf("%d bytes are in use with a limit of %d", n, limit)
	}
	eventually(t, "some are refused", func() bool { return d.count(t, "requests_total", "transport", "grpc", "outcome", "overloaded") > 0 })
	if got := held[0].code(t); got != "1" { // CANCELLED: retryable
		t.Errorf("the first is answered with %q", got)
	}
	if n := d.count(t, "accepted_spans_total"); n != 10 {
		t.Errorf("%v spans are accepted, want 10", n)
	}
	for _, h := range held {
		h.cancel()
	}
}

// While much is half-received, those that hold much of it take turns, and others do
// not wait for them: memory stays far under the limit at which all would.
func TestHeavyConnectionsTakeTurns(t *testing.T) {
	d := open(t, func(s *setup) { s.patience = time.Second })
	const crowded = (128 << 20) / 4
	var held []*half
	for range 6 { // 96 MiB would be held of messages that never end
		held = append(held, d.halfSend(t, otlp.Traces, 60<<20, 16<<20))
	}
	eventually(t, "it is crowded", func() bool { return d.g.pool.InUse() > crowded })
	c := d.dial(t)
	for range 20 {
		if err := exportBytes(testContext(t), c, otlp.Traces, request(otlp.Traces, 100)); err != nil {
			t.Fatal(err)
		}
		// Each may be heavy before it waits, and one has its turn.
		if n := d.g.pool.InUse(); n > crowded+6*(largeBytes+streamWindow)+16<<20 {
			t.Errorf("%d MiB are in use", n>>20)
		}
	}
	// Those that never end are ended, and one that does comes through in its turn.
	big := request(otlp.Traces, 15<<20/440)
	eventually(t, "a large message comes through", func() bool { return exportBytes(testContext(t), c, otlp.Traces, big) == nil })
	for _, h := range held {
		h.cancel()
	}
}

// A connection that is closed while it waits for its turn, or has it, leaves the
// turn to others.
func TestTurnOfAClosedConnection(t *testing.T) {
	g := &gate{inUse: func() int64 { return 1 }, limit: 2, crowd: func() int64 { return 1 }, crowded: 0, heavy: 0, patience: time.Hour, turn: make(chan struct{}, 1),
		relieve: func() {}, waited: func() {}}
	conn := func() (*gatedConn, net.Conn, chan error) {
		server, peer := net.Pipe()
		c := &gatedConn{Conn: server, gate: g, closed: make(chan struct{})}
		t.Cleanup(func() { _ = peer.Close() })
		c.RemoteAddr().(gatedAddr).begin()
		c.unfinished = 1
		read := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		return c, peer, read
	}
	first, _, firstRead := conn()
	eventually(t, "the first has its turn", func() bool { return len(g.turn) == 1 })
	second, _, secondRead := conn()
	third, peer, thirdRead := conn()
	for _, c := range []struct {
		*gatedConn
		read chan error
	}{{second, secondRead}, {first, firstRead}} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-c.read; err == nil {
			t.Error("a closed connection reads")
		}
	}
	if _, err := peer.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := <-thirdRead; err != nil {
		t.Error(err)
	}
	if err := third.Close(); err != nil || len(g.turn) != 0 {
		t.Errorf("%v; %d have the turn", err, len(g.turn))
	}
}

// A client that gives up calls before it has sent their message, and hardly ever
// sends one, loses its connection.
func TestCallsThatAreGivenUp(t *testing.T) {
	closed := 0
	g := &gate{turn: make(chan struct{}, 1), abused: func() { closed++ }}
	conn := func() gatedAddr {
		server, peer := net.Pipe()
		t.Cleanup(func() { _ = peer.Close() })
		return (&gatedConn{Conn: server, gate: g, closed: make(chan struct{})}).RemoteAddr().(gatedAddr)
	}
	sound, idle := conn(), conn()
	for i := range 5 * maxGivenUp {
		sound.begin()(i%2 == 0)
	}
	for range maxGivenUp {
		idle.begin()(false)
	}
	if closed != 0 {
		t.Fatalf("%d connections are closed too early", closed)
	}
	for range 3 {
		idle.begin()(false)
	}
	if _, err := idle.conn.Write([]byte{1}); closed != 1 || err == nil {
		t.Errorf("%d connections are counted as closed, and a write says %v", closed, err)
	}
}

// Stop does not wait for the gate.
func TestGateLetsGoAtClose(t *testing.T) {
	server, peer := net.Pipe()
	defer peer.Close()
	waits := 0
	g := &gate{inUse: func() int64 { return 1 }, crowd: func() int64 { return 1 }, patience: time.Hour, waited: func() { waits++ }}
	c := &gatedConn{Conn: server, gate: g, closed: make(chan struct{})}
	done := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		done <- err
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != net.ErrClosed && !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}
	if err := c.Close(); err != nil { // again
		t.Fatal(err)
	}
}

func TestConnectionsAreCapped(t *testing.T) {
	d := open(t, func(s *setup) { s.limits.MaxConnections = 1 })
	for transport, addr := range map[string]net.Addr{"grpc": d.g.Addr(), "http": d.h.Addr()} {
		first, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		second, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		if n, err := second.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: the second connection reads %d bytes", transport, n)
		}
		if n := d.count(t, "refused_connections_total", "transport", transport); n != 1 {
			t.Errorf("%s: %v connections are counted as refused", transport, n)
		}
		for _, c := range []net.Conn{first, second} {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := request(otlp.Traces, 3)
	eventually(t, "the place of the first is free", func() bool {
		return exportBytes(testContext(t), d.dial(t), otlp.Traces, b) == nil
	})
	refusedRPC(t, "beside it", exportBytes(testContext(t), d.dial(t), otlp.Traces, b), codes.Unavailable, false)
}

// Bodies that are declared large and stop half-way hold what they sent and little
// more: hundreds of them do not shut out others.
func TestDeclaredBodiesHoldLittle(t *testing.T) {
	d := open(t)
	const stopped = 300 // at 1 MiB each they would fill the budget of 128 MiB twice
	for range stopped {
		c, err := net.Dial("tcp", d.h.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() }) // the gateway may have been faster
		if _, err := io.WriteString(c, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 67108864\r\n\r\nx"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are read", func() bool { return d.InFlightBytes() >= min(stopped*firstRead, 128<<20) })
	if a := d.send(t, otlp.Traces, typeProtobuf, "", request(otlp.Traces, 100)); a.code != http.StatusOK {
		t.Errorf("another client gets %d %q", a.code, a.body)
	}
}

// While the budget is full of bodies that stopped half-way, the old ones are ended as
// retryable, over both protocols, and others get in.
func TestHalfBodiesEndUnderPressure(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		d := open(t, func(s *setup) { small(s); s.patience = 50 * time.Millisecond })
		c := client(t, protocol, nil)
		ctx, leave := context.WithCancel(t.Context())
		answers := make(chan httpAnswer, 40)
		for range cap(answers) { // each holds 32 KiB of 1 MiB
			body, rest := io.Pipe()
			context.AfterFunc(ctx, func() { _ = rest.CloseWithError(context.Canceled) }) // it never fails
			go func() {
				a, err := post(ctx, t, c, d.url("/v1/traces"), typeProtobuf, "", body)
				if err != nil {
					a.code = -1
				}
				answers <- a
			}()
		}
		eventually(t, "the budget is full, and another client gets in", func() bool {
			a := d.send(t, otlp.Traces, typeProtobuf, "", request(otlp.Traces, 100))
			return a.code == http.StatusOK && d.count(t, "requests_total", "outcome", "overloaded") > 8
		})
		leave()
		for range cap(answers) {
			if a := <-answers; a.code != http.StatusServiceUnavailable && a.code != -1 {
				t.Errorf("%s: %d %q", protocol, a.code, a.body)
			}
		}
	}
}
