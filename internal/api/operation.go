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
	"github.com/penstock-otel/penstock/internal/app"
)

// How long an answer may take to make.
const (
	shortPatience = 25 * time.Second
	readPatience  = 2 * time.Minute  // what reads a stream
	longPatience  = 10 * time.Minute // what removes from one
)

// Metadata of an operation.
const (
	operator = "operator" // it changes something or shows payload
	patience = "patience" // how long its answer may take
)

// read is an operation that everybody who reaches the port may ask.
func read(id, path, tag, summary string, errors ...int) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: Prefix + path, Tags: []string{tag}, Summary: summary,
		MaxBodyBytes: maxBody, BodyReadTimeout: -1, // the adapter has read it
		Metadata: map[string]any{patience: shortPatience}, Errors: append([]int{http.StatusServiceUnavailable}, errors...)}
}

// operate is an operation behind the guard.
func operate(method, id, path, tag, summary string, errors ...int) huma.Operation {
	op := read(id, path, tag, summary, append(errors, http.StatusForbidden, http.StatusBadRequest, http.StatusRequestEntityTooLarge)...)
	op.Method = method
	op.Metadata[operator] = true
	op.Extensions = map[string]any{"x-penstock-operator": true}
	op.Description = "An operator's action: answered as admin.operate says, by default to requests from the same machine alone, and never to a page of another origin. Logged."
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
	case op.Metadata[operator] == true:
		h = t.port.Operator(within(takes, answer))
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

// acted logs an operator's action, done or failed.
func (a *API) acted(ctx context.Context, action string, err error, args ...any) {
	args = append([]any{"action", action, "peer", admin.Peer(ctx)}, args...)
	log := app.Component(a.log, "api")
	if err != nil {
		log.Warn("operator action failed", append(args, "error", err)...)
		return
	}
	log.Info("operator action", args...)
}
