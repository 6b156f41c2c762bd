package jetstream

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// link is one connection with its state as something to wait for.
type link struct {
	nc   *nats.Conn
	name string
	log  *slog.Logger

	mu      sync.Mutex
	up      bool
	live    context.Context // ends when the present connection is lost
	lose    context.CancelFunc
	back    chan struct{} // closed when connected, replaced when lost
	lastErr error         // last error of connecting since the connection was lost
	gone    chan struct{} // closed when the connection is closed for good

	kick   chan struct{} // woken when connected again; may be nil
	proven atomic.Uint64 // the number whose server is proven (proof.go); 0: none
}

type linkKind struct {
	name string
	// failFast refuses writes while disconnected in place of buffering them:
	// a publish must not hide in a buffer and be stored after its deadline.
	failFast bool
	// kick is a channel of one that gets a token at each connect.
	kick chan struct{}
}

// dial connects and waits until the connection stands, ctx ends or the server
// refuses the credentials.
func dial(ctx context.Context, c Config, kind linkKind) (*link, error) {
	l := &link{name: kind.name, log: c.Logger.With("connection", kind.name),
		back: make(chan struct{}), gone: make(chan struct{}), kick: kind.kick}
	l.live, l.lose = context.WithCancel(context.Background())
	refused := make(chan error, 1)

	opts := nats.GetDefaultOptions()
	opts.Name = c.Name + "/" + kind.name
	opts.MaxReconnect = -1
	opts.RetryOnFailedConnect = true
	opts.IgnoreAuthErrorAbort = true // rotated credentials must not end the process's connection for good
	opts.ReconnectWait = 100 * time.Millisecond
	opts.ReconnectJitter = 100 * time.Millisecond
	opts.ReconnectJitterTLS = 400 * time.Millisecond
	opts.CustomReconnectDelayCB = reconnectDelay
	opts.PingInterval = 15 * time.Second
	opts.MaxPingsOut = 2
	opts.Timeout = 5 * time.Second
	opts.FlusherTimeout = c.PublishTimeout
	opts.ReconnectOnFlusherError = true
	if kind.failFast {
		opts.ReconnectBufSize = -1
	}
	opts.ConnectedCB = func(nc *nats.Conn) { l.connected(nc, true) }
	opts.ReconnectedCB = func(nc *nats.Conn) { l.connected(nc, false) }
	opts.DisconnectedErrCB = func(_ *nats.Conn, err error) { l.lost(err) }
	opts.ReconnectErrCB = func(_ *nats.Conn, err error) {
		l.mu.Lock()
		first := l.lastErr == nil
		l.lastErr = err
		l.mu.Unlock()
		if first {
			l.log.Warn("queue server cannot be reached; trying on", "error", err)
		}
		if isAuthError(err) {
			select {
			case refused <- err:
			default:
			}
		}
	}
	opts.ClosedCB = func(*nats.Conn) { l.lost(nil); close(l.gone) }
	opts.LameDuckModeHandler = func(*nats.Conn) { l.log.Info("queue server is about to stop") }
	opts.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if !errors.Is(err, nats.ErrConnectionClosed) {
			l.log.Warn("queue connection error", "error", err)
		}
	}
	if c.Conn != nil {
		opts.InProcessServer = c.Conn
		opts.Url = nats.DefaultURL // never dialled; the library wants one
	} else {
		urls, err := splitURLs(c.URL)
		if err != nil {
			return nil, err
		}
		opts.Servers = urls
		opts.TLSConfig = c.TLS
		opts.Secure = c.TLS != nil
		if c.RootCAs != nil {
			opts.RootCAsCB = func() (*x509.CertPool, error) { return c.RootCAs(), nil }
		}
		opts.Token, opts.User, opts.Password = c.Token, c.User, c.Password
		if c.CredsFile != "" {
			if err := nats.UserCredentials(c.CredsFile)(&opts); err != nil {
				return nil, fmt.Errorf("queue: credentials file: %w", err)
			}
		}
	}
	nc, err := opts.Connect()
	if err != nil {
		return nil, fmt.Errorf("queue: connect: %w", err)
	}
	l.nc = nc
	select {
	case <-l.returned():
		return l, nil
	case err = <-refused:
		err = fmt.Errorf("queue: the server refuses the credentials: %w", err)
	case <-ctx.Done():
		l.mu.Lock()
		last := l.lastErr
		l.mu.Unlock()
		if last == nil {
			last = nc.LastError()
		}
		err = fmt.Errorf("queue: no connection in time: %w (last error: %v)", ctx.Err(), last)
	}
	l.close()
	return nil, err
}

// reconnectDelay goes from quick, for a restart of the server, to 2 s.
func reconnectDelay(tries int) time.Duration {
	return jitter(min(2*time.Second, 50*time.Millisecond<<min(tries, 6)))
}

// connected logs what a newcomer need not know at debug: a first connect, unless
// it was waited for.
func (l *link) connected(nc *nats.Conn, first bool) {
	l.mu.Lock()
	if l.up {
		l.mu.Unlock()
		return
	}
	l.up = true
	waited := l.lastErr != nil
	l.lastErr = nil
	l.live, l.lose = context.WithCancel(context.Background())
	close(l.back)
	l.mu.Unlock()
	if l.kick != nil {
		wake(l.kick)
	}
	level, text := slog.LevelInfo, "queue connected again"
	if first {
		text = "queue connected"
		if !waited {
			level = slog.LevelDebug
		}
	}
	args := []any{"server", nc.ConnectedServerName(), "version", nc.ConnectedServerVersion()}
	if nc.Opts.InProcessServer == nil {
		args = append(args, "address", nc.ConnectedAddr()) // the URL may hold a token where a user stands
	}
	l.log.Log(context.Background(), level, text, args...)
}

func (l *link) lost(err error) {
	l.mu.Lock()
	was := l.up
	l.up = false
	l.lose()
	if was {
		l.back = make(chan struct{})
	}
	l.mu.Unlock()
	switch {
	case !was:
	case err != nil:
		l.log.Warn("queue connection lost", "error", err)
	default:
		l.log.Debug("queue connection closed")
	}
}

// alive ends when the connection of this moment is lost.
func (l *link) alive() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.live
}

// returned is closed when there is a connection.
func (l *link) returned() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.back
}

func (l *link) isUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

// close waits for the library's last callback, so that nothing logs afterwards.
func (l *link) close() {
	l.nc.Close()
	select {
	case <-l.gone:
	case <-time.After(5 * time.Second):
	}
}

func isAuthError(err error) bool {
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired) {
		return true
	}
	// While connecting, the library passes the server's text on as it is.
	s := strings.ToLower(err.Error())
	return strings.Contains(s, "authorization violation") || strings.Contains(s, "authentication")
}
