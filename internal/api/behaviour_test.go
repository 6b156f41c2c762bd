package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// TestWithoutItsQueue is a process that starts, and one that stops.
func TestWithoutItsQueue(t *testing.T) {
	r := start(t, admin.Config{})
	r.Detach()
	for _, path := range []string{"/queue", "/destinations", "/processes", "/ledger", "/dlq", "/dlq/summary", "/dlq/1", "/jobs", "/jobs/x", "/replay", "/replay/x", "/tap"} {
		if why := r.refused(http.MethodGet, path, nil, http.StatusServiceUnavailable); !strings.Contains(why, "does not have its queue") {
			t.Errorf("%s says %s", path, why)
		}
	}
	for path, body := range map[string]any{"/jobs/x/pause": nil, "/replay/x/cancel": nil, "/dlq/purge": PurgeRequest{Confirm: true}, "/dlq/redrive": RedriveRequest{},
		"/replay": ReplayRequest{}, "/replay/plan": replay.Spec{}} {
		r.refused(http.MethodPost, path, body, http.StatusServiceUnavailable)
	}
	r.refused(http.MethodDelete, "/destinations/backend", nil, http.StatusServiceUnavailable)
	s := get[Status](r, "/status")
	if s.Name != "test" || s.OK || len(s.Problems) != 1 || s.Queue != nil {
		t.Errorf("the status is %+v", s)
	}
	if status, body := r.ask(http.MethodGet, "/status/config", nil); status != 200 || string(body) != `{"a": "yaml"}` {
		t.Errorf("the configuration is %d %s", status, body)
	}
	if status, body := r.ask(http.MethodGet, "/status/config", nil, "Accept", "application/json"); status != 200 || string(body) != `{"a": "json"}` {
		t.Errorf("the configuration is %d %s", status, body)
	}
}

// TestWhatOperatesIsGuarded asks every operation of the document that changes or
// shows payload from a foreign page, and as one whom the configuration refuses.
func TestWhatOperatesIsGuarded(t *testing.T) {
	r, off := start(t, admin.Config{}), start(t, admin.Config{Operate: admin.OperateOff})
	guarded := 0
	for path, item := range r.doc.Paths.Map() {
		for method, op := range item.Operations() {
			marked := op.Extensions["x-penstock-operator"] != nil
			shows := path == Prefix+"/tap" || path == Prefix+"/dlq/{sequence}" || strings.HasPrefix(path, Prefix+"/audit")
			if marked != (method != http.MethodGet || shows) {
				t.Errorf("%s %s is marked an operator's: %t", method, path, marked)
			}
			if !marked {
				continue
			}
			guarded++
			at := strings.TrimPrefix(strings.NewReplacer("{sequence}", "1", "{id}", "x", "{name}", "backend").Replace(path), Prefix)
			if status, body := r.ask(method, at, nil, "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
				t.Errorf("%s %s from a foreign page: %d %s", method, path, status, body)
			}
			if status, body := r.ask(method, at, nil, "X-Forwarded-For", "192.0.2.7"); status != http.StatusForbidden {
				t.Errorf("%s %s through a proxy: %d %s", method, path, status, body)
			}
			if status, body := off.ask(method, at, nil); status != http.StatusForbidden || !strings.Contains(string(body), "admin.operate") {
				t.Errorf("%s %s with admin.operate off: %d %s", method, path, status, body)
			}
		}
	}
	if guarded < 13 {
		t.Errorf("%d operations are guarded", guarded)
	}
}

