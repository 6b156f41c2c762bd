package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/penstock-otel/penstock/internal/app"
)

type check struct {
	name string
	fn   func(context.Context) error
}

// CheckResult is what one readiness check said.
type CheckResult struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Ready  bool          `json:"ready"`
	Phase  string        `json:"phase"`
	Checks []CheckResult `json:"checks"`
}

// AddCheck adds a condition without which the process is not ready. Fn gets a
// bounded context and returns nil when all is well; its error is shown to
// whoever can reach the port. Names are unique.
func (s *Server) AddCheck(name string, fn func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks = append(s.checks, check{name, fn})
}

// Readiness runs all checks at once.
func (s *Server) Readiness(ctx context.Context) Readiness {
	s.mu.RLock()
	checks := s.checks[:len(s.checks):len(s.checks)]
	s.mu.RUnlock()
	phase := s.o.State.Phase()
	r := Readiness{Ready: phase == app.Ready, Phase: phase.String(), Checks: make([]CheckResult, len(checks))}
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			_, err := s.calls.do(ctx, "check "+c.name, func(ctx context.Context) (any, error) { return nil, c.fn(ctx) })
			r.Checks[i] = CheckResult{Name: c.name, OK: err == nil}
			if err != nil {
				r.Checks[i].Error = err.Error()
			}
		})
	}
	wg.Wait()
	for _, c := range r.Checks {
		r.Ready = r.Ready && c.OK
	}
	return r
}

// livez says that the process answers, and no more.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	text(w, http.StatusOK, "ok\n")
}

// startupz says that the start is over, however the checks stand.
func (s *Server) startupz(w http.ResponseWriter, _ *http.Request) {
	phase := s.o.State.Phase()
	if !s.o.State.Started() {
		text(w, http.StatusServiceUnavailable, phase.String()+"\n")
		return
	}
	text(w, http.StatusOK, "ok: "+phase.String()+"\n")
}

// readyz is "ok", or the list of checks when one fails or ?verbose asks.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	result := s.Readiness(r.Context())
	status := http.StatusOK
	if !result.Ready {
		status = http.StatusServiceUnavailable
	}
	if wantsJSON(r) {
		s.writeJSON(w, status, result)
		return
	}
	if result.Ready && !r.URL.Query().Has("verbose") {
		text(w, status, "ok\n")
		return
	}
	text(w, status, result.String())
}

// String is one line a check, and the verdict.
func (r Readiness) String() string {
	var b strings.Builder
	line := func(name string, ok bool, why string) {
		if ok {
			fmt.Fprintf(&b, "[+] %s ok\n", name)
		} else {
			fmt.Fprintf(&b, "[-] %s: %s\n", name, strings.ReplaceAll(why, "\n", "; "))
		}
	}
	line("state", r.Phase == app.Ready.String(), r.Phase)
	for _, c := range r.Checks {
		line(c.Name, c.OK, c.Error)
	}
	if r.Ready {
		b.WriteString("ready\n")
	} else {
		b.WriteString("not ready\n")
	}
	return b.String()
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the client is gone: nobody to tell
}
