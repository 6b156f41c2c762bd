package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
)

type provider struct {
	name string
	fn   func(context.Context) any
}

// Status is what a process says of itself.
type Status struct {
	Name          string        `json:"name"`
	Phase         string        `json:"phase"`
	Ready         bool          `json:"ready"`
	UptimeSeconds float64       `json:"uptime_seconds"`
	Build         app.BuildInfo `json:"build"`
	Checks        []CheckResult `json:"checks"`
	Sections      []Section     `json:"sections"`
}

// Section is what one part of a role says of itself.
type Section struct {
	Name  string          `json:"name"`
	Data  json.RawMessage `json:"data,omitempty"`
	Error string          `json:"error,omitempty"`
}

// AddStatus adds a section to the status and to the page. What fn returns is
// encoded as JSON: structs and maps show as two columns, a list of them as a
// table. Names are unique; the order is that of the calls.
func (s *Server) AddStatus(name string, fn func(context.Context) any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = append(s.status, provider{name, fn})
}

// Status asks everyone, all at once.
func (s *Server) Status(ctx context.Context) Status {
	s.mu.RLock()
	providers := s.status[:len(s.status):len(s.status)]
	s.mu.RUnlock()
	sections := make([]Section, len(providers))
	var wg sync.WaitGroup
	for i, p := range providers {
		wg.Go(func() {
			sections[i] = Section{Name: p.name}
			data, err := s.calls.do(ctx, "status "+p.name, func(ctx context.Context) (any, error) {
				return json.Marshal(p.fn(ctx))
			})
			if err != nil {
				sections[i].Error = err.Error()
				return
			}
			sections[i].Data, _ = data.([]byte)
		})
	}
	ready := s.Readiness(ctx)
	wg.Wait()
	return Status{
		Name: s.o.Name, Phase: ready.Phase, Ready: ready.Ready,
		UptimeSeconds: time.Since(s.began).Seconds(), Build: s.o.BuildInfo,
		Checks: ready.Checks, Sections: sections,
	}
}

// Config writes the redacted configuration as "yaml" or "json".
func (s *Server) Config(w io.Writer, format string) error {
	if s.o.EffectiveConfig == nil {
		return errors.New("this process has no configuration to print")
	}
	return s.o.EffectiveConfig(w, format)
}

// Build says what binary this is.
func (s *Server) Build() app.BuildInfo { return s.o.BuildInfo }

func (s *Server) writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.logger.Error("answer cannot be encoded", "error", err)
		text(w, http.StatusInternalServerError, "the answer cannot be encoded: "+err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // the client is gone: nobody to tell
}
