package identity

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// compact makes a token whose header says what a library would not let it say.
func compact(header, payload string, signature []byte) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e([]byte(payload)) + "." + e(signature)
}

func TestTokens(t *testing.T) {
	ec, rs, stranger := ecSigner(t, "ec"), rsaSigner("rs"), ecSigner(t, "ec")
	p := newProvider(t, ec, rs)
	other := newProvider(t, stranger)
	r := started(t, Config{Issuers: []Issuer{p.config()}})
	now := r.clock.now()
	good := p.claims(now)

	for _, s := range []*signer{ec, rs} {
		id := r.ok(bearer(s.token(t, good)))
		if id.Subject != "jwt:"+p.server.URL+"#alice" || id.Method != MethodToken || id.Roles != Ingest || id.Tenant != "" || id.Speaks("acme") {
			t.Errorf("%s: got %+v", s.kid, id)
		}
	}
	r.ok(bearer(ec.token(t, p.claims(now, "aud", []string{"x", "penstock"}))))
	r.ok(bearer(ec.token(t, p.claims(now, "exp", float64(now.Unix())+0.5))))
	r.ok(bearer(ec.token(t, p.claims(now, "exp", now.Add(-20*time.Second).Unix())))) // within the leeway
	r.ok(bearer(ec.token(t, p.claims(now, "nbf", now.Add(20*time.Second).Unix()))))
	r.ok(Credentials{Authorization: "bEARER   " + ec.token(t, good)})
	r.ok(bearer(ec.sign(t, marshal(t, good), map[jose.HeaderKey]any{"typ": "at+jwt"})))

	f := func(kind, token string) { t.Helper(); r.fails(kind, bearer(token)) }
	f(FailExpired, ec.token(t, p.claims(now, "exp", now.Add(-time.Hour).Unix())))
	f(FailExpired, ec.token(t, p.claims(now, "exp", now.Add(-30*time.Second).Unix())))
	f(FailExpired, ec.token(t, p.claims(now, "nbf", now.Add(time.Hour).Unix())))
	f(FailExpired, ec.token(t, p.claims(now, "iat", now.Add(time.Hour).Unix())))
	f(FailClaims, ec.token(t, p.claims(now, "exp", nil)))
	f(FailClaims, ec.token(t, p.claims(now, "exp", "tomorrow")))
	f(FailClaims, ec.token(t, p.claims(now, "exp", 1e300)))
	f(FailClaims, ec.token(t, p.claims(now, "exp", -1)))
	f(FailClaims, ec.token(t, p.claims(now, "nbf", []int{1})))
	f(FailClaims, ec.token(t, p.claims(now, "sub", nil)))
	f(FailClaims, ec.token(t, p.claims(now, "sub", 7)))
	f(FailAudience, ec.token(t, p.claims(now, "aud", "grafana")))
	f(FailAudience, ec.token(t, p.claims(now, "aud", nil)))
	f(FailAudience, ec.token(t, p.claims(now, "aud", []any{"x", 7})))
	f(FailAudience, ec.token(t, p.claims(now, "aud", map[string]any{"penstock": true})))
	f(FailIssuer, stranger.token(t, other.claims(now)))
	f(FailIssuer, ec.token(t, p.claims(now, "iss", nil)))
	f(FailIssuer, ec.token(t, p.claims(now, "iss", p.server.URL+"/")))
	f(FailMalformed, ec.token(t, p.claims(now, "iss", []string{p.server.URL})))
	f(FailSignature, stranger.token(t, good)) // the right kid, another's key

	// A byte changed in each part. The last character has bits that mean
	// nothing, so that it is left alone.
	whole := ec.token(t, good)
	parts := strings.Split(whole, ".")
	for i, kind := range []string{FailMalformed, FailMalformed, FailSignature} {
		changed := slices.Clone(parts)
		b := []byte(changed[i])
		if b[2] = 'A'; changed[i][2] == 'A' {
			b[2] = 'B'
		}
		changed[i] = string(b)
		f(kind, strings.Join(changed, "."))
	}
	payload := strings.Replace(string(marshal(t, good)), `"alice"`, `"admin"`, 1)
	f(FailSignature, parts[0]+"."+base64.RawURLEncoding.EncodeToString([]byte(payload))+"."+parts[2])
	f(FailSignature, parts[0]+"."+parts[1]+".")
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAlgorithmsAreOurs has tokens that choose how they are verified.
func TestAlgorithmsAreOurs(t *testing.T) {
	ec, rs := ecSigner(t, "ec"), rsaSigner("rs")
	p := newProvider(t, ec, rs)
	r := started(t, Config{Issuers: []Issuer{p.config()}})
	payload := string(marshal(t, p.claims(r.clock.now())))
	f := func(kind, token string) { t.Helper(); r.fails(kind, bearer(token)) }

	for _, none := range []string{"none", "None", "NONE", "nOnE"} {
		f(FailAlgorithm, compact(`{"alg":"`+none+`","typ":"JWT"}`, payload, nil))
		f(FailAlgorithm, compact(`{"alg":"`+none+`","kid":"rs"}`, payload, []byte("x")))
	}
	// A public key as the shared secret.
	der, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	hs, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: der}, (&jose.SignerOptions{}).WithHeader("kid", "rs"))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := hs.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	f(FailAlgorithm, raw)
	// Good keys, by algorithms that are not on the list.
	f(FailAlgorithm, (&signer{"rs", jose.PS256, rs.key}).token(t, p.claims(r.clock.now())))
	f(FailAlgorithm, (&signer{"rs", jose.RS512, rs.key}).token(t, p.claims(r.clock.now())))
	// The token brings its own key.
	own := ecSigner(t, "own")
	jwk := own.public()
	f(FailSignature, own.sign(t, []byte(payload), map[jose.HeaderKey]any{"jwk": jwk}))
	f(FailSignature, own.sign(t, []byte(payload), map[jose.HeaderKey]any{"jku": p.server.URL + "/keys"}))
}

