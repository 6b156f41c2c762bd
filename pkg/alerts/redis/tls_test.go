package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts/redis"
	"github.com/penstock-otel/penstock/pkg/alerts/redis/redistest"
)

// certificate makes one that is its own authority, in files.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	must(t, os.WriteFile(certFile, text, 0o600))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return certFile, keyFile, pool
}

// A server that wants TLS, a client certificate and a user's password is used as any
// other; its certificate is held against the authorities of the moment.
func TestTLS(t *testing.T) {
	cert, private, pool := certificate(t)
	port := strconv.Itoa(redistest.FreePort(t))
	s := redistest.Start(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", private, "--tls-ca-cert-file", cert, "--tls-auth-clients", "yes")
	s.Do("acl", "setuser", "penstock", "on", ">s3cret-word", "~*", "&*", "+@all")
	pair, err := tls.LoadX509KeyPair(cert, private)
	must(t, err)
	var trusted atomic.Pointer[x509.CertPool]
	trusted.Store(x509.NewCertPool())
	o := redis.Options{Addrs: []string{"127.0.0.1:" + port}, Username: "penstock", Password: "s3cret-word",
		TLS: func() *tls.Config {
			return &tls.Config{RootCAs: trusted.Load(), Certificates: []tls.Certificate{pair}}
		}}
	store := open(t, o)
	if err := store.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("a server of unknown authority: %v", err)
	}
	trusted.Store(pool)
	eventually(t, "the server is trusted", func() bool { return store.Ready(t.Context()) == nil })
	if a := claim(t, store, key); a.Token == 0 {
		t.Errorf("no claim: %+v", a)
	}
	o.Password = "another-word"
	err = open(t, o).Ready(t.Context())
	if err == nil || strings.Contains(err.Error(), "another-word") {
		t.Errorf("a wrong password: %v", err)
	}
	o.TLS = nil
	if err := open(t, o).Ready(t.Context()); err == nil {
		t.Error("plain text was spoken to a server of TLS")
	}
	t.Run("suite", func(t *testing.T) {
		o := o
		o.Password = "s3cret-word"
		o.TLS = func() *tls.Config { return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}} }
		suite(t, o)
	})
}
