package amapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Options of an API.
type Options struct {
	State    *alerts.State // kept up with Log by its owner
	Log      alerts.Log
	PolicyOf alerts.PolicyOf
	// Muted says what keeps notifications of an alert back: IDs of silences,
	// amnotify.Inhibited, names of time intervals.
	Muted func(ctx context.Context, a *alerts.Alert) []string
	// Config is what routes and receivers are now.
	Config func() *amnotify.Config
	// Tenant is that of a request: it sees and changes what is of that one alone.
	Tenant func(*http.Request) string
	// Actor is who asks; "": not known, and then who they say they are.
	Actor func(*http.Request) string
	// Acted is told of each change that was wanted, and of its error; nil: nobody is.
	Acted func(r *http.Request, action string, err error, args ...any)
	// Leads tells whether this replica ends what has ended.
	Leads func() bool
	// Version is told by status.
	Version string
	Now     func() time.Time // nil: the clock
	Metrics *Metrics
	Logger  *slog.Logger
}

// API answers. Its caller guards it: what reads wants a viewer, all else an operator.
// Safe for concurrent use.
type API struct {
	o     Options
	mux   *http.ServeMux
	since time.Time
	said  *app.Repeat

	mu     sync.Mutex
	posted map[alerts.Key]alerts.Posted // mu; of ends that the log does not have
}

// Bounds of a request.
const (
	maxBody   = 4 << 20
	maxAlerts = 10_000
	// maxPosted bounds the posted alerts of a tenant that fire.
	maxPosted = 20_000
	// writeWithin bounds the wait for the log.
	writeWithin = 30 * time.Second
	// sayEvery is the interval between two lines about the same trouble.
	sayEvery = time.Minute
)

// New makes one; paths are those below /api/v2, with it.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &API{o: o, mux: http.NewServeMux(), since: o.Now(), said: app.NewRepeat(o.Logger, sayEvery), posted: map[alerts.Key]alerts.Posted{}}
	for pattern, f := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /api/v2/alerts":          a.getAlerts,
		"POST /api/v2/alerts":         a.postAlerts,
		"GET /api/v2/alerts/groups":   a.getGroups,
		"GET /api/v2/silences":        a.getSilences,
		"POST /api/v2/silences":       a.postSilence,
		"GET /api/v2/silence/{id}":    a.getSilence,
		"DELETE /api/v2/silence/{id}": a.deleteSilence,
		"GET /api/v2/status":          a.getStatus,
		"GET /api/v2/receivers":       a.getReceivers,
	} {
		a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { answer(w, f(w, r)) })
	}
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	a.mux.ServeHTTP(w, r)
}

// problem is an answer that is no success.
type problem struct {
	code int
	error
}

func bad(err error) error { return &problem{http.StatusBadRequest, err} }

// answer is the text of an error, as Alertmanager has it: a JSON string.
func answer(w http.ResponseWriter, err error) {
	if err == nil {
		return
	}
	code := http.StatusServiceUnavailable
	var p *problem
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		code = p.code
	case errors.As(err, &large):
		code = http.StatusRequestEntityTooLarge
	case errors.Is(err, alerts.ErrUnknown):
		code = http.StatusNotFound
	case errors.Is(err, alerts.ErrInvalid), errors.Is(err, alerts.ErrTooLarge):
		code = http.StatusBadRequest
	}
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	write(w, code, err.Error())
}

func write(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // who asked has gone
}

// known is an error until the state has all that the log had.
func (a *API) known() error {
	if a.o.State.CaughtUp() {
		return nil
	}
	return errors.New("the log of alerts is being read: ask again in some seconds")
}

// do writes what is decided, and waits for the state to have it, so that who asks next
// sees it.
func (a *API) do(ctx context.Context, decide func() ([]alerts.Event, error)) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	at, err := alerts.Do(ctx, a.o.Log, a.o.State, decide)
	if err != nil {
		return err
	}
	return a.o.State.Reached(ctx, at)
}

func (a *API) acted(r *http.Request, action string, err error, args ...any) {
	if a.o.Acted != nil {
		a.o.Acted(r, action, err, args...)
	}
}
