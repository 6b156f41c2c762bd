package config

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestSessionsDoNotOutliveTheirAuthority: a client that resumes carries over the
// certificate of its first handshake and shows none, so that the authorities of
// now must judge that one.
func TestSessionsDoNotOutliveTheirAuthority(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, auth := range []string{ClientAuthRequire, ClientAuthOptional} {
			t.Run(tls.VersionName(version)+" "+auth, func(t *testing.T) { resume(t, version, auth) })
		}
	}
}

func resume(t *testing.T, version uint16, auth string) {
	dir, old, next := t.TempDir(), newAuthority(t, "old"), newAuthority(t, "next")
	caFile := old.file(t, dir, "ca.pem")
	crt, key := old.issue(t, dir, "server", "server")
	oldCrt, oldKey := old.issue(t, dir, "old", "old")
	nextCrt, nextKey := next.issue(t, dir, "next", "next")
	cfg, err := TLSServer{CertFile: crt, KeyFile: key, ClientCAFile: caFile, ClientAuth: auth}.Config(TLSUse{}, "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	url := serveTLS(t, cfg)

	client, err := TLSClient{SkipVerify: true, CertFile: oldCrt, KeyFile: oldKey}.Config()
	if err != nil {
		t.Fatal(err)
	}
	client = client.Clone()
	client.MaxVersion, client.ClientSessionCache = version, tls.NewLRUClientSessionCache(4)
	get := func() (body string, resumed bool, err error) {
		tr := &http.Transport{TLSClientConfig: client, DisableKeepAlives: true}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get(url)
		if err != nil {
			return "", false, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), resp.TLS.DidResume, err
	}
	if body, _, err := get(); err != nil || body != "HTTP/1.1 old" {
		t.Fatalf("%q, %v", body, err)
	}
	// The control: as long as the authority stands, the session is resumed.
	if body, resumed, err := get(); err != nil || !resumed || body != "HTTP/1.1 old" {
		t.Fatalf("resumed %v: %q, %v", resumed, body, err)
	}
	next.file(t, dir, "ca.pem")
	eventually(t, "the new authority is taken", func() bool {
		body, _, err := ask(t, url, TLSClient{SkipVerify: true, CertFile: nextCrt, KeyFile: nextKey})
		return err == nil && strings.HasSuffix(body, " next")
	})
	if body, resumed, err := get(); err == nil {
		t.Errorf("its authority was removed, and a client gets %q (resumed: %v)", body, resumed)
	}
	// Both stand again: nothing but the authority was in the way.
	if body, _, err := ask(t, url, TLSClient{SkipVerify: true}); (err == nil) != (auth == ClientAuthOptional) {
		t.Errorf("without a certificate: %q, %v", body, err)
	}
}

// One listener for certificates and tokens: who shows a certificate is verified,
// who shows none gets in as nobody.
func TestOptionalClientCertificate(t *testing.T) {
	dir, ca, other := t.TempDir(), newAuthority(t, "ca"), newAuthority(t, "other")
	caFile := ca.file(t, dir, "ca.pem")
	crt, key := ca.issue(t, dir, "server", "server")
	knownCrt, knownKey := ca.issue(t, dir, "known", "known")
	strangerCrt, strangerKey := other.issue(t, dir, "stranger", "stranger")
	s := TLSServer{CertFile: crt, KeyFile: key, ClientCAFile: caFile, ClientAuth: ClientAuthOptional}
	if s.RequiresCertificate() {
		t.Error("it says that it requires one")
	}
	cfg, err := s.Config(TLSUse{}, "h2")
	if err != nil {
		t.Fatal(err)
	}
	url := serveTLS(t, cfg)
	f := func(c TLSClient, want string) {
		t.Helper()
		c.CAFile = caFile
		if body, _, err := ask(t, url, c); (err == nil) != (want != "") || body != want {
			t.Errorf("got %q, %v, want %q", body, err, want)
		}
	}
	f(TLSClient{}, "HTTP/2.0 nobody")
	f(TLSClient{CertFile: knownCrt, KeyFile: knownKey}, "HTTP/2.0 known")
	f(TLSClient{CertFile: strangerCrt, KeyFile: strangerKey}, "")
}

// The authorities of a client change without a restart.
func TestAuthoritiesOfAClientAreReadAgain(t *testing.T) {
	dir, old, next := t.TempDir(), newAuthority(t, "old"), newAuthority(t, "next")
	crt, key := next.issue(t, dir, "server", "server")
	cfg, err := TLSServer{CertFile: crt, KeyFile: key}.Config(TLSUse{}, "h2")
	if err != nil {
		t.Fatal(err)
	}
	url := serveTLS(t, cfg)
	var files TLSFiles
	source, err := TLSClient{CAFile: old.file(t, dir, "ca.pem")}.Open(TLSUse{Name: "destinations.a.tls", Files: &files})
	if err != nil {
		t.Fatal(err)
	}
	pass := clocked(source.files)
	get := func() error {
		tr := &http.Transport{TLSClientConfig: source.Config().Clone(), DisableKeepAlives: true}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get(url)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	if err := get(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server of an unknown authority: %v", err)
	}
	before := source.Config()
	if source.Config() != before {
		t.Error("nothing changed, and the configuration is another")
	}
	next.file(t, dir, "ca.pem")
	pass()
	if err := get(); err != nil {
		t.Error(err)
	}
	if source.Config() == before || source.RootCAs() == before.RootCAs {
		t.Error("the authorities changed, and the configuration is the same")
	}
	if s := files.States(); len(s) != 1 || s[0].Rereads != 1 || len(s[0].Files) != 1 || s[0].Files[0].Path != dir+"/ca.pem" {
		t.Errorf("state is %+v", s)
	}
	var none *TLSSource
	if none.Config() != nil || none.RootCAs() != nil {
		t.Error("plain text has a TLS configuration")
	}
}
