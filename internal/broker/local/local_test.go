package local_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/broker"
	"github.com/penstock-otel/penstock/internal/broker/local"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settings are quick: what fsync promises is not the subject here.
func settings(dir string) broker.Config {
	c := broker.DefaultConfig()
	c.Dir, c.Durability = dir, "process"
	return c
}

// life runs an app around the server, and use within it.
func life(t *testing.T, c broker.Config, use func(broker.Server)) (string, error) {
	t.Helper()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := app.New("test", log).Run(ctx, func(ctx context.Context, a *app.App) error {
		s, err := local.Start(ctx, a, c, log, nil)
		if err != nil {
			return err
		}
		if use != nil {
			use(s)
		}
		cancel()
		return nil
	})
	return out.String(), err
}

func TestRunsUntilTheAppStops(t *testing.T) {
	c := settings(filepath.Join(t.TempDir(), "made", "here"))
	c.MaxBytes = 64 << 20
	put := func(s broker.Server) queue.StreamState {
		log := slog.New(slog.DiscardHandler)
		q, err := broker.Open(t.Context(), c, s, "test", log, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close() //nolint:errcheck // always nil
		if err := q.EnsureStream(t.Context(), queue.StreamConfig{Name: "S", MaxBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Publish(t.Context(), "S", &queue.Message{ID: "a", Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		st, err := q.StreamState(t.Context(), "S")
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	var second broker.Server
	for i := range 2 {
		log, err := life(t, c, func(s broker.Server) {
			second = s
			if st := put(s); st.Messages != 1 { // the second life knows the first one's message by its id
				t.Errorf("life %d: %+v", i, st)
			}
			if got := c.Budget(s); got != 64<<20 {
				t.Errorf("budget is %d", got)
			}
		})
		if err != nil || !strings.Contains(log, "embedded NATS server runs") || !strings.Contains(log, "max_bytes=67108864") {
			t.Errorf("life %d: %v\n%s", i, err, log)
		}
	}
	if _, err := second.InProcessConn(); err == nil {
		t.Error("the server outlived its app")
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "budget")); !os.IsNotExist(err) {
		t.Errorf("a configured budget was kept in a file: %v", err)
	}
}

func TestListens(t *testing.T) {
	c := settings(t.TempDir())
	c.MaxBytes, c.Listen, c.MonitorListen, c.Token = 64<<20, "127.0.0.1:0", "127.0.0.1:0", "s3cret"
	log, err := life(t, c, nil)
	if err != nil || !strings.Contains(log, "listen=127.0.0.1:") || strings.Contains(log, "s3cret") {
		t.Errorf("%v\n%s", err, log)
	}
}

// A budget that was chosen stays, whatever happens to the disk.
func TestBudgetIsChosenOnce(t *testing.T) {
	c := settings(t.TempDir())
	file := filepath.Join(c.Dir, "budget")
	f := func(configured config.ByteSize, want int64) {
		t.Helper()
		c.MaxBytes = configured
		if _, err := life(t, c, func(s broker.Server) {
			if got := s.StoreBytes(); got != want {
				t.Errorf("budget is %d, want %d", got, want)
			}
		}); err != nil {
			t.Error(err)
		}
	}
	chosen, err := embedded.DefaultMaxStore(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var first int64
	if _, err := life(t, c, func(s broker.Server) { first = s.StoreBytes() }); err != nil {
		t.Fatal(err)
	}
	if first < chosen/10*9 || first > chosen/10*11 { // others use the disk too
		t.Errorf("chose %d, the disk would give %d", first, chosen)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("budget file: %v, %v", info, err)
	}
	if err := os.WriteFile(file, []byte(" 50000000 \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(0, 50_000_000)
	f(60<<20, 60<<20) // what is configured wins, and the file stays
	f(0, 50_000_000)
	if left, err := filepath.Glob(file + ".*"); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestStartErrors(t *testing.T) {
	f := func(want string, edit func(*broker.Config)) {
		t.Helper()
		c := settings(t.TempDir())
		edit(&c)
		_, err := life(t, c, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	write := func(c *broker.Config, text string) {
		if err := os.WriteFile(filepath.Join(c.Dir, "budget"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inFile := func(c *broker.Config) {
		write(c, "x")
		c.Dir = filepath.Join(c.Dir, "budget", "dir")
	}
	f(`holds "": want the bytes of the queue; set queue.max_bytes, or write the number`, func(c *broker.Config) { write(c, "") })
	f(`holds "much": want the bytes of the queue`, func(c *broker.Config) { write(c, "much") })
	f(`holds "-5": want the bytes of the queue`, func(c *broker.Config) { write(c, "-5") })
	f("read the budget of the queue: ", inFile)
	f("start the embedded queue in queue.dir: ", func(c *broker.Config) { inFile(c); c.MaxBytes = 1 << 20 })
	f("the volume of queue.dir has room for a queue of 0 bytes and 67108864 are needed", func(c *broker.Config) { c.Dir = "/proc/sys/kernel" })
	f("make queue.dir: ", func(c *broker.Config) { c.Dir = "/proc/nothing" })
	f("lower queue.max_bytes, or free space", func(c *broker.Config) { c.MaxBytes = 1 << 60 })
	f("queue.listen_tls: ", func(c *broker.Config) {
		c.MaxBytes, c.Listen, c.ListenTLS.CertFile, c.ListenTLS.KeyFile = 1<<20, "127.0.0.1:0", "/does/not/exist", "/neither"
	})
}

// Two processes on one directory would destroy it.
func TestDirectoryInUse(t *testing.T) {
	c := settings(t.TempDir())
	c.MaxBytes = 64 << 20
	if _, err := life(t, c, func(broker.Server) {
		if _, err := life(t, c, nil); err == nil || !strings.Contains(err.Error(), "in use by process") {
			t.Errorf("a second server: %v", err)
		}
	}); err != nil {
		t.Error(err)
	}
}
