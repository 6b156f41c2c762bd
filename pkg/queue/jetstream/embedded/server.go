package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// syncInterval is for what SyncAlways does not sync, and without it for all.
const syncInterval = 10 * time.Second

// ErrStopped is returned after Shutdown.
var ErrStopped = errors.New("queue store: the server is stopped")

// Server is a running server. Safe for concurrent use.
type Server struct {
	cfg Config

	turn sync.Mutex // one Restart or Shutdown at a time; guards lock
	lock *os.File   // nil after Shutdown

	mu  sync.RWMutex   // held briefly: a client may ask while it holds its own lock
	srv *server.Server // nil while stopped
}

// Start runs a server on c.Dir and waits until it has read its store. It logs
// its progress if that takes long. It fails if the directory is in use, the
// volume is too small, or ctx or ReadyTimeout ends.
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
	s := &Server{cfg: c, lock: lock}
	if err = checkSpace(dir, c.MaxStoreBytes); err == nil {
		s.srv, err = run(ctx, c)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

func options(c Config) (*server.Options, error) {
	o := &server.Options{
		ServerName: c.ServerName,
		DontListen: c.Listen == "",
		NoSigs:     true, // signals belong to the process
		NoLog:      false,

		JetStream:              true,
		StoreDir:               c.Dir,
		SyncAlways:             c.SyncAlways,
		SyncInterval:           syncInterval,
		JetStreamMaxStore:      c.MaxStoreBytes,
		JetStreamMaxMemory:     256 << 20,
		DisableJetStreamBanner: true,

		MaxPayload: c.MaxPayload,
		MaxPending: max(64<<20, 4*int64(c.MaxPayload)),
	}
	set := func(addr string, host *string, port *int) error {
		if addr == "" {
			return nil
		}
		h, p, err := net.SplitHostPort(addr)
		if err != nil {
			return fmt.Errorf("queue store: address %q: %w", addr, err)
		}
		a, err := net.LookupPort("tcp", p)
		if err != nil {
			return fmt.Errorf("queue store: address %q: %w", addr, err)
		}
		if a == 0 {
			a = server.RANDOM_PORT
		}
		*host, *port = h, a
		return nil
	}
	if err := errors.Join(set(c.Listen, &o.Host, &o.Port), set(c.MonitorListen, &o.HTTPHost, &o.HTTPPort)); err != nil {
		return nil, err
	}
	if c.Token != "" || c.User != "" {
		o.CustomClientAuthentication = gate{c.Token, c.User, c.Password}
	}
	if c.TLS != nil {
		o.TLS, o.TLSConfig, o.TLSTimeout = true, c.TLS.Clone(), 5
	}
	return o, nil
}

// run starts a server and waits for it.
func run(ctx context.Context, c Config) (*server.Server, error) {
	o, err := options(c)
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("queue store %s: %w", c.Dir, err)
	}
	log := newLogger(c.Logger)
	srv.SetLoggerV2(log, false, false, false)

	ctx, cancel := context.WithTimeout(ctx, c.ReadyTimeout)
	defer cancel()
	started := make(chan struct{})
	go func() { srv.Start(); close(started) }() // waited for below, or by Shutdown

	begin := time.Now()
	progress := time.NewTicker(5 * time.Second)
	defer progress.Stop()
	fail := func(err error) (*server.Server, error) {
		srv.Shutdown()
		<-started
		srv.WaitForShutdown()
		return nil, fmt.Errorf("queue store %s: %w", c.Dir, err)
	}
	for {
		select {
		case <-started:
			select {
			case err := <-log.fatal:
				return fail(err)
			default:
			}
			if !srv.ReadyForConnections(time.Second) {
				continue
			}
			if !srv.JetStreamEnabled() {
				return fail(errors.New("the server started without its store; see its log"))
			}
			return srv, nil
		case <-progress.C:
			c.Logger.Info("queue store is being read", "dir", c.Dir,
				"for", time.Since(begin).Round(time.Second).String(), "last", log.lastNotice())
		case <-ctx.Done():
			return fail(fmt.Errorf("not ready after %s: %w", time.Since(begin).Round(time.Millisecond), ctx.Err()))
		}
	}
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

// Healthy is the server's /healthz: nil, or what is wrong, which includes a
// stream that takes no more writes since an I/O error. Only Restart heals that.
func (s *Server) Healthy() error {
	srv, err := s.server()
	if err != nil {
		return err
	}
	if h := srv.Healthz(nil); h.Error != "" {
		return fmt.Errorf("queue store %s: %s", s.cfg.Dir, h.Error)
	}
	return nil
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
	s.stop()
	srv, err := run(ctx, s.cfg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.srv = srv
	s.mu.Unlock()
	return nil
}

// Shutdown writes the store's index, stops the server and gives the directory
// free. It is idempotent. When ctx ends first, the rest goes on behind it.
func (s *Server) Shutdown(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { // ends with the server; waited for below as long as ctx allows
		s.turn.Lock()
		defer s.turn.Unlock()
		s.stop()
		var err error
		if s.lock != nil {
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

// stop waits for the server's end. The caller holds turn.
func (s *Server) stop() {
	s.mu.Lock()
	srv := s.srv
	s.srv = nil
	s.mu.Unlock()
	if srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}
