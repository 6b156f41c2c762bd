package identity

import (
	"strings"
	"sync"
	"testing"

	"github.com/penstock-otel/penstock/internal/config"
)

// prepare wants a configuration that can be applied.
func (r *rig) prepare(c Config) func() {
	r.t.Helper()
	if err := config.Validate(c); err != nil {
		r.t.Fatal(err)
	}
	apply, err := r.Prepare(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return apply
}

func TestPrepareChangesNothing(t *testing.T) {
	k, secret := newKey(t, Key{Name: "k"})
	ec := ecSigner(t, "1")
	p, q := newProvider(t, ec), newProvider(t, ec)
	r := started(t, Config{KeysFile: keysFile(t, k), Issuers: []Issuer{p.config()}})
	token, other := bearer(ec.token(t, p.claims(r.clock.now()))), bearer(ec.token(t, q.claims(r.clock.now())))
	r.ok(token)
	r.known(p)
	fetches := p.fetches.Load()

	apply := r.prepare(Config{Issuers: []Issuer{q.config(), p.config()}, AnonymousRoles: []string{"view"}})
	if q.fetches.Load() != 0 {
		t.Error("an issuer was asked before it was to be believed")
	}
	r.ok(bearer(secret))
	r.fails(FailMissing, Credentials{})
	r.fails(FailIssuer, other)
	apply()
	r.fails(FailUnknown, bearer(secret))
	r.ok(Credentials{})
	r.ok(token)
	r.ok(other)
	if p.fetches.Load() != fetches {
		t.Error("an issuer that stayed the same lost its keys")
	}
	// One that is not listed any more is not believed, and not asked.
	r.prepare(Config{Issuers: []Issuer{q.config()}})()
	r.fails(FailIssuer, token)
	r.ok(other)
	// One whose entry changed is judged anew, also what was remembered.
	c := q.config()
	c.Audiences = []string{"another"}
	r.prepare(Config{Issuers: []Issuer{c}})()
	r.fails(FailAudience, other)

	if _, err := r.Prepare(Config{KeysFile: "/nonexistent/keys"}); err == nil || !strings.Contains(err.Error(), "auth.keys_file") {
		t.Errorf("got %v", err)
	}
	r.fails(FailAudience, other)
	r.prepare(Config{})()
	if r.Configured() {
		t.Error("nothing is configured")
	}
	r.ok(other)
}

// TestReloadsBesideRequests is for the race detector.
func TestReloadsBesideRequests(t *testing.T) {
	ec := ecSigner(t, "1")
	p := newProvider(t, ec)
	k, secret := newKey(t, Key{Name: "k"})
	a := Config{KeysFile: keysFile(t, k), Issuers: []Issuer{p.config()}}
	b := a
	changed := p.config()
	changed.DefaultRoles = []string{"view"}
	b.Issuers = []Issuer{changed}
	r := started(t, a)
	token := bearer(ec.token(t, p.claims(r.clock.now())))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				for _, c := range []Credentials{token, bearer(secret), {}} {
					id, err := r.Authenticate(t.Context(), c)
					if f, ok := AsFailure(err); ok && f.Kind != FailMissing && f.Kind != FailUnavailable {
						t.Errorf("got %v, %v", id, err)
					}
				}
			}
		})
	}
	for n := range 20 {
		r.clock.forward(lookEvery)
		if n%2 == 0 {
			r.prepare(b)()
		} else {
			r.prepare(a)()
		}
	}
	close(done)
	wg.Wait()
	apply := r.prepare(b)
	r.Close()
	apply() // after the end: nothing starts any more
	r.Close()
}

func TestConfigurations(t *testing.T) {
	issuer := func(change func(*Issuer)) Config {
		var i Issuer
		i.SetDefaults()
		i.Issuer, i.Audiences = "https://login.example.com", []string{"penstock"}
		change(&i)
		return Config{Issuers: []Issuer{i}}
	}
	f := func(want string, c Config) {
		t.Helper()
		err := config.Validate(c)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("", Config{})
	f("", issuer(func(*Issuer) {}))
	f("issuers[0].algorithms[0]: is \"none\": a token without", issuer(func(i *Issuer) { i.Algorithms = []string{"none"} }))
	f("issuers[0].algorithms[1]: is \"HS256\": with a shared secret", issuer(func(i *Issuer) { i.Algorithms = []string{"RS256", "HS256"} }))
	f("issuers[0].algorithms[0]: is \"RSA\": want some of RS256", issuer(func(i *Issuer) { i.Algorithms = []string{"RSA"} }))
	f("issuers[0].algorithms: is empty", issuer(func(i *Issuer) { i.Algorithms = nil }))
	f("issuers[0].audiences: is empty", issuer(func(i *Issuer) { i.Audiences = nil }))
	f("issuers[0].audiences: has an empty", issuer(func(i *Issuer) { i.Audiences = []string{""} }))
	f("issuers[0].issuer: is missing", issuer(func(i *Issuer) { i.Issuer = "" }))
	f("issuers[0].issuer: is \"login.example.com\"", issuer(func(i *Issuer) { i.Issuer = "login.example.com" }))
	f("want https, since", issuer(func(i *Issuer) { i.Issuer = "http://login.example.com" }))
	f("issuers[0].jwks_url: is \"http://192.0.2.1/keys\": want https", issuer(func(i *Issuer) { i.JWKSURL = "http://192.0.2.1/keys" }))
	f("has a user", issuer(func(i *Issuer) { i.Issuer = "https://me:secret@login.example.com" }))
	f("", issuer(func(i *Issuer) { i.Issuer = "http://[::1]:8080/realm" }))
	f("issuers[0].leeway: is 1h", issuer(func(i *Issuer) { i.Leeway = config.Duration(3600e9) }))
	f("issuers[0].roles: says what", issuer(func(i *Issuer) { i.Roles = []RoleMapping{{"a", []string{"view"}}} }))
	f("issuers[0].roles[0].roles: is \"root\"", issuer(func(i *Issuer) { i.RolesClaim, i.Roles = "r", []RoleMapping{{"a", []string{"root"}}} }))
	f("issuers[0].roles[0].value: is missing", issuer(func(i *Issuer) { i.RolesClaim, i.Roles = "r", []RoleMapping{{"", []string{"view"}}} }))
	f("issuers[0].default_roles: is \"x\"", issuer(func(i *Issuer) { i.DefaultRoles = []string{"x"} }))
	f("anonymous_roles: is \"root\"", Config{AnonymousRoles: []string{"root"}})
	two := issuer(func(*Issuer) {})
	two.Issuers = append(two.Issuers, two.Issuers[0])
	f("issuers[1].issuer: is \"https://login.example.com\", which is taken", two)
	f("certificates[0].subject: is empty", Config{Certificates: []CertificateRule{{Roles: []string{"view"}}}})
	f("certificates[0].roles: is empty", Config{Certificates: []CertificateRule{{Subject: "*"}}})
	f("certificates[0].tenant: is \"a b\"", Config{Certificates: []CertificateRule{{Subject: "*", Tenant: "a b", Roles: []string{"view"}}}})
	f("certificates[0].tenants: has 0 bytes", Config{Certificates: []CertificateRule{{Subject: "*", Tenants: []string{""}, Roles: []string{"view"}}}})
}
