package broker_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/broker"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an embedded one that also listens.
type server struct{ *embedded.Server }

func (s server) StoreBytes() int64 { return s.MaxStoreBytes() }

func start(t *testing.T, c embedded.Config) server {
	t.Helper()
	c.Dir, c.MaxStoreBytes = t.TempDir(), 64<<20
	s, err := embedded.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server{s}
}

func open(c broker.Config, s broker.Server, patience time.Duration) (string, error) {
	var log bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	q, err := broker.Open(ctx, c, s, "penstock-test", slog.New(slog.NewTextHandler(&log, nil)), nil)
	if err == nil {
		err = q.Close()
	}
	return log.String(), err
}

func TestOpen(t *testing.T) {
	in := start(t, embedded.Config{SyncAlways: true, Listen: "127.0.0.1:0", Token: "s3cret", MonitorListen: "127.0.0.1:0"})
	c := broker.DefaultConfig()
	if log, err := open(c, in, time.Minute); err != nil || !strings.Contains(log, "embedded=true") || !strings.Contains(log, "syncs before it confirms") {
		t.Errorf("inside the process: %v\n%s", err, log)
	}
	c.URL, c.Token, c.MonitorURLs = in.ClientURL(), "s3cret", []string{in.MonitorURL()}
	if log, err := open(c, nil, time.Minute); err != nil || !strings.Contains(log, "embedded=false") || strings.Contains(log, "s3cret") {
		t.Errorf("over TCP: %v\n%s", err, log)
	}
}

func TestOpenErrors(t *testing.T) {
	lazy := start(t, embedded.Config{Listen: "127.0.0.1:0", Token: "s3cret"})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	f := func(edit func(*broker.Config), s broker.Server, want string) {
		t.Helper()
		c := broker.DefaultConfig()
		edit(&c)
		_, err := open(c, s, 700*time.Millisecond)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("shows a secret: %v", err)
		}
	}
	f(func(*broker.Config) {}, nil, "queue.url is empty: this role needs the address of the queue, such as nats://HOST:4222")
	f(func(c *broker.Config) { c.URL = "nats://user:hunter2@" + nobody }, nil, "open the queue: ")
	f(func(c *broker.Config) { c.URL, c.Token = lazy.ClientURL(), "hunter2" }, nil, "open the queue: ")
	f(func(c *broker.Config) { c.URL, c.Token = lazy.ClientURL(), "s3cret" }, nil, "queue.allow_unverified")
	f(func(*broker.Config) {}, lazy, "confirms before it syncs")
	f(func(c *broker.Config) { c.URL, c.TLS.CAFile = "tls://"+nobody, "/does/not/exist" }, nil, "queue.tls: certificate authorities")
}

// TLS is spoken as soon as anything in the configuration asks for it.
func TestOpenOverTLS(t *testing.T) {
	ca, pair := certificate(t)
	s := start(t, embedded.Config{SyncAlways: true, Listen: "127.0.0.1:0", Token: "s3cret", TLS: &tls.Config{Certificates: []tls.Certificate{pair}}})
	f := func(url string, c config.TLSClient, want string) {
		t.Helper()
		b := broker.DefaultConfig()
		b.URL, b.TLS, b.Token, b.AllowUnverified = url+s.Addr().String(), c, "s3cret", true
		patience := time.Minute
		if want != "" { // the client tries until then
			patience = 700 * time.Millisecond
		}
		_, err := open(b, nil, patience)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s with %+v: got %v, want %q", url, c, err, want)
		}
	}
	f("tls://", config.TLSClient{CAFile: ca}, "")
	f("nats://", config.TLSClient{CAFile: ca}, "")
	f("nats://", config.TLSClient{SkipVerify: true}, "")
	f("nats://", config.TLSClient{CAFile: ca, ServerName: "elsewhere"}, "elsewhere")
	f("nats://", config.TLSClient{}, "certificate")
}