func TestRefusals(t *testing.T) {
	r := start(t, admin.Config{})
	f := func(method, path string, body any, status int, want string) {
		t.Helper()
		if _, got := r.ask(method, path, body); !strings.Contains(string(got), want) {
			t.Errorf("%s %s: %s, want %q", method, path, got, want)
		}
		r.refused(method, path, body, status)
	}
	f("GET", "/dlq/7", nil, 404, "dead letter 7")
	f("GET", "/dlq/0", nil, 422, "path.sequence")
	f("GET", "/dlq?signal=spans", nil, 422, "query.signal")
	f("GET", "/dlq?limit=5000", nil, 422, "query.limit")
	f("GET", "/dlq?colour=red", nil, 422, "colour")
	f("GET", "/dlq?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", nil, 422, "is not before until")
	f("GET", "/dlq/summary?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", nil, 422, "is not before until")
	f("POST", "/dlq/purge", PurgeRequest{}, 422, "set confirm")
	f("POST", "/dlq/purge", PurgeRequest{Confirm: true, DryRun: true}, 422, "not both")
	f("POST", "/dlq/purge", PurgeRequest{Confirm: true, Filter: deadletter.Filter{Signal: "spans"}}, 422, "spans")
	f("POST", "/dlq/purge", `{"confirm": true, "colour": "red"}`, 422, "body.colour")
	f("POST", "/dlq/purge", `{`, 400, "unexpected end")
	f("POST", "/dlq/purge", `{"filter": {"code": "`+strings.Repeat("x", maxBody)+`"}}`, 413, "65536")
	f("POST", "/dlq/redrive", RedriveRequest{Redrive: replay.Redrive{Rate: -1}}, 422, "rate")
	f("POST", "/replay", ReplayRequest{Spec: replay.Spec{}}, 422, "name a configured destination")
	f("POST", "/replay/plan", replay.Spec{Destination: "backend", Where: []string{"a=~("}}, 422, "where")
	f("POST", "/replay/plan", replay.Spec{Destination: "backend", Stream: "PENSTOCK_TRACES_9", FromSeq: 1}, 404, "PENSTOCK_TRACES_9")
	f("GET", "/jobs/none", nil, 404, "no such job")
	f("POST", "/jobs/none/pause", nil, 404, "no such job")
	f("GET", "/tap?where=%3D", nil, 422, "=")
	f("GET", "/tap?attribute=%3D", nil, 422, "=")
	f("GET", "/tap?oldest=true&since=2026-01-01T00:00:00Z", nil, 422, "not both")
	f("DELETE", "/destinations/none", nil, 404, "none")
	f("DELETE", "/destinations/backend", nil, 409, "configured at the process that answers")

	j := call[JobView](r, "POST", "/dlq/redrive", RedriveRequest{ID: "one"}, 201)
	f("POST", "/dlq/redrive", RedriveRequest{ID: "one"}, 409, "one")
	f("GET", "/replay/one", nil, 404, "is a redrive, no replay")
	f("POST", "/replay/one/pause", nil, 404, "is a redrive, no replay")
	call[JobView](r, "POST", "/jobs/"+j.ID+"/cancel", nil, 200)
	f("POST", "/jobs/one/resume", nil, 409, "has ended")
	if got := get[Jobs](r, "/jobs?phase=cancelled,done"); len(got.Jobs) != 1 {
		t.Errorf("jobs are %+v", got)
	}
	if got := get[Jobs](r, "/jobs?phase=running"); len(got.Jobs) != 0 {
		t.Errorf("running are %+v", got)
	}
}

func TestLettersArePaged(t *testing.T) {
	r := start(t, admin.Config{})
	for n := range 7 {
		r.bury(otlp.Traces, deadletter.ReasonRejected, n+1)
	}
	r.bury(otlp.Logs, deadletter.ReasonExpired, 3)
	var seen []uint64
	for page := (Letters{}); ; {
		page = get[Letters](r, fmt.Sprintf("/dlq?reason=rejected&limit=3&after=%d", page.Next))
		for _, l := range page.Letters {
			seen = append(seen, l.Sequence)
		}
		if page.Next == 0 {
			break
		}
	}
	if fmt.Sprint(seen) != "[1 2 3 4 5 6 7]" {
		t.Errorf("seen %v", seen)
	}
	if s := get[deadletter.Summary](r, "/dlq/summary?signal=logs"); s.Letters != 1 || s.Items != 3 {
		t.Errorf("the summary is %+v", s)
	}
	if s := get[deadletter.Shown](r, "/dlq/1"); s.Items != 1 || !strings.Contains(string(s.Payload), "resourceSpans") {
		t.Errorf("shown %+v", s)
	}
	if s := get[deadletter.Shown](r, "/dlq/1?payload=false"); s.Payload != nil {
		t.Errorf("shown %+v", s)
	}
	if p := call[Purged](r, "POST", "/dlq/purge", PurgeRequest{DryRun: true}, 200); p.Letters != 8 || !p.DryRun || r.recorder.purged != 0 {
		t.Errorf("a dry run: %+v", p)
	}
}

