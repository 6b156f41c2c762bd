package config

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// authority signs certificates for the tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// issue writes a certificate and its key to dir/name.crt and dir/name.key.
func (a *authority) issue(t *testing.T, dir, name, subject string) (crt, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: subject},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"penstock.test"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	crt, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	writePEM(t, crt, "CERTIFICATE", der)
	writePEM(t, key, "EC PRIVATE KEY", keyDER)
	return crt, key
}

func (a *authority) file(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	writePEM(t, path, "CERTIFICATE", a.cert.Raw)
	return path
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveTLS starts a real HTTPS server that answers with the client's name.
func serveTLS(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if len(r.TLS.VerifiedChains) > 0 {
			name = r.TLS.VerifiedChains[0][0].Subject.CommonName
		}
		_, _ = io.WriteString(w, r.Proto+" "+name)
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(tls.NewListener(l, cfg)) })
	t.Cleanup(func() { _ = srv.Close(); wg.Wait() })
	return "https://" + l.Addr().String()
}

// ask makes one request on a fresh connection and returns the body and the name
// in the server's certificate.
func ask(t *testing.T, url string, c TLSClient) (body, server string, err error) {
	t.Helper()
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return string(data), resp.TLS.PeerCertificates[0].Subject.CommonName, err
}

func TestMutualTLS(t *testing.T) {
	dir, ca, other := t.TempDir(), newAuthority(t, "ca"), newAuthority(t, "other")
	caFile := ca.file(t, dir, "ca.pem")
	crt, key := ca.issue(t, dir, "server", "server")
	clientCrt, clientKey := ca.issue(t, dir, "client", "client-7")
	strangerCrt, strangerKey := other.issue(t, dir, "stranger", "stranger")
	cfg, err := TLSServer{CertFile: crt, KeyFile: key, ClientCAFile: caFile, MinVersion: "1.3"}.Config(TLSUse{}, "h2", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	url := serveTLS(t, cfg)
	if body, name, err := ask(t, url, TLSClient{CAFile: caFile, CertFile: clientCrt, KeyFile: clientKey}); err != nil || body != "HTTP/2.0 client-7" || name != "server" {
		t.Errorf("a known client gets %q from %q, %v", body, name, err)
	}
	for what, c := range map[string]TLSClient{
		"no certificate":        {CAFile: caFile},
		"a stranger":            {CAFile: caFile, CertFile: strangerCrt, KeyFile: strangerKey},
		"an unknown authority":  {CertFile: clientCrt, KeyFile: clientKey},
		"another server's name": {CAFile: caFile, CertFile: clientCrt, KeyFile: clientKey, ServerName: "example.com"},
	} {
		if body, _, err := ask(t, url, c); err == nil {
			t.Errorf("%s gets %q", what, body)
		}
	}
	if _, _, err := ask(t, url, TLSClient{SkipVerify: true, CertFile: clientCrt, KeyFile: clientKey}); err != nil {
		t.Error(err)
	}
}

// clocked lets a test pass the time between two looks at the files.
func clocked[T any](r *Reread[T]) (pass func()) {
	now := r.now()
	r.now = func() time.Time { return now }
	return func() { now = now.Add(rereadEvery) }
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t, "ca")
	crt, key := ca.issue(t, dir, "server", "first")
	var log bytes.Buffer
	var files TLSFiles
	r, err := openMaterial(crt, key, "", TLSUse{Name: "admin.tls", Logger: slog.New(slog.NewTextHandler(&log, nil)), Files: &files})
	if err != nil {
		t.Fatal(err)
	}
	pass := clocked(r)
	f := func(want, logged string) {
		t.Helper()
		if got := r.Now().cert.Leaf.Subject.CommonName; got != want {
			t.Errorf("serves %q, want %q", got, want)
		}
		if (logged == "") != (log.Len() == 0) || !strings.Contains(log.String(), logged) {
			t.Errorf("logs %q, want %q", log.String(), logged)
		}
		log.Reset()
	}
	touch := func(path string, age time.Duration) {
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	ca.issue(t, dir, "server", "second")
	touch(crt, time.Minute)
	f("first", "") // it looked just now
	pass()
	f("second", "read again")
	pass()
	f("second", "") // nothing changed

	// A certificate without its key: the old pair stays, said once.
	other := t.TempDir()
	third, thirdKey := ca.issue(t, other, "server", "third")
	move(t, third, crt)
	touch(crt, 2*time.Minute)
	pass()
	f("second", "cannot be used")
	pass()
	f("second", "")
	move(t, thirdKey, key)
	touch(key, 2*time.Minute)
	pass()
	f("third", "read again")

	if err := os.Remove(crt); err != nil {
		t.Fatal(err)
	}
	pass()
	f("third", "no such file")
	pass()
	f("third", "") // said once
	if s := files.States(); len(s) != 1 || s[0].Use != "admin.tls" || s[0].Rereads != 2 || s[0].Failures != 2 {
		t.Errorf("state is %+v, want 2 rereads and 2 failures", s)
	}
	ca.issue(t, dir, "server", "fourth")
	pass()
	f("fourth", "read again")
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// A rotated client authority lets the new clients in and the old ones no more,
// with HTTP/2 still offered.
func TestClientAuthoritiesAreReadAgain(t *testing.T) {
	dir, old, next := t.TempDir(), newAuthority(t, "old"), newAuthority(t, "next")
	caFile := old.file(t, dir, "ca.pem")
	crt, key := old.issue(t, dir, "server", "server")
	oldCrt, oldKey := old.issue(t, dir, "old", "old")
	nextCrt, nextKey := next.issue(t, dir, "next", "next")
	cfg, err := TLSServer{CertFile: crt, KeyFile: key, ClientCAFile: caFile}.Config(TLSUse{}, "h2")
	if err != nil {
		t.Fatal(err)
	}
	oldClient, nextClient := TLSClient{SkipVerify: true, CertFile: oldCrt, KeyFile: oldKey}, TLSClient{SkipVerify: true, CertFile: nextCrt, KeyFile: nextKey}
	url := serveTLS(t, cfg)
	if body, _, err := ask(t, url, oldClient); err != nil || body != "HTTP/2.0 old" {
		t.Fatalf("%q, %v", body, err)
	}
	next.file(t, dir, "ca.pem")
	// The server looks every two seconds: wait until it took the new file.
	deadline := time.Now().Add(15 * time.Second)
	for {
		body, _, err := ask(t, url, nextClient)
		if err == nil && body == "HTTP/2.0 next" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new authority is not taken: %q, %v", body, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if body, _, err := ask(t, url, oldClient); err == nil {
		t.Errorf("the old authority's client still gets %q", body)
	}
}

func TestTLSSettingsThatAreRefused(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	server := func(s TLSServer) error { _, err := s.Config(TLSUse{}); return err }
	client := func(c TLSClient) error { _, err := c.Config(); return err }
	dir, ca := t.TempDir(), newAuthority(t, "ca")
	crt, key := ca.issue(t, dir, "a", "a")
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(TLSServer{CertFile: "c"}.Validate(), "needs key_file")
	f(TLSServer{ClientCAFile: "c"}.Validate(), "needs cert_file")
	f(TLSServer{CertFile: "c", KeyFile: "c", ClientAuth: ClientAuthOptional}.Validate(), "client_auth")
	f(TLSClient{KeyFile: "c"}.Validate(), "needs key_file")
	f(TLSClient{Insecure: true, SkipVerify: true}.Validate(), "no effect")
	f(server(TLSServer{CertFile: crt, KeyFile: key, MinVersion: "1.1"}), "want 1.2 or 1.3")
	f(server(TLSServer{CertFile: crt + "x", KeyFile: key}), "no such file")
	f(server(TLSServer{CertFile: key, KeyFile: crt}), "certificate "+key)
	f(server(TLSServer{CertFile: crt, KeyFile: key, ClientCAFile: empty}), "no certificate in PEM form")
	f(client(TLSClient{MinVersion: "2"}), "want 1.2 or 1.3")
	f(client(TLSClient{CAFile: empty}), "no certificate in PEM form")
	f(client(TLSClient{CAFile: empty + "x"}), "no such file")
	f(client(TLSClient{CertFile: empty, KeyFile: key}), "certificate "+empty)
	if cfg, err := (TLSServer{}).Config(TLSUse{}); cfg != nil || err != nil {
		t.Error("plain text has a TLS configuration")
	}
	if cfg, err := (TLSClient{Insecure: true}).Config(); cfg != nil || err != nil {
		t.Error("plain text has a TLS configuration")
	}
	if err := (TLSServer{CertFile: crt, KeyFile: key, ClientCAFile: crt}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (NameValue{}).Validate(); err == nil {
		t.Error("an entry without a name passes")
	}
}
