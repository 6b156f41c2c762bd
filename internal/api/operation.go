package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/identity"
)

// How long an answer may take to make.
const (
	shortPatience = 25 * time.Second
	readPatience  = 2 * time.Minute  // what reads a stream
	longPatience  = 10 * time.Minute // what removes from one
)

// Metadata of an operation.
const (
	role     = "role"     // that it needs
	patience = "patience" // how long its answer may take
)

// The ways to authenticate, as the document names them.
const (
	schemeBearer      = "bearer"
	schemeBasic       = "basic"
	schemeKey         = "apiKey"
	schemeCertificate = "mutualTLS"
)

func schemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		schemeBearer:      {Type: "http", Scheme: "bearer", Description: "An API key (pst_…), or a token (JWT) of an issuer in auth.issuers."},
		schemeBasic:       {Type: "http", Scheme: "basic", Description: "An API key as the password, with any user."},
		schemeKey:         {Type: "apiKey", In: "header", Name: "X-Api-Key", Description: "An API key (pst_…)."},
		schemeCertificate: {Type: "mutualTLS", Description: "A client certificate for which auth.certificates has a rule, on a port with admin.tls.client_ca_file."},
	}
}

// needs is the security of an operation: any of the schemes by which somebody has
// the role, or none of them where auth.anonymous_roles has it.
func needs(role identity.Roles) []map[string][]string {
	all := []map[string][]string{}
	for _, scheme := range []string{schemeBearer, schemeBasic, schemeKey, schemeCertificate} {
		all = append(all, map[string][]string{scheme: {roleName(role)}})
	}
	return append(all, map[string][]string{})
}

func roleName(r identity.Roles) string {
	switch r {
	case identity.Operate:
		return "operate"
	case identity.Admin:
		return "admin"
	}
	return "view"
}

// read is an operation that needs the role view.
func read(id, path, tag, summary string, errors ...int) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: Prefix + path, Tags: []string{tag}, Summary: summary,
		MaxBodyBytes: maxBody, BodyReadTimeout: -1, // the adapter has read it
		Metadata: map[string]any{patience: shortPatience, role: identity.View}, Security: needs(identity.View),
		Description: "Needs the role view.",
		Errors:      append([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable}, errors...)}
}

// operate is an operation that needs the role operate.
func operate(method, id, path, tag, summary string, errors ...int) huma.Operation {
	op := read(id, path, tag, summary, append(errors, http.StatusBadRequest, http.StatusRequestEntityTooLarge)...)
	op.Method = method
	op.Metadata[role], op.Security = identity.Operate, needs(identity.Operate)
	op.Extensions = map[string]any{"x-penstock-operator": true}
	op.Description = "An operator's action: needs the role operate. Where the request does not prove who makes it, admin.operate says from where it may come, by default from the same machine alone; never from a page of another origin. Logged."
	return op
}

// administer is an operation that needs the role admin.
func administer(method, id, path, tag, summary string, errors ...int) huma.Operation {
	op := operate(method, id, path, tag, summary, errors...)
	op.Metadata[role], op.Security = identity.Admin, needs(identity.Admin)
	op.Description = "An administrator's action: needs the role admin, and is answered as an operator's actions are. Logged."
	return op
}

// patient is an operation whose answer may take longer.
func patient(op huma.Operation, d time.Duration) huma.Operation {
	op.Metadata[patience] = d
	return op
}

// adapter puts operations on the port; without one it only notes them in the
// document.
type adapter struct {
	port    *admin.Server
	places  chan struct{} // of answers to whoever reaches the port
	readers chan struct{} // of those that read a stream
}

// How many answers are made at a time for whoever reaches the port: each asks the
// queue, which has other things to do. An operator's actions are not among them.
const (
	maxAnswers = 32
	maxReaders = 4
)

func newAdapter(port *admin.Server) adapter {
	return adapter{port: port, places: make(chan struct{}, maxAnswers), readers: make(chan struct{}, maxReaders)}
}

// bounded answers 503 when all places are taken.
func bounded(places chan struct{}, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			next(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			admin.WriteProblem(w, http.StatusServiceUnavailable, "this process makes %d such answers at a time, and all are being made: ask again in a moment, or another process", cap(places))
		}
	}
}

// Handle implements huma.Adapter.
func (t adapter) Handle(op *huma.Operation, handle func(huma.Context)) {
	if t.port == nil {
		return
	}
	answer := func(w http.ResponseWriter, r *http.Request) { handle(humago.NewContext(op, r, w)) }
	takes := op.Metadata[patience].(time.Duration)
	var h http.Handler
	switch {
	case op.Metadata[role] == identity.Admin:
		h = t.port.Administrator(within(takes, answer))
	case op.Metadata[role] == identity.Operate:
		h = t.port.Operator(within(takes, answer))
	case takes == forEver: // it has places of its own, and must not take those of others
		h = within(takes, answer)
	case takes > shortPatience:
		h = within(takes, bounded(t.readers, answer))
	default:
		h = within(takes, bounded(t.places, answer))
	}
	t.port.Handle(op.Method+" "+op.Path, h)
}

// ServeHTTP implements huma.Adapter: the port has the routes.
func (t adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	admin.WriteProblem(w, http.StatusNotFound, "%s is no route", r.URL.Path)
}

// forEver is the patience of what streams.
const forEver time.Duration = 0

// within reads the body in the port's own time, and then gives the answer its
// time. A deadline of reading that passes while the answer is made would end the
// request as if the client were gone.
func within(d time.Duration, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			admin.WriteProblem(w, http.StatusRequestEntityTooLarge, "the body has more than %d bytes: name less in it", maxBody)
			return
		case err != nil:
			admin.WriteProblem(w, http.StatusBadRequest, "the body cannot be read: %v", err)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		rc := http.NewResponseController(w)
		if err := rc.SetReadDeadline(time.Time{}); err != nil {
			admin.WriteProblem(w, http.StatusInternalServerError, "no deadline can be set: %v", err)
			return
		}
		if d == forEver {
			next(w, r)
			return
		}
		if err := rc.SetWriteDeadline(time.Now().Add(d + sendTimeout)); err != nil {
			admin.WriteProblem(w, http.StatusInternalServerError, "no deadline can be set: %v", err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		next(w, r.WithContext(ctx))
	})
}

// by is who makes a request, for what is kept of an action: the subject, if it was
// proved, and the address.
func by(ctx context.Context) string {
	who := identity.From(ctx)
	if who == nil || who.Method == identity.MethodAnonymous {
		return admin.Peer(ctx)
	}
	return who.Subject + " at " + admin.Peer(ctx)
}
