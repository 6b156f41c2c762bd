package role

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/config"
)

// selfSigned writes a certificate for 127.0.0.1 that is its own authority.
func selfSigned(t *testing.T, dir string, expires time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Unix(0, 0), NotAfter: expires,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// TestExpiryIsTrueAcrossRereads, which a scrape alone brings about.
func TestExpiryIsTrueAcrossRereads(t *testing.T) {
	first, second := time.Unix(2e9, 0), time.Unix(3e9, 0)
	dir := t.TempDir()
	certFile, keyFile := selfSigned(t, dir, first)
	var files config.TLSFiles
	server := config.TLSServer{CertFile: certFile, KeyFile: keyFile, ClientCAFile: certFile}
	if _, err := server.Config(config.TLSUse{Name: "admin.tls", Files: &files}); err != nil {
		t.Fatal(err)
	}
	client := config.TLSClient{CAFile: certFile}
	if _, err := client.Open(config.TLSUse{Name: "destinations.a.tls", Files: &files}); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(newCertificates(&files))
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	const expiry = "penstock_tls_certificate_expiry_timestamp_seconds"
	want := func(at time.Time, rereads, failures int) string {
		text := "# HELP " + expiry + " When the first certificate expires of a file in use: a server's or client's chain, or authorities. The use is a key of the configuration.\n# TYPE " + expiry + " gauge\n" +
			"# HELP penstock_tls_rereads_total Times that changed certificate files were taken into use.\n# TYPE penstock_tls_rereads_total counter\n" +
			"# HELP penstock_tls_reread_failures_total Times that changed certificate files could not be used; the ones before stay in use.\n# TYPE penstock_tls_reread_failures_total counter\n"
		for _, use := range []string{"admin.tls", "destinations.a.tls"} {
			text += fmt.Sprintf("%s{file=%q,use=%q} %d\n", expiry, certFile, use, at.Unix())
			text += fmt.Sprintf("penstock_tls_rereads_total{use=%q} %d\n", use, rereads)
			text += fmt.Sprintf("penstock_tls_reread_failures_total{use=%q} %d\n", use, failures)
		}
		return text
	}
	f := func(want string) {
		t.Helper()
		var err error
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if err = testutil.GatherAndCompare(reg, strings.NewReader(want)); err == nil {
				return
			}
		}
		t.Error(err)
	}
	f(want(first, 0, 0))
	selfSigned(t, dir, second)
	f(want(second, 1, 0))
	if err := os.WriteFile(certFile, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(want(second, 1, 1))
}

func TestExpiryIsSaidOnceADay(t *testing.T) {
	now := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	certFile, keyFile := selfSigned(t, dir, now.Add(15*24*time.Hour))
	var files config.TLSFiles
	c, err := config.TLSServer{CertFile: certFile, KeyFile: keyFile}.Config(config.TLSUse{Name: "gateway.grpc.tls", Files: &files})
	if err != nil {
		t.Fatal(err)
	}
	var log buffer
	w := &expiryWarner{files: &files, log: slog.New(slog.NewTextHandler(&log, nil)), said: map[[2]string]time.Time{}}
	lines := 0
	f := func(at time.Duration, want ...string) {
		t.Helper()
		w.look(now.Add(at))
		all := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		got := ""
		if log.String() != "" && len(all) > lines {
			lines, got = len(all), all[len(all)-1]
		}
		if (got == "") != (want == nil) {
			t.Errorf("after %s it says %q, want %q", at, got, want)
		}
		for _, s := range want {
			if !strings.Contains(got, s) {
				t.Errorf("after %s it says %q, want %q", at, got, s)
			}
		}
	}
	f(0)
	f(25*time.Hour, "expires soon", "use=gateway.grpc.tls", "days_left=13", certFile)
	f(26 * time.Hour)
	f(48 * time.Hour)
	f(49*time.Hour, "expires soon", "days_left=12")
	f(15*24*time.Hour, "has expired")
	selfSigned(t, dir, now.Add(90*24*time.Hour))
	for end := time.Now().Add(30 * time.Second); files.States()[0].Rereads == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
	}
	f(16 * 24 * time.Hour)
	f(80*24*time.Hour, "expires soon")
	if got, err := c.GetCertificate(&tls.ClientHelloInfo{}); err != nil || !got.Leaf.NotAfter.Equal(now.Add(90*24*time.Hour)) {
		t.Errorf("a handshake gets %v, %v", got, err)
	}
}
