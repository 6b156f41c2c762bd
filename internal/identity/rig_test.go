package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is one that tests set.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Now().UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d)) }

// signer is a key pair of an issuer.
type signer struct {
	kid string
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { // one for all tests: they take long to make
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func ecSigner(t testing.TB, kid string) *signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{kid, jose.ES256, k}
}

func rsaSigner(kid string) *signer { return &signer{kid, jose.RS256, rsaKey()} }

// sign makes a token of a payload.
func (s *signer) sign(t testing.TB, payload []byte, header map[jose.HeaderKey]any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType("JWT")
	if s.kid != "" {
		o = o.WithHeader("kid", s.kid)
	}
	for k, v := range header {
		o = o.WithHeader(k, v)
	}
	sg, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := sg.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (s *signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Algorithm: string(s.alg), Use: "sig"}
}

// provider is an OpenID Connect issuer.
type provider struct {
	t       testing.TB
	server  *httptest.Server
	fetches atomic.Int64 // of the keys
	down    atomic.Bool

	mu   sync.Mutex
	keys []any                                             // mu; what it publishes
	odd  func(w http.ResponseWriter, r *http.Request) bool // mu; answers instead, if true
}

func newProvider(t testing.TB, signers ...*signer) *provider {
	p := &provider{t: t}
	p.publish(signers...)
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.server.Close)
	return p
}

func (p *provider) publish(signers ...*signer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = nil
	for _, s := range signers {
		p.keys = append(p.keys, s.public())
	}
}

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.URL.Path == "/keys" {
		p.fetches.Add(1)
	}
	var answer any
	switch {
	case p.down.Load():
		http.Error(w, "away", http.StatusBadGateway)
		return
	case p.odd != nil && p.odd(w, r):
		return
	case r.URL.Path == "/.well-known/openid-configuration":
		answer = map[string]any{"issuer": p.server.URL, "jwks_uri": p.server.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"}}
	case r.URL.Path == "/keys":
		answer = map[string]any{"keys": p.keys}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		p.t.Error(err)
	}
}

func (p *provider) config() Issuer {
	var i Issuer
	i.SetDefaults()
	i.Issuer, i.Audiences = p.server.URL, []string{"penstock"}
	return i
}

// claims of a token that holds at now.
func (p *provider) claims(now time.Time, change ...any) map[string]any {
	c := map[string]any{"iss": p.server.URL, "sub": "alice", "aud": "penstock", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix()}
	for i := 0; i < len(change); i += 2 {
		if change[i+1] == nil {
			delete(c, change[i].(string))
		} else {
			c[change[i].(string)] = change[i+1]
		}
	}
	return c
}

func (s *signer) token(t testing.TB, c map[string]any) string {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return s.sign(t, b, nil)
}

// rig is an Authenticator on a clock.
type rig struct {
	*Authenticator
	t     testing.TB
	clock *clock
	reg   *prometheus.Registry
	log   *logBuffer
}

// started wants a valid configuration; anything else fails the test.
func started(t testing.TB, c Config) *rig {
	t.Helper()
	r, err := tried(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tried(t testing.TB, c Config) (*rig, error) {
	t.Helper()
	if err := config.Validate(c); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, clock: newClock(), reg: prometheus.NewPedanticRegistry(), log: &logBuffer{}}
	a, err := newAuthenticator(t.Context(), c, Options{Registry: r.reg, Logger: slog.New(slog.NewTextHandler(r.log, nil))}, r.clock.now)
	if err != nil {
		return nil, err
	}
	r.Authenticator = a
	t.Cleanup(a.Close)
	return r, nil
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ok wants the credentials to hold.
func (r *rig) ok(c Credentials) *Identity {
	r.t.Helper()
	id, err := r.Authenticate(context.Background(), c)
	if err != nil {
		r.t.Fatalf("refused: %v", err)
	}
	return id
}

// fails wants them to fail in that way, with nothing of them in the failure.
func (r *rig) fails(kind string, c Credentials) *Failure {
	r.t.Helper()
	id, err := r.Authenticate(context.Background(), c)
	f, ok := AsFailure(err)
	if !ok || id != nil {
		r.t.Fatalf("got %+v, %v; want a failure: %s", id, err, kind)
	}
	if f.Kind != kind || f.Message == "" {
		r.t.Fatalf("got %v; want %s", f, kind)
	}
	for _, secret := range []string{c.Authorization, c.Key} {
		if _, s, ok := strings.Cut(secret, " "); ok {
			secret = s
		}
		if len(secret) > 20 && strings.Contains(f.Error()+f.Subject, secret[len(secret)-20:]) {
			r.t.Errorf("the failure has the credential in it: %v", f)
		}
	}
	return f
}

func bearer(token string) Credentials { return Credentials{Authorization: "Bearer " + token} }

// keysFile writes keys.
func keysFile(t testing.TB, keys ...Key) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, name, keys...)
	return name
}

func writeKeys(t testing.TB, name string, keys ...Key) {
	t.Helper()
	b, err := FormatKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB, k Key) (Key, string) {
	t.Helper()
	if k.Created.IsZero() {
		k.Created = time.Now()
	}
	if k.Roles == nil {
		k.Roles = []string{"ingest"}
	}
	k, secret, err := NewKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return k, secret.Reveal()
}
