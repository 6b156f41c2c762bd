package identity

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// until waits for what another goroutine does.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited 20 s for " + what)
		}
	}
}

// known waits until an issuer's keys were fetched.
func (r *rig) known(p *provider) *keySet {
	r.t.Helper()
	k := r.state.Load().issuers[p.server.URL].keys
	until(r.t, "the keys", func() bool { return k.idle() && !k.current.Load().at.IsZero() })
	return k
}

// idle tells that no try runs.
func (k *keySet) idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.busy
}

// TestAnIssuerThatIsDown is one that is away at the start, comes, and goes again.
func TestAnIssuerThatIsDown(t *testing.T) {
	ec, next := ecSigner(t, "1"), ecSigner(t, "2")
	p := newProvider(t, ec)
	p.down.Store(true)
	r := started(t, Config{Issuers: []Issuer{p.config()}})
	token := ec.token(t, p.claims(r.clock.now()))
	f := r.fails(FailUnavailable, bearer(token))
	if f.Err == nil || !strings.Contains(f.Err.Error(), "502") {
		t.Errorf("the reason is %v", f.Err)
	}
	r.is("penstock_auth_issuer_keys", 0, "issuer", p.server.URL)
	r.is("penstock_auth_issuer_last_fetch_timestamp_seconds", 0, "issuer", p.server.URL)
	// What cannot hold anyhow is not told to come again.
	r.fails(FailExpired, bearer(ec.token(t, p.claims(r.clock.now(), "exp", 1))))

	p.down.Store(false)
	r.clock.forward(askEvery)
	r.ok(bearer(token)) // it asks
	p.down.Store(true)
	k := r.known(p)
	fetches := p.fetches.Load()
	r.ok(bearer(ec.token(t, p.claims(r.clock.now(), "sub", "bob")))) // by the keys that are known
	if p.fetches.Load() != fetches {
		t.Error("the issuer was asked for a key that is known")
	}
	// A key that came since is not known, which is not the client's fault.
	r.clock.forward(time.Minute)
	r.fails(FailUnavailable, bearer(next.token(t, p.claims(r.clock.now()))))
	if k.idle() && len(k.current.Load().keys) != 1 {
		t.Error("the keys that were known are gone")
	}
	r.ok(bearer(ec.token(t, p.claims(r.clock.now(), "sub", "carol"))))
	if log := r.log.String(); !strings.Contains(log, "those known stay in use") {
		t.Errorf("the log is %s", log)
	}
}

func TestRotatedKeys(t *testing.T) {
	first, second := ecSigner(t, "1"), ecSigner(t, "2")
	p := newProvider(t, first)
	r := started(t, Config{Issuers: []Issuer{p.config()}})
	old := first.token(t, p.claims(r.clock.now()))
	r.ok(bearer(old))
	r.known(p)

	p.publish(second) // the first is not to be believed any more
	r.clock.forward(askEvery)
	r.ok(bearer(second.token(t, p.claims(r.clock.now()))))
	r.clock.forward(askEvery)
	r.fails(FailSignature, bearer(old)) // although it was verified, and remembered
}

// TestUnknownKeysDoNotFloodTheIssuer has many tokens, each of a key of its own.
func TestUnknownKeysDoNotFloodTheIssuer(t *testing.T) {
	ec := ecSigner(t, "1")
	p := newProvider(t, ec)
	r := started(t, Config{Issuers: []Issuer{p.config()}})
	good := ec.token(t, p.claims(r.clock.now()))
	r.ok(bearer(good))
	r.known(p)
	before := p.fetches.Load()
	const clients, each = 8, 50
	flood := func() {
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				for n := range each {
					token := (&signer{fmt.Sprintf("%d-%d", c, n), jose.ES256, ec.key}).token(t, p.claims(r.clock.now(), "iat", nil))
					_, err := r.Authenticate(context.Background(), bearer(token))
					if f, ok := AsFailure(err); !ok || f.Kind != FailSignature {
						t.Errorf("got %v", err)
					}
				}
			})
		}
		wg.Wait()
	}
	flood()
	if n := p.fetches.Load() - before; n != 0 {
		t.Errorf("asked %d times within an interval", n)
	}
	r.clock.forward(askEvery)
	flood()
	if n := p.fetches.Load() - before; n != 1 {
		t.Errorf("asked %d times, want once an interval", n)
	}
	r.ok(bearer(good))
}

// TestWhoWaitsIsBounded has an issuer that does not answer.
func TestWhoWaitsIsBounded(t *testing.T) {
	ec := ecSigner(t, "1")
	p := newProvider(t, ec)
	release := make(chan struct{})
	p.odd = func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return false
	}
	r := started(t, Config{Issuers: []Issuer{p.config()}})
	token := bearer(ec.token(t, p.claims(r.clock.now())))
	k := r.state.Load().issuers[p.server.URL].keys
	k.patient = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range maxWaiting {
		wg.Go(func() {
			if f, ok := AsFailure(second(r.Authenticate(ctx, token))); !ok || f.Kind != FailUnavailable {
				t.Errorf("got %v", f)
			}
		})
	}
	until(t, "those that wait", func() bool { return len(k.waiting) == maxWaiting })
	r.fails(FailUnavailable, token) // at once: all places are taken
	cancel()
	wg.Wait()
	close(release)
	r.known(p)
	r.ok(token)
}

func second(_ *Identity, err error) error { return err }

