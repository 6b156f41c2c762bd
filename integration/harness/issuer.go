package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Audience of the tokens that an Issuer gives.
const Audience = "penstock"

// Issuer is an OpenID Connect issuer: discovery, keys, and a token endpoint for
// client credentials. It ends with the test.
type Issuer struct {
	URL string

	t   testing.TB
	key *ecdsa.PrivateKey

	mu      sync.Mutex // guards everything below
	clients map[string]client
	life    time.Duration
	issued  int
}

type client struct {
	secret string
	claims map[string]any
}

// NewIssuer starts one whose tokens live for an hour.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{t: t, key: key, clients: map[string]client{}, life: time.Hour}
	s := httptest.NewServer(i)
	t.Cleanup(s.Close)
	i.URL = s.URL
	return i
}

// TokenURL is the token endpoint.
func (i *Issuer) TokenURL() string { return i.URL + "/token" }

// Client makes a client known, and the claims of its tokens beside the usual ones.
func (i *Issuer) Client(id, secret string, claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.clients[id] = client{secret, claims}
}

// Live is how long tokens of the endpoint live from now on.
func (i *Issuer) Live(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.life = d
}

// Issued counts the tokens of the endpoint.
func (i *Issuer) Issued() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.issued
}

// Token is one that holds, but for the claims that are given.
func (i *Issuer) Token(claims map[string]any) string {
	i.t.Helper()
	now := time.Now()
	all := map[string]any{"iss": i.URL, "sub": "client", "aud": Audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	payload, err := json.Marshal(all)
	if err != nil {
		i.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "one"))
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

// Unsigned is a token of the algorithm "none" with the claims of another.
func Unsigned(token string) string {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	return header + "." + strings.Split(token, ".")[1] + "."
}

// Tampered is a token whose claims say another tenant than was signed.
func Tampered(t testing.TB, token, tenant string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	claims["tenant"] = tenant
	if payload, err = json.Marshal(claims); err != nil {
		t.Fatal(err)
	}
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + parts[2]
}

// ServeHTTP implements http.Handler.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	code, answer := http.StatusOK, any(nil)
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "token_endpoint": i.TokenURL(), "id_token_signing_alg_values_supported": []string{"ES256"}}
	case "/keys":
		answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}}
	case "/token":
		code, answer = i.grant(r)
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		i.t.Errorf("issuer: %v", err)
	}
}

// grant answers a token request (RFC 6749, section 4.4).
func (i *Issuer) grant(r *http.Request) (int, any) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
		return http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type"}
	}
	id, secret, ok := r.BasicAuth()
	if ok {
		id, _ = url.QueryUnescape(id)         // what it does not decode is known to nobody
		secret, _ = url.QueryUnescape(secret) //
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	i.mu.Lock()
	c, known := i.clients[id]
	life := i.life
	i.mu.Unlock()
	if !known || c.secret != secret {
		return http.StatusUnauthorized, map[string]string{"error": "invalid_client"}
	}
	claims := map[string]any{"sub": id, "exp": time.Now().Add(life).Unix()}
	maps.Copy(claims, c.claims)
	token := i.Token(claims)
	i.mu.Lock()
	i.issued++
	i.mu.Unlock()
	return http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(life.Seconds())}
}
