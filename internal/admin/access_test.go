package admin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/prometheus/client_golang/prometheus"
)

// authenticator is a real one, with keys of each role by its name.
func authenticator(t *testing.T, c identity.Config) (*identity.Authenticator, map[string]string) {
	t.Helper()
	secrets := map[string]string{}
	var all []identity.Key
	for _, role := range []string{"ingest", "view", "operate", "admin"} {
		k, secret, err := identity.NewKey(identity.Key{Name: role, Roles: []string{role}, Created: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		all, secrets[role] = append(all, k), secret.Reveal()
	}
	revoked, secret, err := identity.NewKey(identity.Key{Name: "old", Roles: []string{"admin"}, Created: time.Now(), RevokedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	all, secrets["revoked"] = append(all, revoked), secret.Reveal()
	text, err := identity.FormatKeys(all)
	if err != nil {
		t.Fatal(err)
	}
	c.KeysFile = filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(c.KeysFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := identity.New(t.Context(), c, identity.Options{Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a, secrets
}

// denials notes what was not let in.
type denials struct {
	mu  sync.Mutex
	all []Denial
}

func (d *denials) note(_ *http.Request, x Denial) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, x)
}

func (d *denials) last() Denial {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) == 0 {
		return Denial{}
	}
	return d.all[len(d.all)-1]
}

// guarded is a port with a route of each kind.
func guarded(t *testing.T, c Config, a Authenticator) (*role, *denials) {
	d := &denials{}
	r := started(t, Options{Config: c, Auth: a, Denied: d.note, EffectiveConfig: func(io.Writer, string) error { return nil }})
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { text(w, 200, identity.From(r.Context()).Subject) })
	r.Handle("GET /api/v1/view", who)
	r.Handle("POST /api/v1/operate", r.Operator(who))
	r.Handle("POST /api/v1/admin", r.Administrator(who))
	return r, d
}

func TestWhoMayWhat(t *testing.T) {
	a, secrets := authenticator(t, identity.Config{})
	r, d := guarded(t, Config{}, a)
	routes := []struct{ method, path, role string }{
		{"GET", "/", "view"}, {"GET", "/metrics", "view"}, {"GET", "/style.css", "view"}, {"GET", "/api/v1/view", "view"},
		{"GET", "/debug/pprof/", "operate"}, {"POST", "/api/v1/operate", "operate"}, {"POST", "/api/v1/admin", "admin"},
	}
	rank := []string{"ingest", "view", "operate", "admin"}
	for _, x := range routes {
		for _, role := range rank {
			status, body, h := r.ask(x.method, x.path, "Authorization", "Bearer "+secrets[role])
			if slices.Index(rank, role) >= slices.Index(rank, x.role) {
				if status != 200 {
					t.Errorf("%s %s as %s: %d %s", x.method, x.path, role, status, body)
				}
				continue
			}
			var p Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil || status != 403 || h.Get("Content-Type") != "application/problem+json" || !strings.Contains(p.Detail, "needs the role "+x.role) {
				t.Errorf("%s %s as %s: %d %s", x.method, x.path, role, status, body)
			}
			if got := d.last(); got.Kind != DeniedRole || got.Subject != "key:"+role || got.Method != identity.MethodKey || got.Detail != p.Detail {
				t.Errorf("%s %s as %s: told %+v", x.method, x.path, role, got)
			}
		}
		for _, missing := range []bool{true, false} {
			header := []string{"Authorization", "Bearer " + secrets["revoked"]}
			kind, challenge := identity.FailRevoked, `Bearer realm="penstock", error="invalid_token"`
			if missing {
				header, kind, challenge = nil, identity.FailMissing, `Bearer realm="penstock"`
			}
			status, body, h := r.ask(x.method, x.path, header...)
			if status != 401 || h.Get("Content-Type") != "application/problem+json" || !slices.Equal(h.Values("WWW-Authenticate"), []string{challenge}) {
				t.Errorf("%s %s, %s: %d %s %v", x.method, x.path, kind, status, body, h)
			}
			if got := d.last(); got.Kind != kind || strings.Contains(got.Subject+got.Detail+body, secrets["revoked"]) {
				t.Errorf("%s %s: told %+v", x.method, x.path, got)
			}
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/startupz"} {
		for _, header := range [][]string{nil, {"Authorization", "Bearer " + secrets["revoked"]}} {
			if status, _, _ := r.ask(http.MethodGet, path, header...); status != 200 {
				t.Errorf("%s: %d", path, status)
			}
		}
	}
}

func TestCredentialsOfEveryForm(t *testing.T) {
	a, secrets := authenticator(t, identity.Config{})
	r, _ := guarded(t, Config{}, a)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+secrets["view"]))
	for _, header := range [][]string{{"X-Api-Key", secrets["view"]}, {"Authorization", basic}} {
		if status, body, _ := r.ask("GET", "/api/v1/view", header...); status != 200 || body != "key:view" {
			t.Errorf("%s: %d %s", header[0], status, body)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Addr()+"/api/v1/view", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header["Authorization"] = []string{"Bearer " + secrets["view"], "Bearer " + secrets["admin"]}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("two credentials: %d", resp.StatusCode)
	}
	_, _, h := r.ask("GET", "/", "Accept", "text/html,*/*")
	if v := h.Values("WWW-Authenticate"); len(v) != 2 || !strings.HasPrefix(v[0], "Bearer") || !strings.HasPrefix(v[1], "Basic") {
		t.Errorf("a browser is not asked for a key: %q", v)
	}
}

// TestForeignPagesMayNotActWithAKey is a browser that has a key, as Basic does.
// timed notes whether an answer was given a deadline before it was begun.
type timed struct {
	http.ResponseWriter
	set, begun, late bool
}

func (t *timed) SetWriteDeadline(time.Time) error { t.set = true; return nil }

func (t *timed) WriteHeader(code int) {
	t.begun, t.late = true, t.late || !t.set
	t.ResponseWriter.WriteHeader(code)
}

// Who does not read a refusal holds its connection for no longer than who does not
// read an answer: over HTTP/2 it may refuse to take a single byte.
func TestRefusalsHaveADeadline(t *testing.T) {
	a, _ := authenticator(t, identity.Config{})
	r, _ := guarded(t, Config{}, a)
	for _, path := range []string{"/", "/metrics", "/livez", "/api/v1/none", "/none", "/debug/pprof/"} {
		w := &timed{ResponseWriter: httptest.NewRecorder()}
		r.http.Handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if !w.begun || w.late {
			t.Errorf("%s: answered %t, without a deadline %t", path, w.begun, w.late)
		}
	}
}

func TestForeignPagesMayNotActWithAKey(t *testing.T) {
	a, secrets := authenticator(t, identity.Config{})
	r, d := guarded(t, Config{}, a)
	for _, path := range []string{"/api/v1/operate", "/api/v1/admin"} {
		status, _, _ := r.ask("POST", path, "X-Api-Key", secrets["admin"], "Sec-Fetch-Site", "cross-site")
		if status != 403 || d.last().Kind != DeniedOrigin {
			t.Errorf("%s: %d %+v", path, status, d.last())
		}
	}
}

// TestOperateBoundsTheUnproved has requests that a proxy forwarded, which are not
// of this machine.
func TestOperateBoundsTheUnproved(t *testing.T) {
	f := func(mode, key string, want int, kind string) {
		t.Helper()
		a, secrets := authenticator(t, identity.Config{AnonymousRoles: []string{"operate"}})
		r, d := guarded(t, Config{Operate: mode}, a)
		header := []string{"X-Forwarded-For", "192.0.2.1"}
		if key != "" {
			header = append(header, "X-Api-Key", secrets[key])
		}
		status, body, _ := r.ask("POST", "/api/v1/operate", header...)
		if status != want || d.last().Kind != kind {
			t.Errorf("%s as %q: %d %s, told %+v", mode, key, status, body, d.last())
		}
	}
	f(OperateLoopback, "", 403, DeniedOperate)
	f(OperateLoopback, "operate", 200, "")
	f(OperateLoopback, "view", 403, DeniedRole)
	f(OperateAny, "", 200, "")
	f(OperateAny, "view", 403, DeniedRole)
	f(OperateOff, "", 403, DeniedOperate)
	f(OperateOff, "admin", 403, DeniedOperate)
}

func TestMetricsCanBeLeftOpen(t *testing.T) {
	a, secrets := authenticator(t, identity.Config{})
	r, _ := guarded(t, Config{OpenMetrics: true}, a)
	for _, header := range [][]string{nil, {"X-Api-Key", secrets["ingest"]}, {"X-Api-Key", secrets["revoked"]}} {
		if status, _, _ := r.ask("GET", "/metrics", header...); status != 200 {
			t.Errorf("%v: %d", header, status)
		}
	}
	if status, _, _ := r.ask("GET", "/"); status != 401 {
		t.Errorf("the page: %d", status)
	}
}

// TestAnIssuerThatIsAwayIs503 has a token whose issuer nobody answers for.
func TestAnIssuerThatIsAwayIs503(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var i identity.Issuer
	i.SetDefaults()
	i.Issuer, i.Audiences = "http://"+closed.Addr().String(), []string{"penstock"}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	a, _ := authenticator(t, identity.Config{Issuers: []identity.Issuer{i}})
	r, d := guarded(t, Config{}, a)
	e := base64.RawURLEncoding.EncodeToString
	claims, err := json.Marshal(map[string]any{"iss": i.Issuer, "aud": "penstock", "sub": "x", "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	token := e([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + e(claims) + "." + e([]byte("x"))
	status, body, h := r.ask("GET", "/api/v1/view", "Authorization", "Bearer "+token)
	if status != 503 || h.Get("Retry-After") == "" || d.last().Kind != identity.FailUnavailable {
		t.Errorf("%d %s %v %+v", status, body, h, d.last())
	}
}

func TestAPortThatOthersReachWantsToKnowWhoAsks(t *testing.T) {
	a, _ := authenticator(t, identity.Config{})
	open, err := identity.New(t.Context(), identity.Config{AnonymousRoles: []string{"view"}}, identity.Options{Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	f := func(c Config, auth Authenticator, want bool) {
		t.Helper()
		err := c.CheckExposed(auth != nil && auth.Configured())
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "admin.allow_unauthenticated") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	f(Config{Listen: "0.0.0.0:8080"}, nil, false)
	f(Config{Listen: ":8080"}, open, false)
	f(Config{Listen: "10.0.0.1:8080"}, nil, false)
	f(Config{Listen: "host.example:8080"}, nil, false)
	f(Config{Listen: ":8080"}, a, true)
	f(Config{Listen: ":8080", AllowUnauthenticated: true}, nil, true)
	f(Config{Listen: ":8080", TLS: config.TLSServer{ClientCAFile: "x"}}, nil, true)
	f(Config{Listen: ":8080", TLS: config.TLSServer{ClientCAFile: "x", ClientAuth: config.ClientAuthOptional}}, nil, false)
	f(Config{Listen: "127.0.0.1:8080"}, nil, true)
	f(Config{Listen: "[::1]:8080"}, open, true)
	f(Config{Listen: "localhost:8080"}, nil, true)

	_, err = New(Options{Registry: prometheus.NewRegistry(), State: start(t, Options{}).app.State(), Config: Config{Listen: "0.0.0.0:0"}})
	if err == nil || !strings.Contains(err.Error(), "admin.listen is") {
		t.Errorf("started: %v", err)
	}
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// sign makes a certificate for this machine, or an authority when by is nil.
func (by *authority) sign(t *testing.T, name, uri string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = []*url.URL{u}
	}
	parent, signer := c, key
	if by == nil {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) pair() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key, Leaf: a.cert}
}

// files writes the certificate and its key.
func (a *authority) files(t *testing.T) (crt, key string) {
	t.Helper()
	dir := t.TempDir()
	der, err := x509.MarshalECPrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	crt, key = filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	for name, block := range map[string]*pem.Block{crt: {Type: "CERTIFICATE", Bytes: a.cert.Raw}, key: {Type: "EC PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return crt, key
}

func TestACertificateIsACredential(t *testing.T) {
	ca := (*authority)(nil).sign(t, "ca", "")
	caFile, _ := ca.files(t)
	crt, key := ca.sign(t, "server", "").files(t)
	var c identity.Config
	c.Certificates = []identity.CertificateRule{{URI: "spiffe://example/ops/*", Roles: []string{"operate"}}, {Subject: "dash", Roles: []string{"view"}}}
	a, secrets := authenticator(t, c)
	r, d := guarded(t, Config{TLS: config.TLSServer{CertFile: crt, KeyFile: key, ClientCAFile: caFile}}, a)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	f := func(client *authority, method, path, apiKey string, want int, wantBody string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+r.Addr()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if apiKey != "" {
			req.Header.Set("X-Api-Key", apiKey)
		}
		hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{client.pair()}}}}
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want || !strings.Contains(string(body), wantBody) {
			t.Errorf("%s %s: %d %s, want %d", method, path, resp.StatusCode, body, want)
		}
	}
	ops, dash, other := ca.sign(t, "ops-1", "spiffe://example/ops/1"), ca.sign(t, "dash", ""), ca.sign(t, "other", "spiffe://example/agent")
	f(ops, "POST", "/api/v1/operate", "", 200, "cert:ops-1")
	f(ops, "POST", "/api/v1/admin", "", 403, "needs the role admin")
	f(dash, "GET", "/api/v1/view", "", 200, "cert:dash")
	f(dash, "POST", "/api/v1/operate", "", 403, "needs the role operate")
	f(dash, "POST", "/api/v1/operate", secrets["operate"], 200, "key:operate") // the header first
	f(other, "GET", "/api/v1/view", "", 401, "auth.certificates")
	if got := d.last(); got.Kind != identity.FailUnknown || got.Subject != "cert:other" {
		t.Errorf("told %+v", got)
	}
}