// TestKeySetsOfNoUse has issuers that answer with something else.
func TestKeySetsOfNoUse(t *testing.T) {
	ec := ecSigner(t, "1")
	f := func(path, want string, answer func(p *provider) string) {
		t.Helper()
		p := newProvider(t, ec)
		p.odd = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(answer(p))) // a client that has enough goes away
			return true
		}
		r := started(t, Config{Issuers: []Issuer{p.config()}})
		got := r.fails(FailUnavailable, bearer(ec.token(t, p.claims(r.clock.now()))))
		if got.Err == nil || !strings.Contains(got.Err.Error(), want) || len(got.Err.Error()) > 600 {
			t.Errorf("%s: %v, want %q", path, got.Err, want)
		}
	}
	say := func(s string) func(*provider) string { return func(*provider) string { return s } }
	const discovery = "/.well-known/openid-configuration"
	f(discovery, "did not match", say(`{"issuer": "https://other.example", "jwks_uri": "x"}`))
	f(discovery, "discovery", say(strings.Repeat("x", 5000)))
	f(discovery, "more than 1048576 bytes", say(`{"a": "`+strings.Repeat("x", 2*maxAnswer)+`"}`))
	f(discovery, "want https", func(p *provider) string {
		return `{"issuer": "` + p.server.URL + `", "jwks_uri": "http://192.0.2.1/keys"}`
	})
	f(discovery, "want https", func(p *provider) string {
		return `{"issuer": "` + p.server.URL + `", "jwks_uri": "file:///etc/passwd"}`
	})
	f("/keys", "no key set", say("<html>"))
	f("/keys", "none of 0 keys", say("{}"))
	f("/keys", "more than 1048576 bytes", say(`{"keys": "`+strings.Repeat("x", 2*maxAnswer)+`"}`))
	f("/keys", "want at most 100", say(`{"keys": [`+strings.Repeat("1,", 100)+`1]}`))
	f("/keys", "none of 2 keys", say(`{"keys": [{"kty":"oct","kid":"1","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}, {"kty":"new"}]}`))
}

// TestKeysThatAreNotForSigning are left out of a set that has others.
func TestKeysThatAreNotForSigning(t *testing.T) {
	ec := ecSigner(t, "good")
	enc := ecSigner(t, "enc")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	forEncryption := enc.public()
	forEncryption.Use, forEncryption.Algorithm = "enc", ""
	other := enc.public()
	other.KeyID, other.Algorithm = "alg", "ES384"
	p := newProvider(t)
	p.keys = []any{ec.public(), forEncryption, jose.JSONWebKey{Key: weak.Public(), KeyID: "weak"}, other,
		jose.JSONWebKey{Key: enc.key, KeyID: "private"}, map[string]any{"kty": "OKP", "crv": "Ed448", "kid": "x", "x": "AA"}, 7}
	c := p.config()
	c.Algorithms = []string{"ES256", "ES384", "RS256"}
	r := started(t, Config{Issuers: []Issuer{c}})
	claims := p.claims(r.clock.now(), "iat", nil)
	r.ok(bearer(ec.token(t, claims)))
	noKid := *ec
	noKid.kid = ""
	r.ok(bearer(noKid.token(t, claims)))
	for _, kid := range []string{"enc", "alg", "private", ""} {
		r.fails(FailSignature, bearer((&signer{kid, jose.ES256, enc.key}).token(t, claims)))
	}
	r.is("penstock_auth_issuer_keys", 2, "issuer", p.server.URL) // good, alg
}

// TestKeysWithoutDiscovery has the URL in the configuration, and a certificate of
// its own.
func TestKeysWithoutDiscovery(t *testing.T) {
	ec := ecSigner(t, "1")
	p := newProvider(t, ec)
	c := p.config()
	c.Issuer, c.JWKSURL = "https://login.example.com", p.server.URL+"/keys"
	r := started(t, Config{Issuers: []Issuer{c}})
	r.ok(bearer(ec.token(t, p.claims(r.clock.now(), "iss", c.Issuer))))
	r.fails(FailIssuer, bearer(ec.token(t, p.claims(r.clock.now()))))
	c.CAFile = "/nonexistent/ca"
	if _, err := tried(t, Config{Issuers: []Issuer{c}}); err == nil || !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("got %v", err)
	}
}

// TestIssuersWithACertificate has one on TLS, and one that leads away from it.
func TestIssuersWithACertificate(t *testing.T) {
	ec := ecSigner(t, "1")
	p := newProvider(t, ec)
	plain := p.server.URL
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail
	p.server.StartTLS()
	t.Cleanup(p.server.Close)
	c := p.config()
	c.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(c.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	r := started(t, Config{Issuers: []Issuer{c}})
	token := bearer(ec.token(t, p.claims(r.clock.now())))
	r.ok(token)

	fails := func(c Issuer, want string) {
		t.Helper()
		f := started(t, Config{Issuers: []Issuer{c}}).fails(FailUnavailable, token)
		if f.Err == nil || !strings.Contains(f.Err.Error(), want) {
			t.Errorf("got %v, want %q", f.Err, want)
		}
	}
	fails(p.config(), "certificate") // of no authority that the system has
	p.odd = func(w http.ResponseWriter, r *http.Request) bool {
		if r.TLS != nil && r.URL.Path == "/keys" {
			http.Redirect(w, r, plain+"/keys", http.StatusFound)
			return true
		}
		return false
	}
	fails(c, "away from https")
	p.odd = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
		return true
	}
	fails(c, "redirects")
}