// TestActionsAreLogged with who and what, done or failed.
func TestActionsAreLogged(t *testing.T) {
	r := start(t, admin.Config{})
	r.bury(otlp.Traces, deadletter.ReasonRejected, 2)
	r.ask("GET", "/dlq/1", nil)
	r.ask("GET", "/dlq/9", nil)
	r.ask("POST", "/dlq/purge", PurgeRequest{Confirm: true, Filter: deadletter.Filter{Destination: "backend"}})
	r.ask("POST", "/replay", ReplayRequest{ID: "night", Spec: replay.Spec{Destination: "backend"}})
	r.ask("POST", "/jobs/night/pause", nil)
	r.ask("DELETE", "/destinations/backend?force=true", nil)
	r.ledger()
	r.ask("POST", "/ledger/forgive", nil)
	r.ask("GET", "/tap?once=true&service=x", nil)
	log := r.log.String()
	for _, want := range []string{
		`"msg":"operator action","component":"api","action":"show dead letter","peer":"127.0.0.1:`, `"msg":"operator action failed","component":"api","action":"show dead letter"`,
		`"action":"purge dead letters"`, `"destination":"backend"`, `"action":"start replay"`, `"job":"night"`, `"action":"pause job"`, `"action":"drop destination"`, `"action":"forgive missing data"`, `"action":"tap"`, `service=x`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if len(r.recorder.dropped) != 1 || !strings.HasPrefix(r.recorder.dropped[0], "backend by 127.0.0.1:") {
		t.Errorf("recorded %q", r.recorder.dropped)
	}
	if len(r.recorder.forgave) != 1 || !strings.HasPrefix(r.recorder.forgave[0], "127.0.0.1:") {
		t.Errorf("recorded %q", r.recorder.forgave)
	}
}

// TestAProcessInUseKeepsItsDestination has a live worker that exports to it.
func TestTheFleetIsAsked(t *testing.T) {
	r := start(t, admin.Config{})
	now := time.Now()
	worker := func() fleet.Process {
		return fleet.Process{ID: "worker-a-1", Role: fleet.RoleWorker, Host: "a", StartedAt: now, Ready: false, NotReady: "queue: away", Disk: &fleet.Disk{Path: "/data", Free: 5, Total: 9},
			Destinations: []fleet.Destination{
				{Name: "backend", Protocol: "grpc", Endpoints: []string{"b:4317"}, Breaker: "closed", Pool: &fleet.Pool{Open: 2, Ready: 1}, LastSuccess: &now},
				{Name: "backend", Breaker: "open", BreakerUntil: &now, Pool: &fleet.Pool{Open: 1}, LastError: &fleet.Error{At: now, Code: "Unavailable", Text: "down"}}}}
	}
	// One whose workers are away: the job waits for them.
	if j := call[JobView](r, "POST", "/replay", ReplayRequest{Spec: replay.Spec{Destination: "backend"}}, 201); !strings.Contains(j.Why, "no running worker has the destination backend") {
		t.Errorf("says %q", j.Why)
	}
	k := fleet.Start(t.Context(), r.q, worker, discard)
	defer k.Stop(context.Background()) //nolint:errcheck // a test's own
	if why := r.refused("DELETE", "/destinations/backend", nil, 409); !strings.Contains(why, "worker-a-1") {
		t.Errorf("says %s", why)
	}
	d := get[Destinations](r, "/destinations").Destinations
	if len(d) != 1 || d[0].Breaker != "open" || d[0].Pool.Open != 3 || d[0].LastError.Code != "Unavailable" || len(d[0].Lags) != 3 || d[0].Workers[0] != "worker-a-1" {
		t.Errorf("destinations are %+v", d)
	}
	s := get[Status](r, "/status")
	text := strings.Join(s.Problems, "\n")
	if !strings.Contains(text, "worker-a-1 is not ready: queue: away") || !strings.Contains(text, "no ledger yet") || len(s.Disks) != 1 || s.Disks[0].Free != 5 || s.OK {
		t.Errorf("status is %+v", s)
	}
	for path, body := range map[string]any{"/replay": ReplayRequest{Spec: replay.Spec{Destination: "nowhere"}}, "/dlq/redrive": RedriveRequest{Redrive: replay.Redrive{Destination: "nowhere"}}} {
		if why := r.refused("POST", path, body, 404); !strings.Contains(why, "there is no destination nowhere") || !strings.Contains(why, "there are: backend") {
			t.Errorf("%s says %s", path, why)
		}
	}
	if p := call[replay.Plan](r, "POST", "/replay/plan", replay.Spec{Destination: "nowhere"}, 200); !strings.Contains(strings.Join(p.Notes, " "), "no running worker") {
		t.Errorf("says %q", p.Notes)
	}
}

func TestAllIsWell(t *testing.T) {
	r := start(t, admin.Config{})
	until(t, "the start", func() bool { return r.port.Status(t.Context()).Ready })
	r.ledger()
	if s := get[Status](r, "/status"); !s.OK || len(s.Problems) != 0 || !s.Ready || len(s.Queue.Streams) != 4 || !s.Ledger.OK {
		t.Errorf("the status is %+v", s)
	}
}

// lingering is a queue that takes its time.
type lingering struct {
	queue.Queue
	asked  chan struct{}
	resume chan struct{}
}

func (q *lingering) Browse(ctx context.Context, stream string, o queue.BrowseOptions) (queue.Browser, error) {
	q.asked <- struct{}{}
	<-q.resume
	return q.Queue.Browse(ctx, stream, o)
}

// TestAnswersToAnybodyAreBounded, and those to operators are not among them.
func TestAnswersToAnybodyAreBounded(t *testing.T) {
	r := start(t, admin.Config{})
	letter := &queue.Message{ID: "x", Header: map[string]string{}}
	if _, err := r.q.Publish(t.Context(), topology.DeadLetters, letter); err != nil {
		t.Fatal(err)
	}
	q := &lingering{r.q, make(chan struct{}), make(chan struct{})}
	r.Attach(&Backend{Queue: q, Plan: r.plan, Fleet: fleet.NewEye(r.q), Watch: r.watch, Jobs: job.NewStore(r.q), Recorder: r.recorder})
	var asking sync.WaitGroup
	for range maxReaders {
		asking.Go(func() { r.ask(http.MethodGet, "/dlq/summary", nil) })
		<-q.asked
	}
	if why := r.refused(http.MethodGet, "/dlq", nil, http.StatusServiceUnavailable); !strings.Contains(why, "4 such answers at a time") {
		t.Errorf("says %s", why)
	}
	if status, body := r.ask(http.MethodGet, "/queue", nil); status != http.StatusOK {
		t.Errorf("what reads no stream: %d %s", status, body)
	}
	if status, body := r.ask(http.MethodPost, "/dlq/purge", PurgeRequest{}); status != http.StatusUnprocessableEntity {
		t.Errorf("an operator: %d %s", status, body)
	}
	close(q.resume)
	asking.Wait()
	go func() {
		for range q.asked {
		}
	}()
	if status, body := r.ask(http.MethodGet, "/dlq", nil); status != http.StatusOK {
		t.Errorf("with a free place: %d %s", status, body)
	}
	close(q.asked)
}
