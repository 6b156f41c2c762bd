package admin

import (
	"net/http"
	"strings"
)

// problems answers what the mux has no route for below /api/ as the routes there
// answer: with a problem, and with the methods that are allowed.
func (s *Server) problems(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/") {
			next.ServeHTTP(w, r)
			return
		}
		h, pattern := s.mux.Handler(r)
		if pattern != "" {
			next.ServeHTTP(w, r)
			return
		}
		noted := &note{header: http.Header{}}
		h.ServeHTTP(noted, r) // a 404, a 405 with its Allow, or a redirect to the clean path
		for name, values := range noted.header {
			w.Header()[name] = values
		}
		WriteProblem(w, noted.status, "%s %s is no route of this process; /api/v1/openapi.yaml has them all", r.Method, r.URL.Path)
	})
}

// note is an answer of which only the head counts.
type note struct {
	header http.Header
	status int
}

func (n *note) Header() http.Header         { return n.header }
func (n *note) WriteHeader(status int)      { n.status = status }
func (n *note) Write(p []byte) (int, error) { return len(p), nil }
