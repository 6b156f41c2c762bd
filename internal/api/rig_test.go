package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/ledger"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
)

func TestMain(m *testing.M) {
	for _, kind := range []string{typeLines, "application/openapi+json"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.JSONBodyDecoder)
	}
	goleak.VerifyTestMain(m)
}

// logged is a log that a test may read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// recorder is the ledger's ear.
type recorder struct {
	mu      sync.Mutex
	purged  int
	dropped []string
	forgave []string
}

func (r *recorder) Forgive(_ context.Context, by string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgave = append(r.forgave, by)
	return nil
}

func (r *recorder) Purged(_ context.Context, letters []deadletter.Purged) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.purged += len(letters)
	return nil
}

func (r *recorder) Drop(_ context.Context, destination, by string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = append(r.dropped, destination+" by "+by)
	return nil
}

// trail is the audit's ear.
type trail struct {
	mu     sync.Mutex
	events []audit.Event
}

func (r *trail) Record(e audit.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// of are the events of an action.
func (r *trail) of(action string) (found []audit.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Action == action {
			found = append(found, e)
		}
	}
	return found
}

// rig is a process with a queue, an admin port and the API on it.
type rig struct {
	*API
	t        *testing.T
	port     *admin.Server
	q        *memory.Queue
	plan     topology.Plan
	log      *logged
	watch    *queuewatch.Watch
	recorder *recorder
	audit    *trail
	doc      *openapi3.T
	router   routers.Router

	mu      sync.Mutex
	covered map[string]bool // mu; operations that answered 2xx
}

// start is a rig with one destination, "backend", at which nobody is told apart.
func start(t *testing.T, c admin.Config) *rig { return startAs(t, c, nil, "") }

// startAs is a rig that auth guards; token is what it is asked for the document with.
func startAs(t *testing.T, c admin.Config, auth admin.Authenticator, token string) *rig {
	t.Helper()
	r := &rig{t: t, q: memory.New(), log: &logged{}, recorder: &recorder{}, audit: &trail{}, covered: map[string]bool{},
		plan: topology.Plan{Shards: 1, MaxBytes: 1 << 30, Destinations: []topology.Destination{{Name: "backend"}}}}
	if err := topology.Apply(t.Context(), r.q, r.plan); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(r.log, nil))
	a := app.New("test", log)
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	port, err := admin.New(admin.Options{Config: c, Name: "test", Registry: prometheus.NewRegistry(), State: a.State(), Logger: log, Auth: auth,
		BuildInfo: app.Version(), EffectiveConfig: func(w io.Writer, format string) error { _, err := io.WriteString(w, `{"a": "`+format+`"}`); return err }})
	if err != nil {
		t.Fatal(err)
	}
	r.port = port
	r.API = New(port, r.audit, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- a.Run(ctx, func(_ context.Context, a *app.App) error { port.Start(a); return nil })
	}()
	t.Cleanup(func() {
		r.Detach()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := r.q.Close(); err != nil {
			t.Error(err)
		}
	})
	r.watch = queuewatch.New(r.q, r.plan, prometheus.NewRegistry())
	r.attach()
	r.document(token)
	return r
}

func (r *rig) attach() {
	r.Attach(&Backend{Queue: r.q, Plan: r.plan, Fleet: fleet.NewEye(r.q), Watch: r.watch, Jobs: job.NewStore(r.q), Recorder: r.recorder, ReplayRate: func() config.ByteSize { return 1 << 20 }})
}

// document is what the port serves.
func (r *rig) document(token string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.port.Addr()+Prefix+"/openapi.json", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("the document: %d %v %s", resp.StatusCode, err, body)
	}
	if r.doc, err = openapi3.NewLoader().LoadFromData(body); err != nil {
		r.t.Fatal(err)
	}
	if err := r.doc.Validate(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	if r.router, err = gorillamux.NewRouter(r.doc); err != nil {
		r.t.Fatal(err)
	}
}

