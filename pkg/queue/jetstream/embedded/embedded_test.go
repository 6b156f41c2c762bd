package embedded

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

const holdDir = "PENSTOCK_TEST_HOLD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdDir); dir != "" {
		hold(dir)
	}
	goleak.VerifyTestMain(m)
}

// hold is a second process that has the directory until its stdin closes.
func hold(dir string) {
	s, err := Start(context.Background(), Config{Dir: dir, MaxStoreBytes: 1 << 20})
	fmt.Println("held", err)
	if err == nil {
		_, _ = io.Copy(io.Discard, os.Stdin)
		err = s.Shutdown(context.Background())
	}
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

func start(t *testing.T, c Config) *Server {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	if c.MaxStoreBytes == 0 {
		c.MaxStoreBytes = 1 << 30
	}
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	return s
}

func shutdown(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func client(t *testing.T, url string, options ...nats.Option) (*nats.Conn, error) {
	t.Helper()
	nc, err := nats.Connect(url, append(options, nats.NoReconnect(), nats.Timeout(5*time.Second))...)
	if err == nil {
		t.Cleanup(nc.Close)
	}
	return nc, err
}

func inside(t *testing.T, s *Server) jetstream.JetStream {
	t.Helper()
	nc, err := client(t, "", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestValidate(t *testing.T) {
	ok := Config{Dir: "d", MaxStoreBytes: 1}
	for _, c := range []struct {
		set  func(*Config)
		want string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Dir = "" }, "dir is required"},
		{func(c *Config) { c.MaxStoreBytes = 0 }, "max store bytes"},
		{func(c *Config) { c.MaxPayload = 1 }, "max payload"},
		{func(c *Config) { c.MaxPayload = 65 << 20 }, "max payload"},
		{func(c *Config) { c.Listen = "nowhere" }, "listen"},
		{func(c *Config) { c.MonitorListen = "127.0.0.1:99999" }, "monitor listen"},
		{func(c *Config) { c.Listen, c.Token, c.User, c.Password = "127.0.0.1:0", "a", "b", "c" }, "choose one"},
		{func(c *Config) { c.Listen, c.User = "127.0.0.1:0", "b" }, "together"},
		{func(c *Config) { c.Token = "a" }, "without listen"},
		{func(c *Config) { c.ReadyTimeout = -1 }, "ready timeout"},
	} {
		conf := ok
		c.set(&conf)
		err := conf.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", conf, err, c.want)
		}
	}
	if _, err := Start(t.Context(), Config{}); err == nil {
		t.Error("started without anything")
	}
}

// TestListeners: inside the process without password, over TCP with it.
func TestListeners(t *testing.T) {
	cert, pool := selfSigned(t)
	for _, c := range []struct {
		name  string
		c     Config
		right []nats.Option
		wrong []nats.Option
	}{
		{"token", Config{Token: "secret"}, []nats.Option{nats.Token("secret")}, []nats.Option{nats.Token("guess")}},
		{"user", Config{User: "u", Password: "p"}, []nats.Option{nats.UserInfo("u", "p")}, []nats.Option{nats.UserInfo("u", "q")}},
		{"tls", Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, []nats.Option{nats.Secure(&tls.Config{RootCAs: pool})}, []nats.Option{nats.Secure(&tls.Config{})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.c.Listen, c.c.MonitorListen = "127.0.0.1:0", "127.0.0.1:0"
			s := start(t, c.c)
			if _, err := inside(t, s).AccountInfo(t.Context()); err != nil {
				t.Fatalf("inside the process: %v", err)
			}
			if _, err := client(t, s.ClientURL(), c.right...); err != nil {
				t.Fatalf("%s: %v", s.ClientURL(), err)
			}
			if _, err := client(t, s.ClientURL(), c.wrong...); err == nil {
				t.Fatal("a stranger is let in")
			}
			resp, err := http.Get(s.MonitorURL() + "/varz")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", s.MonitorURL(), resp.Status)
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
	t.Run("none", func(t *testing.T) {
		s := start(t, Config{SyncAlways: true, MaxStoreBytes: 123 << 20})
		if s.Addr() != nil || s.ClientURL() != "" || s.MonitorURL() != "" {
			t.Fatalf("listens at %v, %q, %q", s.Addr(), s.ClientURL(), s.MonitorURL())
		}
		if !s.SyncAlways() || s.MaxStoreBytes() != 123<<20 || !filepath.IsAbs(s.Dir()) {
			t.Fatalf("sync always %t, max store %d, dir %s", s.SyncAlways(), s.MaxStoreBytes(), s.Dir())
		}
	})
	t.Run("port in use", func(t *testing.T) {
		s := start(t, Config{Listen: "127.0.0.1:0"})
		_, err := Start(t.Context(), Config{Dir: t.TempDir(), MaxStoreBytes: 1 << 20, Listen: s.Addr().String()})
		if err == nil || !strings.Contains(err.Error(), s.Addr().String()) {
			t.Fatalf("error is %v", err)
		}
	})
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestSecondProcess is refused and told who has the directory, until that one
// ends.
func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), holdDir+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held <nil>\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	_, err = Start(t.Context(), Config{Dir: dir, MaxStoreBytes: 1 << 20})
	if err == nil || !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(cmd.Process.Pid)) {
		t.Fatalf("error is %v, want one with process %d", err, cmd.Process.Pid)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	start(t, Config{Dir: dir})
}

func TestWrongPaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	lockIsDir := filepath.Join(dir, "lockisdir")
	if err := os.MkdirAll(filepath.Join(lockIsDir, lockName), 0o700); err != nil {
		t.Fatal(err)
	}
	storeIsFile := filepath.Join(dir, "storeisfile")
	if err := os.MkdirAll(storeIsFile, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(storeIsFile, "jetstream"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below"), lockIsDir, storeIsFile} {
		_, err := Start(t.Context(), Config{Dir: path, MaxStoreBytes: 1 << 20})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := DefaultMaxStore(filepath.Join(file, "below")); err == nil {
		t.Error("space below a file")
	}
}

func TestSpace(t *testing.T) {
	dir := t.TempDir()
	n, err := DefaultMaxStore(filepath.Join(dir, "not", "yet"))
	if err != nil || n <= 0 || n > MaxDefaultStore {
		t.Fatalf("default %d, %v", n, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), make([]byte, 12345), 0o600); err != nil {
		t.Fatal(err)
	}
	free, used, err := space(dir)
	if err != nil || used != 12345 || free <= 0 {
		t.Fatalf("%d free, %d used, %v", free, used, err)
	}
	if got := share(100, 50); got != 120 {
		t.Fatalf("share %d", got)
	}
	_, err = Start(t.Context(), Config{Dir: dir, MaxStoreBytes: 1 << 60})
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(1<<60)) || !strings.Contains(err.Error(), "80 %") {
		t.Fatalf("error is %v", err)
	}
	start(t, Config{Dir: dir}) // the failed start gave the directory free
}

// TestSpaceTaken: a store that holds streams starts when other data has taken
// the space, and says so; what is in it can be read. A new one is refused.
func TestSpaceTaken(t *testing.T) {
	var logged logBuffer
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	shutdown(t, s)
	const tooMuch = 1 << 60
	if _, err := Start(t.Context(), Config{Dir: dir, MaxStoreBytes: tooMuch}); err == nil || !strings.Contains(err.Error(), "80 %") {
		t.Fatalf("a store without streams: %v", err)
	}
	s = start(t, Config{Dir: dir})
	js := inside(t, s)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	shutdown(t, s)

	s = start(t, Config{Dir: dir, MaxStoreBytes: tooMuch, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	st, err := inside(t, s).Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := st.GetMsg(t.Context(), 1); err != nil || string(m.Data) != "kept" {
		t.Fatalf("%+v, %v", m, err)
	}
	for _, want := range []string{"level=WARN", "max_bytes=" + strconv.Itoa(tooMuch), "free=", "used=", "limit=", "streams=1", dir} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("no %s in %s", want, logged.String())
		}
	}
}

// TestRestart keeps what is stored; clients inside the process come back.
func TestRestart(t *testing.T) {
	var logged logBuffer
	s := start(t, Config{SyncAlways: true, Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.ReconnectWait(10*time.Millisecond), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if err := s.Healthy(); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Restart(ended); !errors.Is(err, context.Canceled) {
		t.Fatalf("restart without time: %v", err)
	}
	if err := s.Healthy(); !errors.Is(err, ErrStopped) {
		t.Fatalf("healthy after a failed restart: %v", err)
	}
	if _, err := s.InProcessConn(); !errors.Is(err, ErrStopped) {
		t.Fatalf("connected to a stopped server: %v", err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		st, err := js.Stream(t.Context(), "S")
		if err == nil {
			if m, err := st.GetMsg(t.Context(), 1); err != nil || string(m.Data) != "kept" {
				t.Fatalf("%+v, %v", m, err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	shutdown(t, s)
	shutdown(t, s)
	if err := s.Restart(t.Context()); !errors.Is(err, ErrStopped) {
		t.Fatalf("restart after shutdown: %v", err)
	}
	if s.ClientURL() != "" || s.MonitorURL() != "" {
		t.Fatal("a stopped server has addresses")
	}
	if !strings.Contains(logged.String(), "level=DEBUG") || strings.Contains(logged.String(), "level=INFO") {
		t.Fatalf("log: %s", logged.String())
	}
}

// TestUnhealthy: a stream whose files are taken away cannot be recovered, and
// that is told.
func TestUnhealthy(t *testing.T) {
	s := start(t, Config{})
	js := inside(t, s)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.Dir(), "jetstream", "$G", "streams", "LOST"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Healthy(); err == nil || !strings.Contains(err.Error(), "LOST") || !strings.Contains(err.Error(), s.Dir()) {
		t.Fatalf("error is %v", err)
	}
}

// TestHealthyWhileMaking: streams under way are no trouble, nor traces of lost
// ones.
func TestHealthyWhileMaking(t *testing.T) {
	s := start(t, Config{SyncAlways: true})
	js := inside(t, s)
	made := make(chan error, 1)
	go func() { // received below
		for i := range 20 {
			name := fmt.Sprintf("S%d", i)
			if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}}); err != nil {
				made <- err
				return
			}
		}
		made <- nil
	}()
	for {
		if err := s.Healthy(); err != nil {
			t.Error(err)
		}
		if dir := s.StreamDir("S0"); dir != "" {
			t.Errorf("%s is of this start", dir)
		}
		select {
		case err := <-made:
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if dir := s.StreamDir("S0"); dir == "" || s.StreamDir("S20") != "" {
				t.Fatalf("directories %q, %q", dir, s.StreamDir("S20"))
			}
			return
		default:
		}
	}
}

func TestShutdownDeadline(t *testing.T) {
	s := start(t, Config{})
	s.turn.Lock() // as if a restart were under way
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	s.turn.Unlock()
}

func TestLogger(t *testing.T) {
	var out logBuffer
	l := newLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	l.Noticef("notice %d", 1)
	l.Warnf("warn %d", 2)
	l.Errorf("error %d", 3)
	l.Debugf("debug %d", 4)
	l.Tracef("trace %d", 5)
	l.Fatalf("fatal %d", 6)
	l.Fatalf("fatal %d", 7)
	for _, want := range []string{"DEBUG msg=\"notice 1\"", "WARN msg=\"warn 2\"", "ERROR msg=\"error 3\"", "DEBUG msg=\"debug 4\"", "ERROR msg=\"fatal 6\"", "fatal 7"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "trace") {
		t.Error("traces hold payloads and must not be logged")
	}
	if err := <-l.fatal; err.Error() != "fatal 6" {
		t.Errorf("cause is %v", err)
	}
	if l.lastNotice() != "notice 1" {
		t.Errorf("last notice %q", l.lastNotice())
	}
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestStartInterrupted: the directory is free again when what was started is
// gone, not before.
func TestStartInterrupted(t *testing.T) {
	dir := t.TempDir()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if _, err := Start(ended, Config{Dir: dir, MaxStoreBytes: 1 << 20}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Fatalf("error is %v", err)
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		s, err := Start(t.Context(), Config{Dir: dir, MaxStoreBytes: 1 << 20})
		if err == nil {
			shutdown(t, s)
			return
		}
		if !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(os.Getpid())) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestRestartInterrupted(t *testing.T) {
	s := start(t, Config{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if err := s.Restart(ended); !errors.Is(err, context.Canceled) {
			t.Fatalf("error is %v", err)
		}
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Healthy(); err != nil {
		t.Fatal(err)
	}
}
