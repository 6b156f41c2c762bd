package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/replay"
)

// documented lists the operations of the document, as patterns of a mux.
func (r *rig) documented() []string {
	var all []string
	for path, item := range r.doc.Paths.Map() {
		for method := range item.Operations() {
			all = append(all, method+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

func TestTheDocumentHasEveryRoute(t *testing.T) {
	r := start(t, admin.Config{})
	var routes []string
	for _, pattern := range r.port.Routes() {
		if strings.Contains(pattern, " /api/") && !strings.Contains(pattern, alertmanagerPath) { // which has a document of its own
			routes = append(routes, pattern)
		}
	}
	slices.Sort(routes)
	if doc := r.documented(); !slices.Equal(routes, doc) {
		t.Errorf("the mux has\n%s\nthe document has\n%s", strings.Join(routes, "\n"), strings.Join(doc, "\n"))
	}
	printed, err := Document().YAML()
	if err != nil {
		t.Fatal(err)
	}
	status, served := r.ask(http.MethodGet, "/openapi.yaml", nil)
	if status != http.StatusOK || string(served) != string(printed) {
		t.Errorf("what is served is not what is printed: %d", status)
	}
}

// TestEveryRouteAnswersAsDocumented asks every route so that it succeeds; ask
// holds each answer against the schema.
func TestEveryRouteAnswersAsDocumented(t *testing.T) {
	r := start(t, admin.Config{})
	r.put(otlp.Traces, "", 20)
	r.put(otlp.Logs, "acme", 5)
	r.bury(otlp.Traces, deadletter.ReasonRejected, 3)
	r.bury(otlp.Logs, deadletter.ReasonExpired, 4)

	r.refused(http.MethodGet, "/ledger", nil, http.StatusNotFound)
	r.ledger()
	for _, path := range []string{"/ledger", "/status", "/status/buildinfo", "/status/config", "/openapi.json", "/openapi.yaml", "/queue", "/destinations", "/processes",
		"/dlq", "/dlq/summary", "/dlq/1", "/jobs", "/replay", "/tap?oldest=true&once=true&full=true",
		"/audit", "/audit/verify"} {
		if status, body := r.ask(http.MethodGet, path, nil); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	spec := replay.Spec{Destination: "backend", Signals: []string{"traces"}}
	if p := call[replay.Plan](r, http.MethodPost, "/replay/plan", spec, http.StatusOK); p.Match.Items != 20 || p.BytesPerSecond != 1<<20 {
		t.Errorf("the plan is %+v", p)
	}
	for _, path := range []string{"/replay", "/jobs"} {
		j := call[JobView](r, http.MethodPost, "/replay", ReplayRequest{ID: "r" + path[1:], Spec: spec}, http.StatusCreated)
		if got := get[JobView](r, path+"/"+j.ID); got.ID != j.ID || got.Kind != replay.KindReplay {
			t.Errorf("%s/%s is %+v", path, j.ID, got)
		}
		for _, verb := range []string{"pause", "resume", "cancel"} {
			call[JobView](r, http.MethodPost, path+"/"+j.ID+"/"+verb, nil, http.StatusOK)
		}
	}
	call[JobView](r, http.MethodPost, "/dlq/redrive", RedriveRequest{Redrive: replay.Redrive{Filter: deadletter.Filter{Reason: "rejected"}}}, http.StatusCreated)
	if p := call[Purged](r, http.MethodPost, "/dlq/purge", PurgeRequest{Confirm: true}, http.StatusOK); p.Letters != 2 || r.recorder.purged != 2 {
		t.Errorf("purged %+v, recorded %d", p, r.recorder.purged)
	}
	if d := call[Dropped](r, http.MethodDelete, "/destinations/backend?force=true", nil, http.StatusOK); len(d.Streams) != 3 {
		t.Errorf("dropped %+v", d)
	}
	if f := call[Forgiven](r, http.MethodPost, "/ledger/forgive", nil, http.StatusOK); f.Missing != 0 {
		t.Errorf("forgiven %+v", f)
	}
	everyAlertRoute(r)
	for _, op := range r.documented() {
		if !r.covered[op] {
			t.Errorf("%s was not asked", op)
		}
	}
}
