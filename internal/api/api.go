// Package api is the admin API: what an operator sees of the queue and does to
// it, as HTTP with JSON below /api/v1, and the OpenAPI document of it. Any
// process that has the queue answers for all of it, since the truth is in the
// queue and its store.
//
// # Guarantees
//
//   - Every route needs a role. Whatever changes something or shows payload stands
//     behind admin.Server.Operator or Administrator, and each such action is logged
//     and recorded (package audit) with who asked, what for, and how it ended.
//   - The OpenAPI document has every route and every field: it is made from the
//     types that the routes answer with, and a test holds real answers against it.
//   - Every error is a problem (RFC 9457) that says what, which thing and what
//     to do. No answer holds a secret.
//   - Before the process has its queue, and after it gave it back, the routes of
//     the queue answer 503.
//   - Memory is bounded: bodies, pages, the number of taps and what one holds.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/audit"
)

// Prefix of every route.
const Prefix = "/api/v1"

// maxBody bounds the body of a request.
const maxBody = 64 << 10

// API answers. Made by New, given its queue by Attach.
type API struct {
	port     *admin.Server
	log      *slog.Logger
	rec      audit.Recorder
	huma     huma.API
	taps     chan struct{} // a place for each tap
	verifies chan struct{} // and for each walk along the audit chain
	watches  chan struct{} // and for each watch of alerts

	mu           sync.RWMutex     // guards everything below
	backend      *Backend         // nil: not yet, or no more
	alerts       alerting.Service // nil: none, not yet, or no more
	alertmanager http.Handler     // of alerts
	ended        context.Context
	end          context.CancelFunc
}

// New adds the routes to the port; rec is told of each action. They answer 503 until Attach, those of the
// process itself at once.
func New(port *admin.Server, rec audit.Recorder, log *slog.Logger) *API {
	a := &API{port: port, log: log, rec: rec, verifies: make(chan struct{}, maxVerifies), taps: make(chan struct{}, maxTaps), watches: make(chan struct{}, maxWatches)}
	a.ended, a.end = context.WithCancel(context.Background())
	a.register(newAdapter(port))
	return a
}

// Document is the OpenAPI document of the API.
func Document() *huma.OpenAPI {
	a := &API{}
	a.register(adapter{})
	return a.huma.OpenAPI()
}

// Attach gives the API its queue.
func (a *API) Attach(b *Backend) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.backend = b
}

// Detach takes the queue away again and ends what still streams from it.
func (a *API) Detach() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.backend, a.alerts, a.alertmanager = nil, nil, nil
	a.end()
}

// with is the backend, or the answer that there is none.
func (a *API) with() (*Backend, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.backend == nil {
		return nil, huma.Error503ServiceUnavailable("this process does not have its queue now: it starts, or stops; ask again in a moment, or another process")
	}
	return a.backend, nil
}

func (a *API) register(to adapter) {
	a.huma = huma.NewAPI(huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "Penstock admin API", Version: "1",
				License:     &huma.License{Name: "MIT", Identifier: "MIT"},
				Description: "What an operator sees of a Penstock and does to it. Served by every process on admin.listen; each answers for the whole queue. Each operation says which role it needs; auth says who has it, and without auth everybody on loopback does. Operations marked as an operator's are answered as admin.operate says too."},
			Components: &huma.Components{Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName), SecuritySchemes: schemes()},
			Tags: []*huma.Tag{{Name: "process", Description: "The process that answers."}, {Name: "queue", Description: "Streams, destinations, processes, ledger."},
				{Name: "dead letters", Description: "What no retry could deliver."}, {Name: "replay", Description: "Sending again what is kept."}, {Name: "tap", Description: "Watching telemetry pass."}, {Name: tagAlerts, Description: "What fires, who has it, and what happened; of a process that runs an alerter. An identity that has a tenant sees and changes that tenant's alone."}, {Name: "audit", Description: "Who operated, and who was not let in."}},
		},
		Formats: huma.DefaultFormats, DefaultFormat: "application/json", RejectUnknownQueryParameters: true,
	}, to)
	a.registerProcess()
	a.registerStatus()
	a.registerJobs()
	a.registerLetters()
	a.registerReplay()
	a.registerTap()
	a.registerDestinations()
	a.registerLedger()
	a.registerAudit()
	a.registerAlerts()
	a.registerAlertmanager(to)
}

// schemaName is that of a type in the document: with its package, for two may
// have the same name.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	path := t.PkgPath()
	base := path[strings.LastIndexByte(path, '/')+1:]
	if t.Name() == "" || base == "" || base == "api" || base == "v2" { // v2: huma's own
		return name
	}
	if r := []rune(base); !strings.HasPrefix(strings.ToLower(name), base) {
		return string(unicode.ToUpper(r[0])) + string(r[1:]) + name
	}
	return name
}