// certificate makes one for 127.0.0.1, signed by itself.
func certificate(t *testing.T) (caFile string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return caFile, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

type sized struct{ broker.Server }

func (sized) StoreBytes() int64 { return 77 }

func TestBudget(t *testing.T) {
	f := func(configured config.ByteSize, s broker.Server, want int64) {
		t.Helper()
		if got := (broker.Config{MaxBytes: configured}).Budget(s); got != want {
			t.Errorf("%s gives %d, want %d", configured, got, want)
		}
	}
	f(0, sized{}, 77)
	f(5, sized{}, 77) // the server was started with what is configured
	f(0, nil, broker.DefaultExternalBytes)
	f(5, nil, 5)
}

func TestValidate(t *testing.T) {
	f := func(want string, edit func(*broker.Config)) {
		t.Helper()
		c := broker.DefaultConfig()
		edit(&c)
		err := config.Validate(c)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	external := func(edit func(*broker.Config)) func(*broker.Config) {
		return func(c *broker.Config) { c.URL = "nats://a:4222"; edit(c) }
	}
	f("", func(*broker.Config) {})
	f("", external(func(c *broker.Config) { c.Dir = "" }))
	f("", external(func(c *broker.Config) { c.Durability = "replicated" }))
	f("", external(func(c *broker.Config) { c.Durability, c.Replicas = "replicated", 3 }))
	f("", external(func(c *broker.Config) { c.User, c.Password = "u", "p" }))
	f("dir: and url are both empty: give the address of a NATS server or a directory for the embedded one", func(c *broker.Config) { c.Dir = "" })
	f(`durability: is "perhaps": want strict, process or replicated`, func(c *broker.Config) { c.Durability = "perhaps" })
	f("durability: is replicated: it needs an external cluster in url", func(c *broker.Config) { c.Durability = "replicated" })
	f("replicas: is 3: the embedded server keeps one copy", func(c *broker.Config) { c.Replicas = 3 })
	const wide = ": whoever reaches it can read and purge all of the queue; set token, or user with password, or listen_tls with client_ca_file and without client_auth: optional"
	f(`listen: is ":4222"`+wide, func(c *broker.Config) { c.Listen = ":4222" })
	f(`listen: is "0.0.0.0:4222"`+wide, func(c *broker.Config) { c.Listen = "0.0.0.0:4222" })
	for _, local := range []string{"127.0.0.1:4222", "localhost:4222", "[::1]:4222"} {
		f("", func(c *broker.Config) { c.Listen = local })
	}
	f("", func(c *broker.Config) { c.Listen, c.Token = "0.0.0.0:4222", "s3cret" })
	certificates := config.TLSServer{CertFile: "c", KeyFile: "k", ClientCAFile: "a"}
	f("", func(c *broker.Config) { c.Listen, c.ListenTLS = "0.0.0.0:4222", certificates })
	certificates.ClientAuth = config.ClientAuthOptional // anybody may go without
	f(`listen: is "0.0.0.0:4222"`+wide, func(c *broker.Config) { c.Listen, c.ListenTLS = "0.0.0.0:4222", certificates })
	f("listen: belongs to the embedded server, and url names an external one", external(func(c *broker.Config) { c.Listen = ":1" }))
	f("monitor_listen: belongs to the embedded server, and url names an external one; monitor_urls are the addresses of its own",
		external(func(c *broker.Config) { c.MonitorListen = ":1" }))
	f("replicas: is 2: durability replicated needs at least 3, or 0 for that", external(func(c *broker.Config) { c.Durability, c.Replicas = "replicated", 2 }))
	f("creds_file: token, and user with password are different ways to log in: choose one", external(func(c *broker.Config) { c.Token, c.CredsFile = "t", "f" }))
	f("max_bytes: is -1B: want 0 or more", func(c *broker.Config) { c.MaxBytes = -1 })
	f("shards: is 0: want 1 to 64", func(c *broker.Config) { c.Shards = 0 })
	f("shards: is 65: want 1 to 64", func(c *broker.Config) { c.Shards = 65 })
	f("replicas: is 6: want 0 to 5", external(func(c *broker.Config) { c.Replicas = 6 }))
}
