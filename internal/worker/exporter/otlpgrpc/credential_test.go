package otlpgrpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
	"github.com/penstock-otel/penstock/pkg/pool"
)

// only takes requests with that authorization, and notes all.
func (s *server) only(authorization string) (seen func() []string) {
	var got []string
	say(func(ctx context.Context) ([]byte, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		v := strings.Join(md.Get("authorization"), ",")
		s.mu.Lock()
		got = append(got, v)
		s.mu.Unlock()
		if v != authorization {
			return nil, status.Error(codes.Unauthenticated, "do not know "+v)
		}
		return nil, nil
	})(s)
	return func() []string { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(got) }
}

// A token that was rotated heals within the export; one that stays refused is told
// of once and ends as a refusal.
func TestRefusedToken(t *testing.T) {
	for _, wire := range Compressions {
		t.Run(wire, func(t *testing.T) { refusedToken(t, wire) })
	}
}

func refusedToken(t *testing.T, wire string) {
	s := serve(t)
	seen := s.only("Bearer token-2-good")
	body := exportertest.Body(otlp.Logs, 1, 2000)

	login := &exportertest.Credential{Values: []string{"Bearer token-1-old", "Bearer token-2-good"}}
	x := newExporter(t, Config{Endpoints: []string{s.addr}, Compression: wire, Credential: login})
	for range 2 {
		if _, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "zstd", body)); err != nil {
			t.Error(err)
		}
	}
	if got, want := seen(), []string{"Bearer token-1-old", "Bearer token-2-good", "Bearer token-2-good"}; !slices.Equal(got, want) {
		t.Errorf("the server saw %q, want %q", got, want)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
	if n := x.bodies.InUse(); n != 0 {
		t.Errorf("%d bytes were not given back", n)
	}
	if refused, closed := login.Told(); refused != 1 || closed != 1 {
		t.Errorf("told of %d refusals, closed %d times, want 1 and 1", refused, closed)
	}

	bad := &exportertest.Credential{Values: []string{"Bearer token-3-bad"}}
	y := newExporter(t, Config{Name: "backend", Endpoints: []string{s.addr}, Compression: wire, Credential: bad})
	defer y.Close()
	before := len(seen())
	_, err := y.Export(context.Background(), exportertest.Request(t, otlp.Logs, "zstd", body))
	exportertest.Check(t, "refused", err, exportertest.Want{Kind: exporter.Permanent, Code: "UNAUTHENTICATED", Says: []string{"do not know ***"}, Hides: []string{"token-3-bad"}})
	if n := len(seen()) - before; n != 1 {
		t.Errorf("%d requests, want 1: there was no other token", n)
	}
}

// PERMISSION_DENIED is no matter of the token: nobody asks for another.
func TestForbiddenIsNoMatterOfTheToken(t *testing.T) {
	s := serve(t)
	say(func(context.Context) ([]byte, error) { return nil, status.Error(codes.PermissionDenied, "not you") })(s)
	login := &exportertest.Credential{Values: []string{"Bearer token-1-old", "Bearer token-2-good"}}
	x := newExporter(t, Config{Endpoints: []string{s.addr}, Credential: login})
	defer x.Close()
	_, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", nil))
	exportertest.Check(t, "forbidden", err, exportertest.Want{Kind: exporter.Permanent, Code: "PERMISSION_DENIED"})
	if refused, _ := login.Told(); refused != 0 {
		t.Errorf("told of %d refusals", refused)
	}
}

func TestTenantHeader(t *testing.T) {
	s := serve(t)
	x := newExporter(t, Config{Endpoints: []string{s.addr}, TenantHeader: "X-Scope-OrgID"})
	defer x.Close()
	want := []string{"acme", "", "a%20b", "%0D%0Ax:%20y", "50%25", "%C3%A9"}
	for i, tenant := range []string{"acme", "", "a b", "\r\nx: y", "50%", "é"} {
		r := exportertest.Request(t, otlp.Logs, "none", exportertest.Body(otlp.Logs, 1, 1))
		r.Tenant = tenant
		if _, err := x.Export(context.Background(), r); err != nil {
			t.Errorf("tenant %q: %v", tenant, err)
			continue
		}
		if got := strings.Join(s.metadata[i].Get("x-scope-orgid"), ","); got != want[i] {
			t.Errorf("tenant %q came as %q, want %q", tenant, got, want[i])
		}
	}
}

// When the authorities change, new connections are made with the new ones, and
// those that exist go on.
func TestAuthoritiesChange(t *testing.T) {
	made := httptest.NewUnstartedServer(nil)
	made.StartTLS() // for its certificate
	defer made.Close()
	s := serveTLS(t, made.TLS.Certificates[0])
	roots := x509.NewCertPool()
	roots.AddCert(made.Certificate())
	var now atomic.Pointer[tls.Config]
	now.Store(&tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com"})
	x, err := New(Config{Endpoints: []string{s.addr}, TLS: now.Load, Pool: pool.Config{Backoff: quick.Backoff, MinConnections: -1}})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	r := exportertest.Request(t, otlp.Logs, "none", exportertest.Body(otlp.Logs, 1, 5))
	_, err = x.Export(context.Background(), r)
	exportertest.Check(t, "unknown authority", err, exportertest.Want{Code: "no_connection", Says: []string{"certificate"}})
	now.Store(&tls.Config{RootCAs: roots, ServerName: "example.com"})
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err = x.Export(context.Background(), r); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	now.Store(&tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com"})
	if _, err := x.Export(context.Background(), r); err != nil {
		t.Errorf("over the connection from before: %v", err)
	}
}
