package jetstream

import (
	"context"
	"flag"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
	"github.com/penstock-otel/penstock/pkg/queue/queuetest"
)

func TestMain(m *testing.M) {
	childMain()
	// Most of the time is waiting: for elections, ack waits and timeouts.
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue {
		if err := p.Value.Set("8"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// testLog shows what is logged, when the test fails or -v is given.
type testLog struct{ t *testing.T }

func (w testLog) Write(p []byte) (int, error) { w.t.Log(string(p)); return len(p), nil }

func logTo(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// logLines keeps what is logged, for a test of it.
type logLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// with gives the lines that hold all of the parts.
func (l *logLines) with(parts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			found = append(found, line)
		}
	}
	return found
}

// serve starts a server that stops with the test.
func serve(t *testing.T, c embedded.Config) *embedded.Server {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	if c.MaxStoreBytes == 0 {
		c.MaxStoreBytes = 4 << 30
	}
	s, err := embedded.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	return s
}

func shutdown(t *testing.T, s *embedded.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// openQueue opens a queue that closes with the test.
func openQueue(t *testing.T, c Config) *Queue {
	t.Helper()
	return openTuned(t, c, defaultTuning)
}

func openTuned(t *testing.T, c Config, tune tuning) *Queue {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q, err := open(ctx, c, tune)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() }) // always nil
	return q
}

func TestContract(t *testing.T) {
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		s := serve(t, embedded.Config{SyncAlways: true})
		queuetest.Run(t, func(t *testing.T) queue.Queue {
			return openQueue(t, Config{Conn: s, Durability: Strict})
		}, queuetest.Options{})
	})
	t.Run("over TCP, several connections", func(t *testing.T) {
		t.Parallel()
		s := serve(t, embedded.Config{Listen: "127.0.0.1:0", Token: "secret"})
		queuetest.Run(t, func(t *testing.T) queue.Queue {
			return openQueue(t, Config{URL: s.ClientURL(), Token: "secret", Durability: Process, PublishConnections: 3})
		}, queuetest.Options{})
	})
	t.Run("on three servers", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, 3)
		queuetest.Run(t, func(t *testing.T) queue.Queue {
			return openQueue(t, Config{URL: c.urls, Durability: Process, Replicas: 3})
		}, queuetest.Options{AckWait: 2 * time.Second, Deadline: 3 * time.Minute})
	})
}
