package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// syncInterval is for what SyncAlways does not sync, and without it for all.
const syncInterval = 10 * time.Second

// progressEvery is how often a long start is logged.
const progressEvery = 5 * time.Second

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
		JetStreamMaxStore:      c.MaxStoreBytes + c.BesideBytes + stateBytes,
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

// run starts a server and waits for it. After an error that server is gone when
// remains is closed, which may be later: two servers must never share a
// directory.
func run(ctx context.Context, c Config) (*server.Server, <-chan struct{}, error) {
	gone := make(chan struct{})
	fail := func(err error) (*server.Server, <-chan struct{}, error) {
		return nil, gone, fmt.Errorf("queue store %s: %w", c.Dir, err)
	}
	o, err := options(c)
	if err != nil {
		close(gone)
		return fail(err)
	}
	srv, err := server.NewServer(o)
	if err != nil {
		close(gone)
		return fail(err)
	}
	log := newLogger(c.Logger)
	srv.SetLoggerV2(log, false, false, false)

	interrupted := ctx.Err
	ctx, cancel := context.WithTimeout(ctx, c.ReadyTimeout)
	defer cancel()
	started := make(chan struct{})
	go func() { srv.Start(); close(started) }() // waited for here, or by end
	end := func() {
		<-started // stopping a server that is reading its store leaves the store open
		srv.Shutdown()
		srv.WaitForShutdown()
		close(gone)
	}

	begin := time.Now()
	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		select {
		case <-started:
			if err := errors.Join(interrupted(), ready(srv, log)); err != nil {
				end()
				return fail(err)
			}
			return srv, gone, nil
		case <-progress.C:
			c.Logger.Info("queue store is being read", "dir", c.Dir,
				"for", time.Since(begin).Round(time.Second).String(), "last", log.lastNotice())
		case <-ctx.Done():
			go end() // gone tells
			return fail(fmt.Errorf("not ready after %s: %w", time.Since(begin).Round(time.Millisecond), ctx.Err()))
		}
	}
}

// ready looks at a server whose Start has returned.
func ready(srv *server.Server, log *logger) error {
	select {
	case err := <-log.fatal:
		return err
	default:
	}
	if !srv.ReadyForConnections(5 * time.Second) {
		return errors.New("the server does not listen; see its log")
	}
	if !srv.JetStreamEnabled() {
		return errors.New("the server started without its store; see its log")
	}
	return nil
}
