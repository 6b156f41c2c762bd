package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var plan = topology.Plan{Shards: 2, MaxBytes: 1 << 30}

// loopback is the default with free ports.
func loopback() Config {
	c := DefaultConfig()
	c.GRPC.Listen, c.HTTP.Listen = "127.0.0.1:0", "127.0.0.1:0"
	return c
}

// running is a gateway in an app of its own, over a memory queue.
type running struct {
	*Gateway
	q    *memory.Queue
	reg  *prometheus.Registry
	stop func() error // and the error of the app
}

func start(t *testing.T, c Config) (*running, error) {
	t.Helper()
	r := &running{q: memory.New(), reg: prometheus.NewRegistry()}
	if err := topology.Apply(t.Context(), r.q, plan); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	a := app.New("gateway", log)
	ctx, cancel := context.WithCancel(context.Background())
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		ended <- a.Run(ctx, func(ctx context.Context, a *app.App) error {
			a.OnStop("close the queue", time.Second, func(context.Context) error { return r.q.Close() })
			var err error
			r.Gateway, err = Start(ctx, a, Options{Config: c, Queue: r.q, Plan: plan, Registry: r.reg, Logger: log})
			started <- err
			return err
		})
	}()
	r.stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { _ = r.stop() }) // asked again; the test has looked at it
	return r, <-started
}

func payload() []byte {
	return sample.New(1, sample.Shape{}).Append(nil, otlp.Traces, 10, time.Unix(1_800_000_000, 0))
}

// export sends 10 spans with the official client.
func export(t *testing.T, addr net.Addr, opts ...grpc.DialOption) error {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+addr.String(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var r coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(payload(), &r); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = coltrace.NewTraceServiceClient(c).Export(ctx, &r)
	return err
}

func post(t *testing.T, url string, c *tls.Config) (*http.Response, error) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Post(url, "application/x-protobuf", bytes.NewReader(payload()))
	if err != nil {
		return nil, err
	}
	return resp, resp.Body.Close()
}

func (r *running) messages(t *testing.T) (n uint64) {
	t.Helper()
	for _, name := range plan.AllStreams() {
		s, err := r.q.StreamState(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		n += s.Messages
	}
	return n
}

func TestGatewayTakesAndStops(t *testing.T) {
	r, err := start(t, loopback())
	if err != nil {
		t.Fatal(err)
	}
	if err := export(t, r.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Error(err)
	}
	if resp, err := post(t, "http://"+r.HTTPAddr().String()+"/v1/traces", nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%v %v", resp, err)
	}
	if n := r.messages(t); n != 2 {
		t.Errorf("%d messages are stored, want 2", n)
	}
	if problems, err := testutil.GatherAndLint(r.reg); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
	if n, err := testutil.GatherAndCount(r.reg, "penstock_receiver_in_flight_bytes"); err != nil || n != 1 {
		t.Errorf("in_flight_bytes: %d %v", n, err)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	for _, addr := range []net.Addr{r.GRPCAddr(), r.HTTPAddr()} {
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			t.Errorf("%s listens after the stop", addr)
			_ = c.Close()
		}
	}
}

// A start and a stop at once is no failure, whichever server has not begun.
func TestGatewayStopsAtOnce(t *testing.T) {
	for range 20 {
		r, err := start(t, loopback())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneListenerIsEnough(t *testing.T) {
	c := loopback()
	c.GRPC.Listen = ""
	r, err := start(t, c)
	if err != nil {
		t.Fatal(err)
	}
	if r.GRPCAddr() != nil || r.HTTPAddr() == nil {
		t.Error(r.GRPCAddr(), r.HTTPAddr())
	}
	c = loopback()
	c.HTTP.Listen = ""
	if r, err = start(t, c); err != nil {
		t.Fatal(err)
	}
	if r.GRPCAddr() == nil || r.HTTPAddr() != nil {
		t.Error(r.GRPCAddr(), r.HTTPAddr())
	}
}

// A start that fails names the key and gives back what it had.
func TestStartThatFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	f := func(change func(*Config), key string) {
		t.Helper()
		c := loopback()
		change(&c)
		r, err := start(t, c)
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("error %v lacks %q", err, key)
		}
		if stopped := r.stop(); !errors.Is(stopped, err) {
			t.Errorf("the app ends with %v, want %v", stopped, err)
		}
	}
	f(func(c *Config) { c.GRPC.Listen, c.HTTP.Listen = free.Addr().String(), taken.Addr().String() }, "gateway.http.listen")
	l, err := net.Listen("tcp", free.Addr().String())
	if err != nil {
		t.Errorf("the port of gRPC is not given back: %v", err)
	} else if err := l.Close(); err != nil {
		t.Error(err)
	}
	f(func(c *Config) { c.GRPC.Listen = taken.Addr().String() }, "gateway.grpc.listen")
	f(func(c *Config) { c.GRPC.TLS.CertFile, c.GRPC.TLS.KeyFile = "/none.crt", "/none.key" }, "gateway.grpc.tls")
	f(func(c *Config) { c.HTTP.TLS.CertFile, c.HTTP.TLS.KeyFile = "/none.crt", "/none.key" }, "gateway.http.tls")
	f(func(c *Config) { c.Compression.Codec = "rar" }, "gateway.compression")
}

// With client certificates both protocols agree on HTTP/2, also after the
// authorities changed on disk: that handshake has a configuration of its own.
func TestClientCertificatesAndTheirReload(t *testing.T) {
	dir := t.TempDir()
	server, first, second := makeCertificate(t, dir, "server"), makeCertificate(t, dir, "first"), makeCertificate(t, dir, "second")
	authorities := dir + "/clients.pem"
	copyFile(t, first.certFile, authorities)
	c := loopback()
	c.GRPC.TLS.CertFile, c.GRPC.TLS.KeyFile, c.GRPC.TLS.ClientCAFile = server.certFile, server.keyFile, authorities
	c.HTTP.TLS = c.GRPC.TLS
	r, err := start(t, c)
	if err != nil {
		t.Fatal(err)
	}
	try := func(who certificate) error {
		use := &tls.Config{RootCAs: server.pool, ServerName: "127.0.0.1", Certificates: []tls.Certificate{who.pair}}
		if err := export(t, r.GRPCAddr(), grpc.WithTransportCredentials(credentials.NewTLS(use))); err != nil {
			return err
		}
		resp, err := post(t, "https://"+r.HTTPAddr().String()+"/v1/traces", use)
		if err == nil && (resp.StatusCode != http.StatusOK || resp.Proto != "HTTP/2.0") {
			t.Errorf("%s over %s", resp.Status, resp.Proto)
		}
		return err
	}
	if err := try(first); err != nil {
		t.Error(err)
	}
	if err := try(second); err == nil {
		t.Error("a client of an unknown authority was answered")
	}
	copyFile(t, second.certFile, authorities)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := try(second)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new authority is not used after 10 s:", err)
		}
	}
}
