package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"

	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes bounds how many scrapes are gathered at a time.
const maxScrapes = 8

// register adds what every role shows. Roles that share a registry share these.
func (s *Server) register() error {
	b := s.o.BuildInfo
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "penstock_build_info",
			Help: "Always 1; the labels say which build is running.",
			ConstLabels: prometheus.Labels{
				"version": b.Version, "commit": b.Commit, "go_version": b.GoVersion,
			},
		}, func() float64 { return 1 }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "penstock_ready",
			Help: "1 while the process takes new work; 0 while it starts or drains. Readiness checks have no part in it.",
		}, func() float64 {
			if s.o.State.Ready() {
				return 1
			}
			return 0
		}),
	} {
		var already prometheus.AlreadyRegisteredError
		if err := s.o.Registry.Register(c); err != nil && !errors.As(err, &already) {
			return fmt.Errorf("admin metrics: %w", err)
		}
	}
	return nil
}

func (s *Server) metrics() http.Handler {
	return promhttp.HandlerFor(s.o.Registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(s.logger.Handler(), slog.LevelError),
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             writeTimeout / 2,
	})
}

// routePprof serves the profiles, to operators: taking one costs time, and they
// have the command line in them. Importing net/http/pprof also puts them on
// http.DefaultServeMux, which nothing of Penstock serves.
func (s *Server) routePprof() {
	handle := func(path string, h http.HandlerFunc) {
		s.mux.Handle("GET "+path, s.guard(identity.Operate, deadline(profileTimeout, h)))
	}
	handle("/debug/pprof/", pprof.Index)
	handle("/debug/pprof/cmdline", pprof.Cmdline)
	handle("/debug/pprof/profile", pprof.Profile)
	handle("/debug/pprof/symbol", pprof.Symbol)
	handle("/debug/pprof/trace", pprof.Trace)
}
