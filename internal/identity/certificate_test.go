package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

// certificate is what a listener hands on once it has verified it.
func certificate(t testing.TB, c x509.Certificate, uris ...string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = append(c.URIs, u)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(77), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestCertificates(t *testing.T) {
	r := started(t, Config{Certificates: []CertificateRule{
		{URI: "spiffe://example/ns/prod/*", DNS: "*.Prod.example.com", Tenant: "prod", Tenants: []string{"shared"}, Roles: []string{"ingest"}},
		{URI: "spiffe://example/*", Tenant: "other", Roles: []string{"ingest"}},
		{Subject: "CN=ops-?,O=Example", Roles: []string{"operate"}},
		{Subject: "agent", Email: "*@EXAMPLE.com", Roles: []string{"view"}},
	}})
	f := func(cert *x509.Certificate, want *Identity) {
		t.Helper()
		for range 2 { // the second time it is remembered
			if want == nil {
				if f := r.fails(FailUnknown, Credentials{Certificate: cert}); !strings.HasPrefix(f.Subject, "cert:") {
					t.Errorf("the subject is %q", f.Subject)
				}
				continue
			}
			got := r.ok(Credentials{Certificate: cert})
			if got.Subject != want.Subject || got.Roles != want.Roles || got.Tenant != want.Tenant || got.Method != MethodCertificate {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
	}
	cn := func(name string, org ...string) x509.Certificate {
		return x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: org}}
	}
	prod := cn("a")
	prod.DNSNames = []string{"x", "Node1.PROD.example.com"}
	f(certificate(t, prod, "spiffe://example/ns/prod/sa/x"), &Identity{Subject: "cert:a", Roles: Ingest, Tenant: "prod"})
	f(certificate(t, prod, "https://x", "spiffe://example/ns/dev/sa/x"), &Identity{Subject: "cert:a", Roles: Ingest, Tenant: "other"})
	f(certificate(t, x509.Certificate{}, "spiffe://example/y"), &Identity{Subject: "cert:spiffe://example/y", Roles: Ingest, Tenant: "other"})
	f(certificate(t, prod), nil)
	f(certificate(t, prod, "spiffe://example.evil/ns/prod/x"), nil)
	f(certificate(t, cn("ops-1", "Example")), &Identity{Subject: "cert:ops-1", Roles: Operate | View})
	f(certificate(t, cn("ops-12", "Example")), nil)
	f(certificate(t, cn("ops-1", "Example", "Evil")), nil)
	f(certificate(t, cn("ops-1,O=Example")), nil) // a comma in a name is escaped
	mail := cn("agent")
	mail.EmailAddresses = []string{"me@Example.COM"}
	f(certificate(t, mail), &Identity{Subject: "cert:agent", Roles: View})
	mail.EmailAddresses = []string{"me@example.com.evil"}
	f(certificate(t, mail), nil)
	f(certificate(t, x509.Certificate{DNSNames: []string{"d"}}), nil)
	f(certificate(t, x509.Certificate{}), nil)

	// A connection may outlive its certificate.
	cert := certificate(t, cn("ops-2", "Example"))
	r.ok(Credentials{Certificate: cert})
	r.clock.forward(2 * time.Hour)
	r.fails(FailExpired, Credentials{Certificate: cert})
}

// Who may choose its common name does not choose its organisation by that.
func TestNoNamePassesForTheRestOfASubject(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		org           []string
		want          bool
	}{
		{"CN=ops-*,O=Example", "ops-1", []string{"Example"}, true},
		{"CN=ops-*,O=Example", "ops-1,O=Example", nil, false},
		{"CN=ops-*,O=Example", "CN=ops-1,O=Example", nil, false},
		{"CN=ops-*,O=Example", "CN=ops-1,O=Example", []string{"Other"}, false},
		{"CN=ops-?,O=Example", "ops-\\,O=Example", nil, false},
		{"CN=ops-*O=Example", "ops-1", []string{"Example"}, true},
		{"CN=ops-*O=Example", "ops-O=Example", nil, false},
		{"*O=Example*", "O=Example", []string{"Other"}, false},
		{"*+O=Example", "x+O=Example", nil, false},
		{"*,O=Example", "x", []string{"Example"}, true},
		{"CN=a=b,O=Example", "a=b", []string{"Example"}, true},
		{"CN=*,O=Example\\, Inc.", "x", []string{"Example, Inc."}, true},
		{"ops-*", "ops-1", []string{"Example"}, true},
		{"*-ops", "x", []string{"y-ops"}, false},
	} {
		cert := certificate(t, x509.Certificate{Subject: pkix.Name{CommonName: c.name, Organization: c.org}})
		r := rule{c: CertificateRule{Subject: c.pattern}}
		if got := r.matches(cert); got != c.want {
			t.Errorf("%q matches %q: %t", c.pattern, cert.Subject, got)
		}
	}
}

func TestHeadersComeBeforeTheCertificate(t *testing.T) {
	k, secret := newKey(t, Key{Name: "k"})
	_, unknown := newKey(t, Key{Name: "x"})
	cert := certificate(t, x509.Certificate{Subject: pkix.Name{CommonName: "proxy"}})
	r := started(t, Config{KeysFile: keysFile(t, k), Certificates: []CertificateRule{{Subject: "proxy", Roles: []string{"view"}}}})
	if id := r.ok(Credentials{Key: secret, Certificate: cert}); id.Subject != "key:k" {
		t.Errorf("got %+v", id)
	}
	r.fails(FailUnknown, Credentials{Key: unknown, Certificate: cert})
	// Without rules a certificate secures the connection and says nothing of who.
	r = started(t, Config{KeysFile: keysFile(t, k)})
	r.fails(FailMissing, Credentials{Certificate: cert})
}

func TestGlob(t *testing.T) {
	f := func(pattern, text string, want bool) {
		t.Helper()
		if glob(pattern, text) != want {
			t.Errorf("glob(%q, %q) is %t", pattern, text, !want)
		}
	}
	f("", "", true)
	f("", "a", false)
	f("*", "", true)
	f("**", "abc", true)
	f("a", "a", true)
	f("a", "ab", false)
	f("b", "ab", false)
	f("?", "", false)
	f("?", "a", true)
	f("a*c", "abcbc", true)
	f("a*c", "abcb", false)
	f("*a*b*", "xxaxxbxx", true)
	f("*a*b", "xxaxxbxx", false)
	f("a?c*", "abc", true)
	f("[a-z]", "a", false)
	f(strings.Repeat("*a", 2000)+"b", strings.Repeat("a", 5000), false) // and in no time
}
