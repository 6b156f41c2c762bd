package receiver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// both sends a request over both transports and delivers their errors.
func (d *door) both(t testing.TB, b []byte) (answers chan error) {
	answers = make(chan error, 2)
	c, h := d.dial(t), client(t, "h1", nil)
	go func() { answers <- exportBytes(testContext(t), c, otlp.Traces, b) }()
	go func() {
		a, err := post(testContext(t), t, h, d.url("/v1/traces"), typeProtobuf, "", bytes.NewReader(b))
		if err == nil && a.code != http.StatusOK {
			err = fmt.Errorf("%d %q", a.code, a.body)
		}
		answers <- err
	}()
	eventually(t, "both wait for their commit", func() bool { return d.InFlightBytes() == int64(2*len(b)) })
	return answers
}

func TestStopAnswersWhatIsInFlight(t *testing.T) {
	d := open(t)
	release := d.pub.hold()
	defer release()
	answers := d.both(t, request(otlp.Traces, 5))
	stopped := make(chan error, 2)
	d.Drain()
	go func() { stopped <- d.g.Stop(testContext(t)) }()
	go func() { stopped <- d.h.Stop(testContext(t)) }()
	for _, addr := range []string{d.g.Addr().String(), d.h.Addr().String()} {
		eventually(t, "no connection is taken", func() bool { return !listens(addr) })
	}
	select {
	case err := <-stopped:
		t.Fatalf("a server stopped with a request in flight: %v", err)
	default:
	}
	release()
	for range 2 {
		if err := <-answers; err != nil {
			t.Error("in flight:", err)
		}
		if err := <-stopped; err != nil {
			t.Error("stop:", err)
		}
	}
}

func TestStopCutsWhatDoesNotEnd(t *testing.T) {
	d := open(t)
	release := d.pub.hold()
	defer release()
	answers := d.both(t, request(otlp.Traces, 5))
	d.halfSend(t, otlp.Traces, 1000, 500)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	stopped := make(chan error, 2)
	go func() { stopped <- d.g.Stop(ctx) }()
	go func() { stopped <- d.h.Stop(ctx) }()
	for range 2 {
		if err := <-stopped; err == nil || !strings.Contains(err.Error(), "cut") {
			t.Error("stop:", err)
		}
		if err := <-answers; err == nil {
			t.Error("a request that was cut was answered with success")
		}
	}
}

// A server that is stopped before it serves gives its port back.
func TestStopBeforeServe(t *testing.T) {
	in := open(t).Intake
	c, h := DefaultGRPC(), DefaultHTTP()
	c.Listen, h.Listen = "127.0.0.1:0", "127.0.0.1:0"
	g, err := NewGRPC(t.Context(), c, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	hs, err := NewHTTP(t.Context(), h, in, nil, in.log)
	if err != nil {
		t.Fatal(err)
	}
	c.Listen, h.Listen = g.Addr().String(), hs.Addr().String()
	if _, err := NewGRPC(t.Context(), c, in, nil); err == nil || !strings.HasSuffix(err.Error(), "; change gateway.grpc.listen") {
		t.Errorf("a taken port: %v", err)
	}
	if _, err := NewHTTP(t.Context(), h, in, nil, in.log); err == nil || !strings.HasSuffix(err.Error(), "; change gateway.http.listen") {
		t.Errorf("a taken port: %v", err)
	}
	for what, f := range map[string]func(context.Context) error{"gRPC": g.Stop, "HTTP": hs.Stop} {
		if err := f(testContext(t)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, serve := range map[string]func() error{"gRPC": g.Serve, "HTTP": hs.Serve} {
		if err := serve(); err != nil {
			t.Errorf("%s after its stop: %v", what, err)
		}
	}
	if listens(c.Listen) || listens(h.Listen) {
		t.Error("a stopped server listens")
	}
}

func TestHealth(t *testing.T) {
	d := open(t)
	conn := d.dial(t)
	c := healthpb.NewHealthClient(conn)
	for _, service := range []string{"", strings.Trim(strings.TrimSuffix(grpcwire.Method(otlp.Traces), "Export"), "/")} {
		r, err := c.Check(testContext(t), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v %v", service, r, err)
		}
	}
	_, err := c.Check(testContext(t), &healthpb.HealthCheckRequest{Service: "x"})
	refusedRPC(t, "unknown service", err, codes.NotFound, false)

	// A client that watches does not hold up the stop.
	watch, err := c.Watch(testContext(t), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := watch.Recv(); err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("%v %v", r, err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- d.g.Stop(testContext(t)) }()
	if r, err := watch.Recv(); err != nil || r.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("at the stop: %v %v", r, err)
	}
	if _, err := watch.Recv(); err == nil {
		t.Error("the watch goes on after the stop")
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// Clients that connect and say nothing do not hold up a stop: the door's own
// bound for it is shorter than the time that a handshake may take.
func TestSilentConnectionsDoNotHoldUpAStop(t *testing.T) {
	d := open(t)
	for _, hello := range []string{"", "PRI * HTTP/2.0\r\n", "\x16\x03\x01"} {
		c, err := net.Dial("tcp", d.g.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, hello); err != nil {
			t.Fatal(err)
		}
	}
	young := func() int {
		d.g.listen.mu.Lock()
		defer d.g.listen.mu.Unlock()
		return len(d.g.listen.young)
	}
	eventually(t, "all are in their handshake", func() bool { return young() == 3 })
	c := d.dial(t)
	if err := exportBytes(testContext(t), c, otlp.Traces, request(otlp.Traces, 1)); err != nil {
		t.Fatal(err)
	}
	if n := young(); n != 3 {
		t.Errorf("%d connections are in their handshake, want 3: the other has made calls", n)
	}
}