func TestTokensOfNoForm(t *testing.T) {
	ec := ecSigner(t, "ec")
	p := newProvider(t, ec)
	r := started(t, Config{Issuers: []Issuer{p.config()}})
	good := ec.token(t, p.claims(r.clock.now()))
	payload := string(marshal(t, p.claims(r.clock.now())))
	f := func(token string) { t.Helper(); r.fails(FailMalformed, bearer(token)) }

	f("x")
	f(".")
	f("..")
	f("...")
	f("a.b.c")
	f(good + ".")
	f(good + "=")
	f(good[1:])
	f(" " + strings.ReplaceAll(good, ".", ". "))
	f(strings.Repeat("a", maxToken+1))
	f(strings.Repeat("a", 1<<20))
	f(ec.sign(t, []byte(good), map[jose.HeaderKey]any{"cty": "JWT"})) // a token in a token
	f(ec.sign(t, []byte("null"), nil))
	f(ec.sign(t, []byte("[]"), nil))
	f(ec.sign(t, []byte(`{"a":`+strings.Repeat("[", 5000)+`}`), nil))
	f(ec.sign(t, []byte(payload+"{}"), nil))
	f(ec.sign(t, []byte(payload), map[jose.HeaderKey]any{"typ": "logout+jwt"}))
	f(compact(`{}`, payload, []byte("x")))
	f(compact(`{"alg":null}`, payload, []byte("x")))
	f(compact(`{"alg":["RS256"]}`, payload, []byte("x")))
	f(compact(`{"ALG":"RS256"}`, payload, []byte("x")))
	f(compact(`{"alg":"ES256","kid":7}`, payload, []byte("x")))
	f(compact(`{"alg":"ES256","crit":["b64"],"b64":false}`, payload, []byte("x")))
	f(compact(`{"alg":"ES256"`, payload, []byte("x")))
	f(`{"payload":"` + good + `"}`) // JSON serialization
	for i := range 3 {              // bytes that are no base64url
		parts := strings.Split(good, ".")
		parts[i] = "%" + parts[i]
		f(strings.Join(parts, "."))
	}
	f(strings.Join([]string{good, good}, "."))
}

