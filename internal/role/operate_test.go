package role

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/send"
	"github.com/penstock-otel/penstock/internal/worker"
)

// asks a process.
func asks[T any](t *testing.T, addr, method, path string, body any) (v T) {
	t.Helper()
	answer, err := admin.Ask(t.Context(), method, addr, api.Prefix+path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
	return v
}

// TestAnyProcessAnswersForAll has a gateway, a worker and an alerter over one
// queue. Each sees all of them, the destination of the worker and the ledger; a
// replay that is started at the gateway is run by the worker, to a file that its
// configuration allows; and one is run by a process of its own.
func TestAnyProcessAnswersForAll(t *testing.T) {
	dir := t.TempDir()
	port, grpc := freePort(t), freePort(t)
	at := map[string]string{fleet.RoleGateway: freePort(t), fleet.RoleWorker: freePort(t), fleet.RoleAlerter: freePort(t)}
	gp, glog := process(t, "queue.listen="+port, "queue.token=s3cret-token", "gateway.grpc.listen="+grpc, "admin.listen="+at[fleet.RoleGateway])
	start(t, func(ctx context.Context) error { return Gateway(ctx, gp) })
	eventually(t, "the gateway is ready", func() bool { return strings.Contains(glog.String(), `"msg":"ready"`) })
	join := []string{"queue.url=nats://" + port, "queue.token=s3cret-token"}
	destination := `destinations=[{name: disk, protocol: file, endpoints: ["` + filepath.Join(dir, "live.json") + `"]}]`
	wp, wlog := process(t, append(join, destination, "replay.dir="+dir, "admin.listen="+at[fleet.RoleWorker])...)
	wr := start(t, func(ctx context.Context) error { return Worker(ctx, wp) })
	ap, _ := process(t, append(join, "admin.listen="+at[fleet.RoleAlerter])...)
	start(t, func(ctx context.Context) error { return Alerter(ctx, ap) })
	eventually(t, "the worker is ready", func() bool { return strings.Contains(wlog.String(), `"msg":"ready"`) })

	var totals send.Totals
	c := send.Config{Target: grpc, Protocol: "grpc", Insecure: true, Signals: []otlp.Signal{otlp.Traces}, Items: 300, Batch: 30, Clients: 1, Seed: 3}
	if err := send.Run(t.Context(), c, &totals); err != nil {
		t.Fatal(err)
	}
	for role, addr := range at {
		eventually(t, "the "+role+" sees all", func() bool {
			s := asks[api.Status](t, addr, http.MethodGet, "/status", nil)
			if len(s.Processes) != 3 || len(s.Destinations) == 0 || s.Ledger == nil || s.Name != role {
				return false
			}
			for _, d := range s.Destinations {
				if d.Name == "disk" {
					r, ok := s.Ledger.Row("traces", "disk")
					return ok && r.Exported == 300 && len(d.Workers) == 1 && len(d.Lags) == 3 && d.Lags[0].Pending == 0
				}
			}
			return false
		})
	}
	for _, p := range asks[api.Processes](t, at[fleet.RoleAlerter], http.MethodGet, "/processes", nil).Processes {
		if p.Resources == nil || p.Resources.MemoryBytes == 0 || p.Admin != at[p.Role] || (p.Gateway != nil) != (p.Role == fleet.RoleGateway) || (p.Disk != nil) != (p.Role == fleet.RoleGateway) {
			t.Errorf("a process tells %+v", p)
		}
	}

	copied := filepath.Join(dir, "copy.json")
	run := func(id, file string) job.Job {
		spec := replay.Spec{Target: &replay.Target{Protocol: "file", Endpoint: file}, Signals: []string{"traces"}}
		asks[api.JobView](t, at[fleet.RoleGateway], http.MethodPost, "/replay", api.ReplayRequest{ID: id, Spec: spec})
		var j api.JobView
		eventually(t, "the replay has ended", func() bool {
			j = asks[api.JobView](t, at[fleet.RoleAlerter], http.MethodGet, "/replay/"+id, nil)
			return j.Phase.Ended()
		})
		return j.Job
	}
	if j := run("copy", copied); j.Phase != job.PhaseDone || arrived(t, copied)["spans"] != 300 {
		t.Errorf("the replay is %+v, and %d spans are in the file", j, arrived(t, copied)["spans"])
	}
	if j := run("forbidden", "/etc/penstock-replay.json"); j.Phase != job.PhaseFailed || !strings.Contains(j.Error, dir) {
		t.Errorf("a file that is not allowed: %+v", j)
	}

	once := filepath.Join(t.TempDir(), "once.json")
	op, _ := process(t, join...)
	var told int
	j, err := ReplayOnce(t.Context(), op, Replay{Name: "once", Spec: replay.Spec{Target: &replay.Target{Protocol: "file", Endpoint: once}, Signals: []string{"traces"}}, Tell: func(job.Job) { told++ }})
	if err != nil || j.Phase != job.PhaseDone || arrived(t, once)["spans"] != 300 || told == 0 {
		t.Errorf("%v, told %d times, the job is %+v", err, told, j)
	}

	wr.end(t)
	order := []string{"replays and redrives", "stop pulling, finish exports", "tell the others that this process stops", "close the queue"}
	last := -1
	for _, step := range order {
		i := strings.Index(wlog.String(), `"step":"`+step)
		if i <= last {
			t.Errorf("the step %q is at %d of the log, not after %d", step, i, last)
		}
		last = i
	}
	eventually(t, "the worker has said that it stopped", func() bool {
		for _, p := range asks[api.Processes](t, at[fleet.RoleGateway], http.MethodGet, "/processes", nil).Processes {
			if p.Role == fleet.RoleWorker {
				return p.State == fleet.Stopped && len(p.Tallies) > 0 && p.Tallies[0].Exported == 300
			}
		}
		return false
	})
}

// TestBusy has a worker that does nothing.
func TestBusy(t *testing.T) {
	w, err := worker.New(worker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if busy(w, nil)("nowhere") {
		t.Error("a destination that is not there is busy")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.Stop(ctx); err != nil {
		t.Error(err)
	}
}
