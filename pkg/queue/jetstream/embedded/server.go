package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Looks of Healthy at a server that complains: the same that often in a row, or
// in all, and the pause between them.
const (
	healthySame  = 15
	healthyLooks = 50
	healthyPause = 40 * time.Millisecond
)

// ErrStopped is returned after Shutdown.
var ErrStopped = errors.New("queue store: the server is stopped")

// Server is a running server. Safe for concurrent use.
type Server struct {
	cfg Config

	turn    sync.Mutex      // one Restart or Shutdown at a time; guards the next two
	lock    *os.File        // nil after Shutdown
	remains <-chan struct{} // closed when a server that failed to start is gone

	mu  sync.RWMutex   // held briefly: a client may ask while it holds its own lock
	srv *server.Server // nil while stopped
	had []string       // directories of streams before srv was started
}

// Start runs a server on c.Dir and waits until it has read its store. It logs
// its progress if that takes long. It fails if the directory is in use, the
// volume is too small for a new store, or ctx or ReadyTimeout ends.
func Start(ctx context.Context, c Config) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("queue store %s: %w", c.Dir, err)
	}
	c.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("queue store %s: %w", dir, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	if err := checkSpace(dir, c.MaxStoreBytes, c.Logger); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	had, err := streamDirs(dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	srv, remains, err := run(ctx, c)
	if err == nil {
		return &Server{cfg: c, lock: lock, srv: srv, had: had, remains: remains}, nil
	}
	select {
	case <-remains:
		return nil, errors.Join(err, lock.Close())
	default:
	}
	// The store is still being read and cannot be interrupted. Nobody else may
	// touch the directory until that has ended, or the process has.
	go func() {
		<-remains
		if err := lock.Close(); err != nil {
			c.Logger.Error("queue store: giving the directory free", "dir", dir, "error", err)
		}
	}()
	return nil, err
}

func (s *Server) server() (*server.Server, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.srv == nil {
		return nil, ErrStopped
	}
	return s.srv, nil
}

// InProcessConn implements nats.InProcessConnProvider.
func (s *Server) InProcessConn() (net.Conn, error) {
	srv, err := s.server()
	if err != nil {
		return nil, err
	}
	return srv.InProcessConn()
}

// SyncAlways tells package jetstream what a confirmation means.
func (s *Server) SyncAlways() bool { return s.cfg.SyncAlways }

// Dir is the directory of the store, as an absolute path.
func (s *Server) Dir() string { return s.cfg.Dir }

// MaxStoreBytes is the bound of all streams together.
func (s *Server) MaxStoreBytes() int64 { return s.cfg.MaxStoreBytes }

// Addr is the address for clients over TCP, nil without Listen.
func (s *Server) Addr() net.Addr {
	srv, err := s.server()
	if err != nil || s.cfg.Listen == "" {
		return nil
	}
	return srv.Addr()
}

// ClientURL is the address for clients over TCP as a URL, "" without Listen.
func (s *Server) ClientURL() string {
	a := s.Addr()
	if a == nil {
		return ""
	}
	scheme := "nats"
	if s.cfg.TLS != nil {
		scheme = "tls"
	}
	return scheme + "://" + a.String()
}

// MonitorURL is the address of the monitoring pages, "" without MonitorListen.
func (s *Server) MonitorURL() string {
	srv, err := s.server()
	if err != nil || srv.MonitorAddr() == nil {
		return ""
	}
	a := srv.MonitorAddr()
	return "http://" + net.JoinHostPort(a.IP.String(), strconv.Itoa(a.Port))
}

// StreamDir is the directory that a stream of clients inside the process had
// before the server was started, and has still; else "". If the server does not
// have that stream, it could not recover it. The directory of one that is being
// made just now, by another client, does not count.
func (s *Server) StreamDir(stream string) string {
	dir := filepath.Join(s.cfg.Dir, server.JetStreamStoreDir, "$G", "streams", stream)
	s.mu.RLock()
	had := slices.Contains(s.had, dir)
	s.mu.RUnlock()
	if !had {
		return ""
	}
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// Healthy is the server's /healthz: nil, or what is wrong, which includes a
// stream that takes no more writes since an I/O error. Only Restart heals that.
// It looks again before it complains, until the complaint stays the same: the
// server takes a stream that is being made, and has its directory already, for
// one that it could not recover.
func (s *Server) Healthy() error {
	last, same := "", 0
	for look := 1; ; look++ {
		srv, err := s.server()
		if err != nil {
			return err
		}
		h := srv.Healthz(nil)
		if h.Error == "" {
			return nil
		}
		if h.Error != last {
			last, same = h.Error, 0
		}
		if same++; same == healthySame || look == healthyLooks {
			return fmt.Errorf("queue store %s: %s", s.cfg.Dir, h.Error)
		}
		time.Sleep(healthyPause)
	}
}

// Restart stops the server and starts it again on the same directory; clients
// inside the process reconnect. It clears write errors once the disk has space.
// After an error the server is stopped and Restart may be repeated.
func (s *Server) Restart(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.lock == nil {
		return ErrStopped
	}
	if err := s.stop(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // no time to start again; a further Restart may
		gone := make(chan struct{})
		close(gone)
		s.remains = gone
		return fmt.Errorf("queue store %s: stopped, and not started again: %w", s.cfg.Dir, err)
	}
	had, err := streamDirs(s.cfg.Dir)
	if err != nil {
		return err
	}
	srv, remains, err := run(ctx, s.cfg)
	s.remains = remains
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.srv, s.had = srv, had
	s.mu.Unlock()
	if err := limitCaches(srv, cacheExpire); err != nil {
		s.cfg.Logger.Warn("the block caches of the restarted server are not limited", "error", err)
	}
	return nil
}

// Shutdown writes the store's index, stops the server and gives the directory
// free. It is idempotent. When ctx ends first, the rest goes on behind it.
func (s *Server) Shutdown(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { // ends with the server; waited for below as long as ctx allows
		s.turn.Lock()
		defer s.turn.Unlock()
		err := s.stop(context.WithoutCancel(ctx))
		if err == nil && s.lock != nil {
			err = s.lock.Close()
			s.lock = nil
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("queue store %s: still stopping: %w", s.cfg.Dir, ctx.Err())
	}
}

// stop waits for the server's end, or of what is left of one that failed to
// start. The caller holds turn.
func (s *Server) stop(ctx context.Context) error {
	s.mu.Lock()
	srv := s.srv
	s.srv = nil
	s.mu.Unlock()
	if srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil
	}
	if s.lock == nil {
		return nil
	}
	select {
	case <-s.remains:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("queue store %s: a server that did not get ready is still reading its store: %w", s.cfg.Dir, ctx.Err())
	}
}
