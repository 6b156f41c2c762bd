package reload

import (
	"encoding/json"
	"net/http"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/identity"
)

// Route is where a reload is asked for, as every Prometheus has it.
const Route = "POST /-/reload"

// refusal is a problem (RFC 9457) with the answer as its further members.
type refusal struct {
	admin.Problem
	Answer
}

// ServeHTTP reloads and answers with an Answer: 200, or 422 with a problem when
// the configuration was refused; 503 when nothing was tried. The route is to be
// guarded.
func (r *Reloader) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	by := By{Peer: admin.Peer(req.Context()), Listener: "admin"}
	if who := identity.From(req.Context()); who != nil {
		by.Subject, by.Method = who.Subject, who.Method
	}
	a, err := r.Reload(req.Context(), by)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		admin.WriteProblem(w, http.StatusServiceUnavailable, "%v; ask again in a moment", err)
		return
	}
	status, kind, body := http.StatusOK, "application/json", any(a)
	if a.Outcome == Refused {
		status, kind = http.StatusUnprocessableEntity, "application/problem+json"
		body = refusal{admin.Problem{Title: http.StatusText(status), Status: status, Detail: "the configuration is refused, and what ran before runs on:\n" + a.Text()}, a}
	}
	b, err := json.Marshal(body)
	if err != nil {
		admin.WriteProblem(w, http.StatusInternalServerError, "BUG: the answer cannot be encoded: %v", err)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client is gone: nobody to tell
}
