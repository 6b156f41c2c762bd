package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/identity"
)

func TestClientsSayWhoTheyAre(t *testing.T) {
	ca := (*authority)(nil).sign(t, "ca", "")
	caFile, _ := ca.files(t)
	crt, key := ca.sign(t, "server", "").files(t)
	clientCrt, clientKey := ca.sign(t, "dash", "").files(t)
	a, secrets := authenticator(t, identity.Config{Certificates: []identity.CertificateRule{{Subject: "dash", Roles: []string{"view"}}}})
	r, _ := guarded(t, Config{TLS: config.TLSServer{CertFile: crt, KeyFile: key, ClientCAFile: caFile}}, a)
	f := func(access Access, want, wantErr string) {
		t.Helper()
		body, err := Get(WithAccess(t.Context(), access), URL(r.Addr(), true), "/api/v1/view")
		if (err == nil) != (wantErr == "") || err == nil && string(body) != want || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%+v: %s %v", access, body, err)
		}
		if text := fmt.Sprintf("%v %+v %v", access, access, err); access.Token != "" && strings.Contains(text, access.Token.Reveal()) {
			t.Errorf("the token is shown: %s", text)
		}
	}
	shown := config.TLSClient{CAFile: caFile, CertFile: clientCrt, KeyFile: clientKey}
	f(Access{TLS: shown}, "cert:dash", "")
	f(Access{TLS: shown, Token: config.Secret(secrets["admin"])}, "key:admin", "")
	f(Access{TLS: shown, Token: config.Secret(secrets["revoked"])}, "", "was revoked")
	f(Access{TLS: config.TLSClient{CertFile: clientCrt, KeyFile: clientKey}}, "", "name that one by --ca-file")
	f(Access{TLS: config.TLSClient{SkipVerify: true, CertFile: clientCrt, KeyFile: clientKey}}, "cert:dash", "")
	f(Access{TLS: config.TLSClient{CAFile: caFile}}, "", "no answer from the admin port")
	f(Access{TLS: config.TLSClient{CAFile: "/nonexistent/ca"}}, "", "no such file")
}

// TestTokensGoToWhoWasAsked has a server that sends its clients on to another.
func TestTokensGoToWhoWasAsked(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("was asked, with %v", r.Header) }))
	defer other.Close()
	one := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer one.Close()
	if body, err := Get(WithAccess(t.Context(), Access{Token: "s3cret"}), one.URL, "/"); err == nil {
		t.Errorf("got %s", body)
	}
}

func TestURL(t *testing.T) {
	f := func(addr string, speaksTLS bool, want string) {
		t.Helper()
		if got := URL(addr, speaksTLS); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	f("127.0.0.1:8080", false, "http://127.0.0.1:8080")
	f(":8080", true, "https://127.0.0.1:8080")
	f("[::]:1", false, "http://[::1]:1")
	f("http://h:1", true, "http://h:1")
	f("https://h", false, "https://h")
	f("h", false, "http://h")
}