// ask makes a request, holds the answer against the document, and returns it.
func (r *rig) ask(method, path string, body any, header ...string) (int, []byte) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var content io.Reader
	if text, ok := body.(string); ok {
		content = bytes.NewReader([]byte(text))
	} else if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.port.Addr()+Prefix+path, content)
	if err != nil {
		r.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	r.hold(req, resp, got)
	return resp.StatusCode, got
}

// hold holds an answer against the document.
func (r *rig) hold(req *http.Request, resp *http.Response, body []byte) {
	r.t.Helper()
	route, params, err := r.router.FindRoute(req)
	if err != nil {
		r.t.Errorf("%s %s is not in the document: %v", req.Method, req.URL.Path, err)
		return
	}
	kind := strings.Split(resp.Header.Get("Content-Type"), ";")[0]
	bodies := [][]byte{body}
	if kind == typeLines { // each line is one
		bodies = bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	}
	for _, body := range bodies {
		if kind == typeLines && len(body) == 0 {
			continue
		}
		in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header,
			Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: kind == typeEvents || strings.HasSuffix(kind, "yaml")}}
		out.SetBodyBytes(body)
		if err := openapi3filter.ValidateResponse(req.Context(), out); err != nil {
			r.t.Errorf("%s %s: %d is not as the document says: %.600s\n%.600s", req.Method, req.URL.Path, resp.StatusCode, err, body)
		}
	}
	if resp.StatusCode/100 == 2 {
		r.mu.Lock()
		r.covered[req.Method+" "+route.Path] = true
		r.mu.Unlock()
	}
}

// get asks for JSON that must be there.
func get[T any](r *rig, path string) (v T) {
	r.t.Helper()
	return call[T](r, http.MethodGet, path, nil, http.StatusOK)
}

// call asks and wants a status.
func call[T any](r *rig, method, path string, body any, want int) (v T) {
	r.t.Helper()
	status, answer := r.ask(method, path, body)
	if status != want {
		r.t.Fatalf("%s %s: %d, want %d: %s", method, path, status, want, answer)
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		r.t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
	return v
}

// refused wants a problem of a status, and returns its detail.
func (r *rig) refused(method, path string, body any, want int) string {
	r.t.Helper()
	p := call[admin.Problem](r, method, path, body, want)
	if p.Status != want || p.Title == "" || p.Detail == "" {
		r.t.Errorf("%s %s: the problem is %+v", method, path, p)
	}
	return p.Detail
}

// put stores a message of telemetry.
func (r *rig) put(s otlp.Signal, tenant string, items int) {
	r.t.Helper()
	m := record.Encode(r.message(s, tenant, items))
	if _, err := r.q.Publish(r.t.Context(), topology.Stream(s, 0), m); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) message(s otlp.Signal, tenant string, items int) *record.Record {
	raw := sample.New(uint64(items), sample.Shape{}).Append(nil, s, items, time.Now())
	return &record.Record{ID: time.Now().Format("20060102T150405.000000000"), Signal: s, Tenant: tenant, Codec: codec.None, Items: items, RawBytes: len(raw), Body: raw}
}

// bury stores a dead letter of the destination backend.
func (r *rig) bury(s otlp.Signal, reason string, items int) {
	r.t.Helper()
	m := r.message(s, "", items)
	o := deadletter.Origin{Stream: topology.Stream(s, 0), Sequence: uint64(items), ID: m.ID, Attempts: 3, StoredAt: time.Now()}
	if err := deadletter.Publish(r.t.Context(), r.q, topology.DeadLetters, o, m, "", deadletter.Letter{Reason: reason, Code: "InvalidArgument", Detail: "no", Destination: "backend"}); err != nil {
		r.t.Fatal(err)
	}
}

// ledger keeps one until the test ends, and waits for its first look.
func (r *rig) ledger() {
	r.t.Helper()
	k := ledger.New(ledger.Options{Queue: r.q, Plan: r.plan, Holder: "test", Metrics: ledger.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	r.t.Cleanup(func() { cancel(); <-done })
	for end := time.Now().Add(20 * time.Second); k.View().At.IsZero(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatal("waited 20 s for a ledger")
		}
	}
}
