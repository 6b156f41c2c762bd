package admin

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"

	"github.com/penstock-otel/penstock/internal/identity"
)

// Authenticator tells who makes a request; identity.Authenticator is one. The
// error is always an *identity.Failure.
type Authenticator interface {
	Authenticate(ctx context.Context, c identity.Credentials) (*identity.Identity, error)
	// Configured tells whether there is some way to authenticate.
	Configured() bool
}

// Denial is a request that was not let in.
type Denial struct {
	// Kind is that of an identity.Failure, or one of the Denied constants.
	Kind string
	// Subject and Method are who asked, as far as that is known; of a Failure,
	// the subject is what was claimed.
	Subject, Method string
	// Detail is what the client was told.
	Detail string
}

// Kinds of Denial beside those of a Failure.
const (
	DeniedRole    = "role"    // proved who it is, and may not
	DeniedOrigin  = "origin"  // a page of another origin, in a browser
	DeniedOperate = "operate" // admin.operate does not allow it
)

// nobody is who asks where nothing authenticates and nothing else is said.
var nobody = &identity.Identity{Subject: identity.MethodAnonymous, Method: identity.MethodAnonymous,
	Roles: identity.View | identity.Operate | identity.Admin}

// access is a handler that only some may reach.
type access struct {
	http.Handler
	need identity.Roles
}

// guard lets those through that have a role, and puts who it is into the context.
func (s *Server) guard(need identity.Roles, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := nobody
		if s.o.Auth != nil {
			var err error
			if who, err = s.authenticate(r); err != nil {
				s.unauthenticated(w, r, err)
				return
			}
		}
		if !who.Roles.Has(need) {
			s.deny(w, r, DeniedRole, who, "%s %s needs the role %s, and %s has %s: use a credential with that role", r.Method, r.URL.Path, name(need), who.Subject, who.Roles)
			return
		}
		next.ServeHTTP(w, r.WithContext(identity.With(r.Context(), who)))
	})
}

func (s *Server) authenticate(r *http.Request) (*identity.Identity, error) {
	if len(r.Header.Values("Authorization")) > 1 || len(r.Header.Values("X-Api-Key")) > 1 {
		return nil, &identity.Failure{Kind: identity.FailMalformed, Message: "the request has several credentials in its headers: send one"}
	}
	return s.o.Auth.Authenticate(r.Context(), credentials(r))
}

// name is that of the one role which gives all of need.
func name(need identity.Roles) string {
	switch {
	case need&identity.Admin != 0:
		return "admin"
	case need&identity.Operate != 0:
		return "operate"
	}
	return need.String()
}

// credentials are what a request brings. A certificate counts if it was verified.
func credentials(r *http.Request) identity.Credentials {
	return identity.Credentials{Authorization: r.Header.Get("Authorization"), Key: r.Header.Get("X-Api-Key"), Certificate: leaf(r)}
}

func leaf(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}

// unauthenticated answers who could not be told: 401, or 503 when that is not the
// client's fault.
func (s *Server) unauthenticated(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := identity.AsFailure(err)
	if !ok {
		s.logger.Error("BUG: an authenticator failed with something else than a Failure", "error", err)
		WriteProblem(w, http.StatusInternalServerError, "who makes this request cannot be told: see the log of this process")
		return
	}
	s.denied(r, Denial{Kind: f.Kind, Subject: f.Subject, Detail: f.Message})
	if f.Kind == identity.FailUnavailable {
		w.Header().Set("Retry-After", "5")
		WriteProblem(w, http.StatusServiceUnavailable, "%s", f.Message)
		return
	}
	w.Header()["Www-Authenticate"] = challenges(r, f)
	WriteProblem(w, http.StatusUnauthorized, "%s", f.Message)
}

// challenges are those of RFC 6750 (3), and one that makes a browser ask a person
// for a key.
func challenges(r *http.Request, f *identity.Failure) []string {
	bearer := `Bearer realm="penstock"`
	if f.Kind != identity.FailMissing {
		bearer += `, error="invalid_token"`
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		return []string{bearer, `Basic realm="penstock: an API key as the password"`}
	}
	return []string{bearer}
}

// deny answers 403.
func (s *Server) deny(w http.ResponseWriter, r *http.Request, kind string, who *identity.Identity, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	s.denied(r, Denial{Kind: kind, Subject: who.Subject, Method: who.Method, Detail: detail})
	WriteProblem(w, http.StatusForbidden, "%s", detail)
}

func (s *Server) denied(r *http.Request, d Denial) {
	if s.o.Denied != nil {
		s.o.Denied(r, d)
	}
}
