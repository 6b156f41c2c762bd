// Package admin is the port on which a role can be seen and operated from
// outside: health, metrics, profiles, a page for people, and the routes that
// package api adds. It is the first thing that starts and the last that stops,
// so that a process that cannot start says why.
//
//	/livez /readyz /startupz   probes                    never guarded
//	/metrics                   Prometheus, OpenMetrics   view, or open_metrics
//	/debug/pprof/              profiles                  operate
//	/                          the status as a page      view
//	/api/v1/...                package api               view; Operator: operate; Administrator: admin
//	/ack/...                   package api               by the link alone, where there are such links
//
// # Guarantees
//
//   - Liveness depends on nothing but the process: a dead peer restarts nobody.
//   - A check or status provider that hangs or panics costs one goroutine and
//     says so in its place; it never takes the page or the process with it.
//   - The configuration is shown redacted.
//   - Who is asked for comes from package identity. A credential that does not
//     hold is refused everywhere but at the probes and at links that are their own.
//   - A port that other machines reach and that cannot tell who asks does not
//     start, unless admin.allow_unauthenticated says so.
//   - What Operator guards is refused to foreign pages in a browser, and to who is
//     on another machine and does not prove who it is, unless admin.operate allows
//     that. A port on loopback answers to no name but localhost.
package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of the server. A profile is written for as long as it was asked for,
// so that those handlers have a bound of their own.
const (
	headerTimeout   = 5 * time.Second
	readTimeout     = 30 * time.Second
	writeTimeout    = 30 * time.Second
	profileTimeout  = 5 * time.Minute
	idleTimeout     = 2 * time.Minute
	maxHeaderBytes  = 64 << 10
	shutdownTimeout = 5 * time.Second
)

// Options are what New needs. Registry and State are required.
type Options struct {
	Config   Config
	Name     string // of the role, for the page's title
	Registry *prometheus.Registry
	State    *app.State
	// EffectiveConfig writes the redacted configuration as "yaml" or "json":
	// (*config.Loaded).Print.
	EffectiveConfig func(w io.Writer, format string) error
	BuildInfo       app.BuildInfo
	TLSFiles        *config.TLSFiles // told of the certificate files in use; may be nil
	Logger          *slog.Logger     // nil: slog.Default
	// Auth tells who asks. Nil: nobody can be told apart, and all may everything
	// that admin.operate allows.
	Auth Authenticator
	// Denied is told of each request that is not let in, before its answer; for
	// the audit stream. It must not block, and bounds itself how often it acts.
	Denied func(*http.Request, Denial) // nil: nobody
}

// Server is the admin port. AddCheck, AddStatus and Handle may be called while
// it serves.
type Server struct {
	o        Options
	logger   *slog.Logger
	listener net.Listener
	http     *http.Server
	mux      *http.ServeMux
	began    time.Time
	calls    calls

	mu     sync.RWMutex // guards everything below
	checks []check
	status []provider
	routes []string
}

// New registers the process's metrics and binds the port; Serve answers on it.
// Who does not call Serve calls Shutdown, to give the port back.
func New(o Options) (*Server, error) {
	if o.Registry == nil || o.State == nil {
		return nil, errors.New("BUG: admin.New needs a Registry and a State")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if err := o.Config.CheckExposed(o.Auth != nil && o.Auth.Configured()); err != nil {
		return nil, fmt.Errorf("admin.listen %w", err)
	}
	s := &Server{o: o, logger: app.Component(o.Logger, "admin"), mux: http.NewServeMux(), began: time.Now()}
	if err := s.register(); err != nil {
		return nil, err
	}
	tlsConfig, err := o.Config.TLS.Config(config.TLSUse{Name: "admin.tls", Logger: s.logger, Files: o.TLSFiles}, "h2", "http/1.1")
	if err != nil {
		return nil, fmt.Errorf("admin port: %w", err)
	}
	s.route()
	s.http = &http.Server{
		Handler:           deadline(writeTimeout, headers(s.ownName(withPeer(s.problems(s.mux))))), // refusals too
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	if s.listener, err = net.Listen("tcp", o.Config.Listen); err != nil {
		return nil, fmt.Errorf("admin port: %w; change admin.listen", err)
	}
	if tlsConfig != nil {
		s.listener = tls.NewListener(s.listener, tlsConfig)
	}
	return s, nil
}

// Addr is the address that was bound, with the real port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers until ctx ends or Shutdown is called, and returns once the
// requests in flight are done or over their time. Nil is a normal end.
func (s *Server) Serve(ctx context.Context) error {
	s.logger.Info("serving", "address", s.Addr())
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := s.Shutdown(bound); err != nil {
			s.logger.Warn("requests cut off at shutdown", "error", err)
		}
	})
	err := s.http.Serve(s.listener)
	if !stop() {
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("admin port %s: %w", s.Addr(), err)
}

// Shutdown stops taking requests, waits for those in flight as long as ctx
// allows, then cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	// A server that never served does not know of its listener.
	if closeErr := s.listener.Close(); closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	return err
}

// Start serves within a's life: one call for the roles.
func (s *Server) Start(a *app.App) {
	a.Go("admin port", s.Serve)
}

// Handle adds a role's own route. It needs the role view, or what Operator and
// Administrator want of it: wrap with them last, so that Handle sees it. The
// pattern is that of http.ServeMux; a pattern that exists panics there.
func (s *Server) Handle(pattern string, h http.Handler) {
	s.mu.Lock()
	s.routes = append(s.routes, pattern)
	s.mu.Unlock()
	need := identity.View
	if a, ok := h.(access); ok {
		need = a.need
	}
	s.mux.Handle(pattern, s.guard(need, deadline(writeTimeout, h)))
}

// HandleOpen adds a route that needs no role: what it does is for the handler to guard,
// and what is sent to it for the handler to bound. A credential is not looked at.
func (s *Server) HandleOpen(pattern string, h http.Handler) {
	s.mux.Handle(pattern, deadline(writeTimeout, h))
}

// Routes are the patterns that Handle added.
func (s *Server) Routes() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.routes)
}

func (s *Server) route() {
	open := func(pattern string, h http.HandlerFunc) { s.mux.Handle(pattern, deadline(writeTimeout, h)) }
	open("GET /livez", s.livez)
	open("GET /readyz", s.readyz)
	open("GET /startupz", s.startupz)
	if s.o.Config.OpenMetrics {
		open("GET /metrics", s.metrics().ServeHTTP)
	} else {
		s.mux.Handle("GET /metrics", s.guard(identity.View, deadline(writeTimeout, s.metrics())))
	}
	s.Handle("GET /{$}", http.HandlerFunc(s.page))
	s.Handle("GET /style.css", http.HandlerFunc(style))
	if s.o.Config.pprof() {
		s.routePprof()
	}
}

// headers keeps a browser from doing anything with an answer but showing it.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// deadline bounds how long a slow client can hold an answer.
func deadline(d time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d)); err != nil {
			http.Error(w, "no deadline can be set: "+err.Error(), http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func wantsJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/json")
}
