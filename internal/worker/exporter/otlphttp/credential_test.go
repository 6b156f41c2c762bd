package otlphttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
)

// only takes requests with that authorization, and notes all.
func (s *server) only(authorization string) (seen func() []string) {
	var got []string
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.mu.Lock()
		got = append(got, r.Header.Get("Authorization"))
		s.mu.Unlock()
		if r.Header.Get("Authorization") != authorization {
			http.Error(w, "do not know "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		}
	}
	return func() []string { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(got) }
}

// A token that was rotated heals within the export; one that stays refused is told
// of once and ends as a refusal.
func TestRefusedToken(t *testing.T) {
	s := serve(t, true)
	seen := s.only("Bearer token-2-good")
	body := exportertest.Body(otlp.Logs, 1, 200)

	login := &exportertest.Credential{Values: []string{"Bearer token-1-old", "Bearer token-2-good"}}
	x := newExporter(t, Config{Endpoints: []string{s.url()}, TLS: s.clientTLS(), Credential: login})
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
	if refused, closed := login.Told(); refused != 1 || closed != 1 {
		t.Errorf("told of %d refusals, closed %d times, want 1 and 1", refused, closed)
	}

	bad := &exportertest.Credential{Values: []string{"Bearer token-3-bad"}}
	y := newExporter(t, Config{Name: "backend", Endpoints: []string{s.url()}, TLS: s.clientTLS(), Credential: bad})
	defer y.Close()
	before := len(seen())
	_, err := y.Export(context.Background(), exportertest.Request(t, otlp.Logs, "zstd", body))
	exportertest.Check(t, "refused", err, exportertest.Want{Kind: exporter.Permanent, Code: "HTTP 401", Says: []string{"do not know ***"}, Hides: []string{"token-3-bad"}})
	if n := len(seen()) - before; n != 1 {
		t.Errorf("%d requests, want 1: there was no other token", n)
	}
}

// A 403 is no matter of the token: nobody asks for another.
func TestForbiddenIsNoMatterOfTheToken(t *testing.T) {
	s := serve(t, false)
	say(403, "text/plain", "not you")(s)
	login := &exportertest.Credential{Values: []string{"Bearer token-1-old", "Bearer token-2-good"}}
	x := newExporter(t, Config{Endpoints: []string{s.url()}, Credential: login})
	defer x.Close()
	_, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, "none", nil))
	exportertest.Check(t, "forbidden", err, exportertest.Want{Kind: exporter.Permanent, Code: "HTTP 403"})
	if refused, _ := login.Told(); refused != 0 {
		t.Errorf("told of %d refusals", refused)
	}
}

func TestTenantHeader(t *testing.T) {
	s := serve(t, true)
	x := newExporter(t, Config{Endpoints: []string{s.url()}, TLS: s.clientTLS(), TenantHeader: "X-Scope-OrgID"})
	defer x.Close()
	var got []string
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		got = append(got, r.Header.Get("X-Scope-OrgID"))
	}
	want := []string{"acme", "", "a%20b", "%0D%0Ax:%20y", "50%25", "%C3%A9"}
	for _, tenant := range []string{"acme", "", "a b", "\r\nx: y", "50%", "é"} {
		r := exportertest.Request(t, otlp.Logs, "none", exportertest.Body(otlp.Logs, 1, 1))
		r.Tenant = tenant
		if _, err := x.Export(context.Background(), r); err != nil {
			t.Errorf("tenant %q: %v", tenant, err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// When the authorities change, new requests are made with the new ones; one that
// is under way ends as if nothing were.
func TestAuthoritiesChange(t *testing.T) {
	s := serve(t, true)
	good := s.clientTLS()()
	none := &tls.Config{RootCAs: x509.NewCertPool()}
	var now atomic.Pointer[tls.Config]
	now.Store(good)
	x := newExporter(t, Config{Endpoints: []string{s.url()}, TLS: now.Load})
	r := func() *exporter.Request {
		return exportertest.Request(t, otlp.Logs, "none", exportertest.Body(otlp.Logs, 1, 5))
	}
	s.Hold()
	under := make(chan error)
	go func() { _, err := x.Export(context.Background(), r()); under <- err }()
	for s.Held() != 1 {
		time.Sleep(time.Millisecond)
	}
	now.Store(none)
	_, err := x.Export(context.Background(), r())
	exportertest.Check(t, "unknown authority", err, exportertest.Want{Code: "no_connection", Says: []string{"certificate"}})
	s.Free()
	if err := <-under; err != nil {
		t.Errorf("what was under way when the authorities changed: %v", err)
	}
	for range 2 * maxRetired { // any number of changes leaves nothing behind: goleak looks
		now.Store(good.Clone())
		if _, err := x.Export(context.Background(), r()); err != nil {
			t.Error(err)
		}
	}
	if n := len(x.transport.retired); n > maxRetired {
		t.Errorf("%d transports are kept", n)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}
