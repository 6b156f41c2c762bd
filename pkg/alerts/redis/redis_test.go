package redis_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
	"github.com/penstock-otel/penstock/pkg/alerts/redis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a redis-server of this test, on loopback, without a file.
type server struct {
	t    testing.TB
	addr string
	args []string
	cmd  *exec.Cmd
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func serve(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, addr: freeAddr(t), args: args}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command("redis-server", append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.t.TempDir(), "--loglevel", "warning"}, s.args...)...)
	s.cmd.Stderr, s.cmd.Stdout = os.Stderr, os.Stderr
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("%v: install Debian's redis-server", err)
	}
	c := s.client()
	defer c.Close()
	for range 1000 {
		if c.Ping(context.Background()).Err() == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatal("redis-server does not answer after 20 s")
}

func (s *server) client() *goredis.Client {
	return goredis.NewClient(&goredis.Options{Addr: s.addr, MaxRetries: -1})
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		_ = s.cmd.Wait()         // by that signal
		s.cmd = nil
	}
}

func open(t testing.TB, o redis.Options) *redis.Store {
	t.Helper()
	s, err := redis.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

func TestStore(t *testing.T) {
	srv := serve(t)
	n := 0
	alertstest.Run(t, func(t *testing.T) alerts.Store {
		n++
		return open(t, redis.Options{Addrs: []string{srv.addr}, Prefix: fmt.Sprintf("p%d", n)})
	})
}

// TestCluster: every script has its keys in one slot, which a cluster of one node
// insists on too.
func TestCluster(t *testing.T) {
	srv := serve(t, "--cluster-enabled", "yes")
	c := srv.client()
	defer c.Close()
	if err := c.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if info, err := c.ClusterInfo(t.Context()).Result(); err == nil && strings.Contains(info, "cluster_state:ok") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	n := 0
	alertstest.Run(t, func(t *testing.T) alerts.Store {
		n++
		return open(t, redis.Options{Addrs: []string{srv.addr}, Cluster: true, Prefix: fmt.Sprintf("p%d", n)})
	})
}

var (
	key  = alerts.ClaimKey{Tenant: "blue", Group: "g", Receiver: "r"}
	want = alerts.Want{Firing: []alerts.Key{"a"}, Repeat: time.Hour, SendResolved: true}
)

// What the server loses is given again, once; the claim of before records nothing.
func TestWiped(t *testing.T) {
	srv := serve(t)
	s := open(t, redis.Options{Addrs: []string{srv.addr}})
	first, err := s.Claim(t.Context(), key, want, time.Hour)
	if err != nil || first.Verdict != alerts.Go {
		t.Fatalf("%+v, %v", first, err)
	}
	if err := s.Restore(t.Context(), key, alerts.Sent{Firing: want.Firing, At: time.Now(), Token: 9}); err != nil {
		t.Fatal(err)
	}
	c := srv.client()
	defer c.Close()
	for _, wipe := range []func(){
		func() {
			if err := c.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		},
		func() { srv.kill(); srv.start() },
	} {
		wipe()
		var a alerts.Answer
		for range 500 { // the pool has connections that are gone
			if a, err = s.Claim(t.Context(), key, want, time.Hour); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil || a.Verdict != alerts.Go {
			t.Fatalf("after a loss: %+v, %v", a, err)
		}
		if a, err = s.Claim(t.Context(), key, want, time.Hour); err != nil || a.Verdict != alerts.Held {
			t.Errorf("a second time: %+v, %v", a, err)
		}
		if err := s.Commit(t.Context(), key, 9, alerts.Sent{}); err != alerts.ErrLost {
			t.Errorf("a claim of before: %v", err)
		}
	}
}

// A server that hangs, or is not there, is an error and not a wait: the context of
// the caller is kept, and without one the store's own bounds.
func TestHangs(t *testing.T) {
	srv := serve(t)
	s := open(t, redis.Options{Addrs: []string{srv.addr}})
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.signal(syscall.SIGSTOP)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := s.Claim(t.Context(), key, want, time.Hour); err == nil {
				t.Error("a server that is stopped has answered")
			}
		})
	}
	wg.Wait()
	srv.signal(syscall.SIGCONT)
	ok := false
	for range 500 {
		if ok = s.Ready(t.Context()) == nil; ok {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !ok {
		t.Error("it is not ready again")
	}
	srv.kill()
	if _, err := s.Take(t.Context(), 1, time.Hour); err == nil || !strings.HasPrefix(err.Error(), "redis: ") {
		t.Errorf("%v", err)
	}
}

func TestPolicy(t *testing.T) {
	srv := serve(t, "--maxmemory-policy", "volatile-lru")
	s := open(t, redis.Options{Addrs: []string{srv.addr}})
	if got, err := s.Policy(t.Context()); err != nil || got != "volatile-lru" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]redis.Options{"no address": {}, "no sentinels": {Addrs: []string{"a:1"}, SentinelMaster: "m", Cluster: true}} {
		if _, err := redis.Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
