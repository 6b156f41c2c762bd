package credential

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/config"
)

func TestTokenRequest(t *testing.T) {
	f := func(style, wantBasic, wantID, wantSecret string) {
		t.Helper()
		i := serve(t, false)
		s, _ := open(t, i.login(func(o *OAuth2) {
			o.AuthStyle, o.Scopes = style, []string{"otlp.write", "a"}
			o.Params = []config.NameValue{{Name: "audience", Value: "backend & co"}}
		}), Options{})
		want(t, s, "Bearer token-1")
		form := i.forms[0]
		for name, want := range map[string]string{"grant_type": "client_credentials", "scope": "otlp.write a", "audience": "backend & co", "client_id": wantID, "client_secret": wantSecret} {
			if got := form.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", style, name, got, want)
			}
		}
		if got := i.basic[0]; got != wantBasic {
			t.Errorf("%s: basic is %q, want %q", style, got, wantBasic)
		}
	}
	// RFC 6749, section 2.3.1: both are form-encoded first.
	f(StyleHeader, "penstock:hunter2%2Bhunter2%2Fhunter2", "", "")
	f(StyleAuto, "penstock:hunter2%2Bhunter2%2Fhunter2", "", "")
	f(StyleParams, ":", "penstock", secret)
}

// Any number of exports that need a token wait for one request.
func TestOneRequestForAll(t *testing.T) {
	i := serve(t, false)
	hold := make(chan struct{})
	i.hold = hold
	s, _ := open(t, i.login(), Options{})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { want(t, s, "Bearer token-1") })
	}
	// One that has no time waits no longer than it has, and disturbs nobody.
	ctx, cancel := context.WithCancel(t.Context())
	eventually(t, "the request", func() bool { return i.asked() == 1 })
	cancel()
	if _, err := s.Authorization(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(hold)
	all.Wait()
	want(t, s, "Bearer token-1")
	if n := i.asked(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// A token is refreshed before it expires, and exports go on with the old one
// while that takes time, and when it fails.
func TestRefreshInTheBackground(t *testing.T) {
	i := serve(t, false)
	m, reg := metrics()
	var log text
	s, k := open(t, i.login(func(o *OAuth2) { o.ExpiryMargin = config.Duration(time.Minute) }), Options{Destination: "a", Metrics: m, Logger: log.logger()})
	want(t, s, "Bearer token-1")
	k.pass(3600*time.Second - 62*time.Second)
	want(t, s, "Bearer token-1")
	if n := i.asked(); n != 1 {
		t.Errorf("%d requests before the margin", n)
	}

	hold := make(chan struct{})
	i.mu.Lock()
	i.hold = hold
	i.mu.Unlock()
	i.set(says(503, "text/plain", "later"))
	k.pass(5 * time.Second)
	for range 10 { // none waits
		want(t, s, "Bearer token-1")
	}
	close(hold)
	eventually(t, "the failure is known", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.failed != nil && s.fetching == nil })
	if n := i.asked(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	want(t, s, "Bearer token-1") // within the wait: no request, and no failure
	if n := i.asked(); n != 2 {
		t.Errorf("%d requests within the wait", n)
	}
	if !strings.Contains(log.String(), "token cannot be refreshed; the present one is used until it expires") {
		t.Errorf("log: %s", log.String())
	}

	i.set(tokens(3600))
	k.pass(2 * time.Second)
	want(t, s, "Bearer token-1")
	eventually(t, "the next token", func() bool { v, err := s.Authorization(t.Context()); return err == nil && v == "Bearer token-3" })
	const expect = `# HELP penstock_exporter_token_requests_total Requests to the token endpoint of a destination, by outcome: ok, failed.
# TYPE penstock_exporter_token_requests_total counter
penstock_exporter_token_requests_total{destination="a",outcome="failed"} 1
penstock_exporter_token_requests_total{destination="a",outcome="ok"} 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(expect), "penstock_exporter_token_requests_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// An expired token is never used; the wait after a failure grows, and its end
// brings one request.
func TestEndpointThatFails(t *testing.T) {
	i := serve(t, false)
	s, k := open(t, i.login(), Options{})
	want(t, s, "Bearer token-1")
	i.set(says(500, "text/plain", "out of order"))
	k.pass(2 * time.Hour)
	fails := func(asked int) {
		t.Helper()
		for range 3 {
			if v, err := s.Authorization(t.Context()); err == nil || !strings.Contains(err.Error(), "answered 500 Internal Server Error: out of order") {
				t.Errorf("got %q, %v", v, err)
			}
		}
		if n := i.asked(); n != asked {
			t.Errorf("%d requests, want %d", n, asked)
		}
	}
	fails(2)
	for n, wait := range []time.Duration{1, 2, 4, 8, 10, 10} {
		k.pass((wait - 1) * time.Second)
		fails(2 + n)
		k.pass(time.Second)
		fails(3 + n)
	}
	i.set(tokens(3600))
	k.pass(10 * time.Second)
	want(t, s, "Bearer token-9")
	// The next failure begins anew.
	i.set(says(429, "text/plain", "too often", "Retry-After", "30"))
	k.pass(2 * time.Hour)
	fails429 := func(asked int) {
		t.Helper()
		if _, err := s.Authorization(t.Context()); err == nil || !strings.Contains(err.Error(), "429") {
			t.Errorf("got %v", err)
		}
		if n := i.asked(); n != asked {
			t.Errorf("%d requests, want %d", n, asked)
		}
	}
	fails429(10)
	k.pass(28 * time.Second)
	fails429(10)
	k.pass(3 * time.Second)
	fails429(11)
}

func TestRefused(t *testing.T) {
	i := serve(t, false)
	m, reg := metrics()
	s, k := open(t, i.login(), Options{Destination: "a", Metrics: m})
	want(t, s, "Bearer token-1")
	if !s.Refused("Bearer token-1") {
		t.Error("the first refusal is worth no try")
	}
	if !s.Refused("Bearer token-1") { // of another export, with the same token
		t.Error("the second export is not told of the token that comes")
	}
	want(t, s, "Bearer token-2")
	if !s.Refused("Bearer token-1") || s.Refused("Bearer token-2") {
		t.Error("an old token is worth another try, and a second one within a minute is not")
	}
	want(t, s, "Bearer token-2")
	k.pass(dropEvery)
	if !s.Refused("Bearer token-2") {
		t.Error("after a minute another one is worth a try")
	}
	want(t, s, "Bearer token-3")
	const expect = `# HELP penstock_exporter_tokens_refused_total Tokens that were dropped before they expired because the destination refused them.
# TYPE penstock_exporter_tokens_refused_total counter
penstock_exporter_tokens_refused_total{destination="a"} 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(expect), "penstock_exporter_tokens_refused_total"); err != nil {
		t.Error(err)
	}
}

// Short lives and none at all.
func TestLifeOfAToken(t *testing.T) {
	f := func(life int, after time.Duration, wantValue string) {
		t.Helper()
		i := serve(t, false)
		i.set(tokens(life))
		s, k := open(t, i.login(), Options{}) // margin 30 s
		want(t, s, "Bearer token-1")
		k.pass(after)
		want(t, s, wantValue)
		s.Close() // waits for what runs in the background
	}
	f(0, 1000*time.Hour, "Bearer token-1") // it does not say
	f(2, 1500*time.Millisecond, "Bearer token-1")
	f(2, 2*time.Second, "Bearer token-2")
	f(20, 9*time.Second, "Bearer token-1")
	f(1<<40, 60*365*24*time.Hour, "Bearer token-1") // bounded, not wrapped
}

func TestCloseEndsARequest(t *testing.T) {
	i := serve(t, false)
	i.hold = make(chan struct{})
	s, _ := open(t, i.login(), Options{})
	got := make(chan error)
	go func() { _, err := s.Authorization(context.Background()); got <- err }()
	eventually(t, "the request", func() bool { return i.asked() == 1 })
	s.Close()
	if err := <-got; !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Authorization(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
	if s.Refused("x") {
		t.Error("closed, and worth another try")
	}
}

// A client secret in a file is read again, and the endpoint's authority is its own.
func TestSecretFileAndAuthority(t *testing.T) {
	i := serve(t, true)
	dir := t.TempDir()
	file, ca := filepath.Join(dir, "secret"), filepath.Join(dir, "ca.pem")
	put(t, file, "first-secret\n")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	var files config.TLSFiles
	s, k := open(t, i.login(func(o *OAuth2) { o.ClientSecret, o.ClientSecretFile, o.TLS.CAFile = "", file, ca }), Options{Destination: "a", TLSFiles: &files})
	want(t, s, "Bearer token-1")
	put(t, file, "second-secret\r\n")
	s.endpoint.secret.file.Look()
	k.pass(2 * time.Hour)
	want(t, s, "Bearer token-2")
	put(t, file, "") // nothing in it: the last one stays
	s.endpoint.secret.file.Look()
	k.pass(2 * time.Hour)
	want(t, s, "Bearer token-3")
	for n, want := range []string{"penstock:first-secret", "penstock:second-secret", "penstock:second-secret"} {
		if i.basic[n] != want {
			t.Errorf("request %d came with %q, want %q", n, i.basic[n], want)
		}
	}
	if st := files.States(); len(st) != 1 || st[0].Use != "destinations.a.auth.oauth2.tls" {
		t.Errorf("certificate files in use: %+v", st)
	}
	stranger, _ := open(t, i.login(), Options{})
	if _, err := stranger.Authorization(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "/token") {
		t.Errorf("got %v", err)
	}
}

// The concurrent life of a token that expires again and again.
func TestManyExportsAndShortTokens(t *testing.T) {
	i := serve(t, false)
	i.set(func(n int, w http.ResponseWriter) {
		if n%3 == 0 {
			says(503, "text/plain", "later")(n, w)
			return
		}
		tokens(1)(n, w)
	})
	s, k := open(t, i.login(), Options{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				v, err := s.Authorization(t.Context())
				if err != nil && !strings.Contains(err.Error(), "503") {
					t.Error(err)
				}
				if err == nil {
					s.Refused(v)
				}
				k.pass(7 * time.Millisecond)
			}
		})
	}
	all.Wait()
}
