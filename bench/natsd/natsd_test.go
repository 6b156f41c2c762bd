//go:build linux

package natsd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "natsd-test-")
	if err != nil {
		return "", err
	}
	return Build(context.Background(), dir)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func start(t *testing.T, servers int) *Servers {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), Config{Binary: path, Dir: t.TempDir(), Servers: servers, Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// publish makes a stream with as many copies as there are servers, and stores
// messages in it.
func publish(t *testing.T, s *Servers, messages int) {
	t.Helper()
	nc, err := nats.Connect(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: len(s.PIDs())})
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if _, err := js.Publish(t.Context(), "s", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != uint64(messages) {
		t.Errorf("the stream has %d messages, %v, want %d", info.State.Msgs, err, messages)
	}
}

// syncAlways asks a server what it does.
func syncAlways(t *testing.T, monitor string) bool {
	t.Helper()
	resp, err := http.Get(monitor + "/jsz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var v struct {
		Config struct {
			SyncAlways bool `json:"sync_always"`
		} `json:"config"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v.Config.SyncAlways
}

func TestServersStoreAndSync(t *testing.T) {
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprint(servers), func(t *testing.T) {
			s := start(t, servers)
			if n := len(strings.Split(s.URL, ",")); n != servers || len(s.PIDs()) != servers || len(s.Monitors()) != servers {
				t.Fatalf("URL %s, processes %v, monitors %v, want %d of each", s.URL, s.PIDs(), s.Monitors(), servers)
			}
			for i, pid := range s.PIDs() {
				name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
				if err != nil || strings.TrimSpace(string(name)) != "nats-server" {
					t.Errorf("process %d is %q, %v", pid, name, err)
				}
				if !syncAlways(t, s.Monitors()[i]) {
					t.Errorf("%s does not sync every write", s.Monitors()[i])
				}
			}
			publish(t, s, 20)
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			for _, pid := range s.PIDs() {
				if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("process %d after Stop: %v", pid, err)
				}
			}
		})
	}
}

func TestServerThatDiesIsToldOnce(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), Config{Binary: path, Dir: t.TempDir(), Servers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PIDs()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.nodes[0].done
	if err := s.Stop(); err == nil || !strings.Contains(err.Error(), "n1 ended on its own") {
		t.Errorf("a killed server was told as %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func TestWhatCannotStart(t *testing.T) {
	f := func(want string, ctx context.Context, c Config) {
		t.Helper()
		s, err := Start(ctx, c)
		if err == nil || !strings.Contains(err.Error(), want) || s != nil {
			t.Errorf("%+v: %v, %v, want an error with %q", c, s, err, want)
		}
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	f("want 1 or 3", t.Context(), Config{Binary: path, Dir: t.TempDir(), Servers: 2})
	f("start nats-server n1", t.Context(), Config{Binary: "/nothing", Dir: t.TempDir(), Servers: 1})
	f("ended before it was ready", t.Context(), Config{Binary: "/bin/false", Dir: t.TempDir(), Servers: 3})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	f("is not ready", cancelled, Config{Binary: path, Dir: t.TempDir(), Servers: 1})
}
