// Package local runs the queue inside the process: an embedded NATS server. It
// is apart from package broker so that a worker, which only connects, does not
// link a server.
package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/broker"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

// stopServer bounds the server's own shutdown: it writes the index that makes
// the next start quick.
const stopServer = 15 * time.Second

// budgetFile keeps the budget that was chosen when none was configured, so that
// a disk that fills with other things does not change the streams.
const budgetFile = "budget"

// leastBudget is what is worth to be chosen.
const leastBudget = 64 << 20

type server struct{ *embedded.Server }

// StoreBytes is what the streams may take together.
func (s server) StoreBytes() int64 { return s.MaxStoreBytes() }

// Start runs the server until the app stops. files, which may be nil, is told of
// the certificate files in use.
func Start(ctx context.Context, a *app.App, c broker.Config, log *slog.Logger, files *config.TLSFiles) (broker.Server, error) {
	budget, err := budget(c)
	if err != nil {
		return nil, err
	}
	tls, err := c.ListenTLS.Config(config.TLSUse{Name: "queue.listen_tls", Logger: log, Files: files})
	if err != nil {
		return nil, fmt.Errorf("queue.listen_tls: %w", err)
	}
	s, err := embedded.Start(ctx, embedded.Config{
		Dir: c.Dir, SyncAlways: c.Durability == string(jetstream.Strict), MaxStoreBytes: budget,
		BesideBytes: topology.BesideBytes,
		Listen:      c.Listen, MonitorListen: c.MonitorListen, Token: c.Token.Reveal(), User: c.User, Password: c.Password.Reveal(),
		TLS: tls, Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("start the embedded queue in queue.dir: %w", err)
	}
	a.OnStop("stop embedded NATS server", stopServer, s.Shutdown)
	a.Go("watch over the embedded queue", newHealer(s, log).run)
	args := []any{"dir", c.Dir, "max_bytes", budget, "durability", c.Durability}
	if c.Listen != "" {
		args = append(args, "listen", s.Addr().String())
	}
	log.Info("embedded NATS server runs", args...)
	return server{s}, nil
}

// budget is queue.max_bytes, or what was chosen at the first start.
func budget(c broker.Config) (int64, error) {
	if c.MaxBytes > 0 {
		return int64(c.MaxBytes), nil
	}
	file := filepath.Join(c.Dir, budgetFile)
	text, err := os.ReadFile(file)
	if err == nil {
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || n <= 0 {
			return 0, fmt.Errorf("%s holds %q: want the bytes of the queue; set queue.max_bytes, or write the number", file, text)
		}
		return n, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("read the budget of the queue: %w", err)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return 0, fmt.Errorf("make queue.dir: %w", err)
	}
	n, err := embedded.DefaultMaxStore(c.Dir)
	if err != nil {
		return 0, fmt.Errorf("find the space for queue.dir: %w", err)
	}
	if n < leastBudget {
		// Not kept: it would be the budget for ever.
		return 0, fmt.Errorf("the volume of queue.dir has room for a queue of %d bytes and %d are needed: free space, or choose another queue.dir or a queue.max_bytes", n, leastBudget)
	}
	if err := keep(file, n); err != nil {
		return 0, fmt.Errorf("keep the budget of the queue: %w", err)
	}
	return n, nil
}

// keep writes the number in one step: a power cut leaves all of it or nothing.
func keep(file string, n int64) error {
	f, err := os.CreateTemp(filepath.Dir(file), budgetFile+".*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.FormatInt(n, 10) + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
