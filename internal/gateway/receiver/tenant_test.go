package receiver

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/tenant"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// tenants is a door with that configuration.
func tenants(t testing.TB, change func(*tenant.Config)) func(*setup) {
	c := tenant.DefaultConfig()
	change(&c)
	if err := config.Validate(&c); err != nil {
		t.Fatal(err)
	}
	return func(s *setup) {
		s.door.Tenants = tenant.New(c, int64(s.limits.MaxInFlightBytes), tenant.NewMetrics(prometheus.NewRegistry()))
	}
}

// untouched is a body of which nothing may be read.
type untouched struct{ t testing.TB }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("a request that is refused at the door had its body read")
	return 0, io.EOF
}

// as sends a request of traces over HTTP in the name of a tenant.
func (d *door) as(t testing.TB, name string, body []byte) httpAnswer {
	t.Helper()
	r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, d.url("/v1/traces"), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", typeProtobuf)
	if name != "" {
		r.Header.Set("X-Scope-OrgID", name)
	}
	a, err := do(client(t, "h1", nil), r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// callAs is the same over gRPC.
func (d *door) callAs(t testing.TB, name string, body []byte) error {
	t.Helper()
	return exportBytes(metadata.AppendToOutgoingContext(testContext(t), "x-scope-orgid", name), d.dial(t), otlp.Traces, body)
}

func TestTenantReachesTheQueue(t *testing.T) {
	d := open(t, tenants(t, func(*tenant.Config) {}))
	b := request(otlp.Traces, 3)
	if a := d.as(t, "red", b); a.code != 200 {
		t.Fatal(a)
	}
	if err := d.callAs(t, "blue", b); err != nil {
		t.Fatal(err)
	}
	if a := d.as(t, "", b); a.code != 200 {
		t.Fatal(a)
	}
	for i, want := range []string{"red", "blue", ""} {
		m, _, err := d.q.Get(t.Context(), "T", uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Header[record.HeaderTenant]; got != want {
			t.Errorf("message %d is of tenant %q, want %q", i+1, got, want)
		}
	}
}

// A tenant that has spent its rate is refused before anything is read, is told a
// wait, and takes nothing from another.
func TestTenantsRate(t *testing.T) {
	d := open(t, tenants(t, func(c *tenant.Config) {
		c.Overrides = []tenant.Override{{Name: "noisy", ItemsPerSecond: new(1), ItemsBurst: new(10)}, {Name: "wide", BytesPerSecond: new(config.ByteSize(1))}}
	}))
	b := request(otlp.Traces, 100)
	for _, name := range []string{"noisy", "wide"} {
		if a := d.as(t, name, b); a.code != 200 {
			t.Fatal(a)
		}
		st := refusedHTTP(t, name, d.as(t, name, b), typeProtobuf, 429, true)
		if st.GetCode() != int32(codes.ResourceExhausted) {
			t.Errorf("%s: %v", name, st)
		}
		refusedRPC(t, name, d.callAs(t, name, b), codes.ResourceExhausted, true)
	}
	r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, d.url("/v1/traces"), untouched{t})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", typeProtobuf)
	r.Header.Set("X-Scope-OrgID", "noisy")
	r.Header.Set("Expect", "100-continue") // the client sends its body when it is asked to
	polite := client(t, "h1", nil)
	polite.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	if a, err := do(polite, r); err != nil || a.code != 429 {
		t.Errorf("%v, %v", a, err)
	}
	if a := d.as(t, "calm", b); a.code != 200 {
		t.Errorf("another tenant gets %v", a)
	}
}

func TestTenantsOwnLimits(t *testing.T) {
	d := open(t, tenants(t, func(c *tenant.Config) {
		c.Required = true
		c.Overrides = []tenant.Override{{Name: "small", MaxRequestBytes: new(config.ByteSize(2000))}, {Name: "logs", Signals: []string{"logs"}}}
	}))
	b := request(otlp.Traces, 100)
	refusedHTTP(t, "too large for the tenant", d.as(t, "small", b), typeProtobuf, 413, false)
	refusedRPC(t, "too large for the tenant", d.callAs(t, "small", b), codes.ResourceExhausted, false)
	if a := d.as(t, "small", request(otlp.Traces, 1)); a.code != 200 {
		t.Error(a)
	}
	refusedHTTP(t, "a signal it may not send", d.as(t, "logs", b), typeProtobuf, 403, false)
	refusedRPC(t, "a signal it may not send", d.callAs(t, "logs", b), codes.PermissionDenied, false)
	refusedHTTP(t, "no tenant", d.as(t, "", b), typeProtobuf, 403, false)
	refusedHTTP(t, "no name", d.as(t, "a b", b), typeProtobuf, 400, false)
	refusedRPC(t, "no name", d.callAs(t, "a|b", b), codes.InvalidArgument, false)
	// Compressed it is small, decompressed it is not.
	r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, d.url("/v1/traces"), bytes.NewReader(pack(t, "gzip", bytes.Repeat(request(otlp.Traces, 1), 50))))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", typeProtobuf)
	r.Header.Set("Content-Encoding", "gzip")
	r.Header.Set("X-Scope-OrgID", "small")
	a, err := do(client(t, "h1", nil), r)
	if err != nil {
		t.Fatal(err)
	}
	refusedHTTP(t, "too large when decompressed", a, typeProtobuf, 413, false)
}

// A request whose commit failed costs the tenant nothing: it will come again.
func TestTenantDoesNotPayForTheQueue(t *testing.T) {
	d := open(t, tenants(t, func(c *tenant.Config) { c.Defaults.ItemsPerSecond, c.Defaults.ItemsBurst = 1, 100 }))
	d.pub.failWith(queue.ErrUnavailable)
	b := request(otlp.Traces, 100)
	for range 5 {
		refusedHTTP(t, "the queue is away", d.as(t, "a", b), typeProtobuf, 503, true)
	}
	d.pub.failWith(nil)
	if a := d.as(t, "a", b); a.code != 200 {
		t.Errorf("the queue is back: %v", a)
	}
}

// A request that its client gave up was read, and may be stored: it is paid for.
// Otherwise whoever leaves before the answer would send at no cost.
func TestTenantPaysForWhatItGivesUp(t *testing.T) {
	d := open(t, tenants(t, func(c *tenant.Config) { c.Defaults.ItemsPerSecond, c.Defaults.ItemsBurst = 1, 100 }))
	b := request(otlp.Traces, 200)
	release := d.pub.hold()
	defer release()
	for name, leave := range map[string]func(ctx context.Context) error{
		"grpc": func(ctx context.Context) error {
			return exportBytes(metadata.AppendToOutgoingContext(ctx, "x-scope-orgid", "grpc"), d.dial(t), otlp.Traces, b)
		},
		"http": func(ctx context.Context) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url("/v1/traces"), bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", typeProtobuf)
			r.Header.Set("X-Scope-OrgID", "http")
			_, err = do(client(t, "h1", nil), r)
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- leave(ctx) }()
		<-d.pub.arrived // its group is on the way to the queue
		cancel()
		if err := <-left; err == nil {
			t.Errorf("%s: a client that left got an answer", name)
		}
		eventually(t, "it has left", func() bool { return d.InFlightBytes() == 0 })
		refusedHTTP(t, name, d.as(t, name, b), typeProtobuf, 429, true)
	}
}