func TestClaims(t *testing.T) {
	ec := ecSigner(t, "ec")
	p := newProvider(t, ec)
	c := p.config()
	c.TenantClaim, c.TenantsClaim, c.RolesClaim = "penstock.tenant", "https://example.com/tenants", "realm.roles"
	c.Roles = []RoleMapping{{"otel-writers", []string{"ingest"}}, {"sre", []string{"operate", "ingest"}}, {"sre", []string{"admin"}}}
	r := started(t, Config{Issuers: []Issuer{c}})
	now := r.clock.now()
	f := func(want Identity, change ...any) {
		t.Helper()
		want.Method, want.Subject = MethodToken, "jwt:"+p.server.URL+"#alice"
		got := r.ok(bearer(ec.token(t, p.claims(now, change...))))
		if fmt.Sprint(*got) != fmt.Sprint(want) {
			t.Errorf("%v: got %+v, want %+v", change, *got, want)
		}
	}
	roles := func(v any) map[string]any { return map[string]any{"roles": v} }
	f(Identity{})
	f(Identity{Roles: Ingest}, "realm", roles([]string{"otel-writers", "x"}))
	f(Identity{Roles: Ingest}, "realm", roles("x otel-writers"))
	f(Identity{Roles: Ingest | View | Operate | Admin}, "realm", roles("sre"))
	f(Identity{}, "realm", roles([]string{"admin"})) // a name that is ours, and was given no meaning
	f(Identity{}, "realm", roles([]string{}))
	f(Identity{}, "realm", "no object")
	f(Identity{Roles: Ingest}, "realm.roles", "otel-writers") // the whole name first
	f(Identity{Tenant: "acme", SpeaksFor: []string{"b", "c"}}, "penstock", map[string]any{"tenant": "acme"}, "https://example.com/tenants", []string{"b", "c"})
	f(Identity{SpeaksFor: []string{"*"}}, "https://example.com/tenants", "*")

	bad := func(change ...any) {
		t.Helper()
		r.fails(FailClaims, bearer(ec.token(t, p.claims(now, change...))))
	}
	tenant := func(v any) map[string]any { return map[string]any{"tenant": v} }
	bad("penstock", tenant(""))
	bad("penstock", tenant("a b"))
	bad("penstock", tenant("*"))
	bad("penstock", tenant("a\n"))
	bad("penstock", tenant(strings.Repeat("a", 64)))
	bad("penstock", tenant([]string{"acme"}))
	bad("penstock", tenant(7))
	bad("https://example.com/tenants", map[string]any{})
	bad("https://example.com/tenants", []any{"a", nil})
	bad("https://example.com/tenants", slices.Repeat([]string{"a"}, maxTenants+1))
	bad("realm", roles(7))

	c.Roles = nil
	r = started(t, Config{Issuers: []Issuer{c}})
	f(Identity{Roles: View | Operate}, "realm", roles([]string{"operate", "x"})) // by their own names
	f(Identity{}, "realm", roles([]string{"canteen admin"}))                     // one group, whatever words are in its name
	f(Identity{Roles: View | Ingest}, "realm", roles("ingest view"))
}

func TestSubjectsAreShortAndPrintable(t *testing.T) {
	ec := ecSigner(t, "ec")
	p := newProvider(t, ec)
	r := started(t, Config{Issuers: []Issuer{p.config()}})
	now := r.clock.now()
	seen := map[string]bool{}
	for _, sub := range []string{strings.Repeat("x", 5000), strings.Repeat("x", 5001), "a\x1b[2Jb", "a\u202eb", "a\nb", "ä"} {
		s := r.ok(bearer(ec.token(t, p.claims(now, "sub", sub)))).Subject
		if len(s) > maxSubject || printable(s) != s || seen[s] {
			t.Errorf("%q: %d %q", clip(sub), len(s), s)
		}
		seen[s] = true
	}
}
