package api

import (
	"context"
	"net/http"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/identity"
)

// alertmanagerPath is where Alertmanager's own clients ask: its API has version 2 and a
// document of its own.
const alertmanagerPath = "/api/v2/"

// tenantHeader names the tenant of a request of who has more than one, as other
// software that keeps metrics and alerts of tenants has it.
const tenantHeader = "X-Scope-OrgID"

// registerAlertmanager adds the routes of Alertmanager's API.
func (a *API) registerAlertmanager(to adapter) {
	if to.port == nil {
		return
	}
	answer := func(w http.ResponseWriter, r *http.Request) {
		a.mu.RLock()
		h := a.alertmanager
		a.mu.RUnlock()
		if h == nil {
			w.Header().Set("Retry-After", "5")
			admin.WriteProblem(w, http.StatusServiceUnavailable, "this process runs no alerter, or it starts or stops: ask one that does")
			return
		}
		if s, t := scopeOf(r.Context()), tenantOf(r); !s.has(t) {
			admin.WriteProblem(w, http.StatusForbidden, "the tenant %q of the header %s is not one of %s: leave the header out, or use the credential of that tenant", t, tenantHeader, s.who.Subject)
			return
		}
		// The handler bounds what it reads, and its answer may have many alerts.
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(readPatience)); err != nil {
			admin.WriteProblem(w, http.StatusInternalServerError, "no deadline can be set: %v", err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), readPatience)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	}
	to.port.Handle("GET "+alertmanagerPath, bounded(to.places, answer))
	for _, method := range []string{http.MethodPost, http.MethodDelete} {
		to.port.Handle(method+" "+alertmanagerPath, to.port.Operator(http.HandlerFunc(answer)))
	}
}

// tenantOf is the tenant that a request is about: the one it names, or its own.
func tenantOf(r *http.Request) string {
	if t := r.Header.Get(tenantHeader); t != "" {
		return t
	}
	if who := identity.From(r.Context()); who != nil {
		return who.Tenant
	}
	return ""
}

// front is who asks an alerter by Alertmanager's API.
func (a *API) front() alerting.Front {
	return alerting.Front{Tenant: tenantOf,
		Actor: func(r *http.Request) string {
			if who := identity.From(r.Context()); who != nil && who.Method != identity.MethodAnonymous {
				return who.Subject
			}
			return ""
		},
		Acted: func(r *http.Request, action string, err error, args ...any) {
			a.acted(r.Context(), action, err, args...)
		}}
}
