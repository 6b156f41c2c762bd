package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/job"
)

// jobServer answers for one job: what it is at each look.
func jobServer(t *testing.T, looks ...func(w http.ResponseWriter)) string {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		looks[min(int(n.Add(1)), len(looks))-1](w)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func as(j api.JobView) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { _ = json.NewEncoder(w).Encode(j) }
}

func running(ratio float64) api.JobView {
	return api.JobView{Ratio: ratio, Job: job.Job{ID: "x", Kind: "replay", Phase: job.PhaseRunning, Wish: job.WishRun, UpdatedAt: time.Unix(int64(1e9*ratio), 0), Progress: job.Progress{Total: job.Amount{Items: 100}, Done: job.Amount{Items: uint64(100 * ratio)}}}}
}

func ended(p job.Phase) api.JobView {
	j := running(1)
	j.Phase, j.Error = p, "why"
	return j
}

// TestProgressOnATerminal shows a bar that is written anew, through an answer that
// is missing, and the result below it.
func TestProgressOnATerminal(t *testing.T) {
	var screen, out bytes.Buffer
	away := func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }
	f := &follower{live: &live{terminal: true, width: 80, out: &screen}, out: &out, format: "table", every: time.Millisecond,
		addr: jobServer(t, as(running(0.25)), away, as(running(0.75)), as(ended(job.PhaseDone)))}
	if err := f.follow(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(screen.String(), clear)
	if len(lines) != 5 || !strings.HasPrefix(lines[1], "[#####.................]  25 %") || !strings.HasPrefix(lines[2], "no answer") || !strings.HasPrefix(lines[4], "[######################] 100 %") {
		t.Errorf("the screen had %q", lines)
	}
	if !strings.HasSuffix(screen.String(), "\n") || !strings.Contains(out.String(), "job x is done") {
		t.Errorf("the end is %q and %q", lines[len(lines)-1], out.String())
	}
}

func TestProgressElsewhere(t *testing.T) {
	var log, out bytes.Buffer
	f := &follower{live: newLive(&log), out: &out, format: "json", every: time.Millisecond, addr: jobServer(t, as(running(0.5)), as(running(0.5)), as(ended(job.PhaseFailed)))}
	if err := f.follow(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "job x failed: why") {
		t.Errorf("got %v", err)
	}
	if n := strings.Count(out.String(), "\n"); n != 2 { // one an event, and what does not change is none
		t.Errorf("events are %s", out.String())
	}
	f = &follower{live: newLive(&log), out: &out, format: "table", every: time.Millisecond, addr: jobServer(t, as(running(0.5)), as(ended(job.PhaseCancelled)))}
	if err := f.follow(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "was cancelled") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(log.String(), "50 of 100 items") {
		t.Errorf("the log has %q", log.String())
	}
	f.addr = jobServer(t, func(w http.ResponseWriter) { http.Error(w, `{"detail":"no such job"}`, http.StatusNotFound) })
	if err := f.follow(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "no such job") {
		t.Errorf("got %v", err)
	}
}

// TestCtrlCLeavesTheJob looks away from a job that runs.
func TestCtrlCLeavesTheJob(t *testing.T) {
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{live: newLive(&log), out: io.Discard, format: "table", every: time.Millisecond,
		addr: jobServer(t, func(w http.ResponseWriter) { as(running(0.5))(w); cancel() })}
	if err := f.follow(ctx, "x"); err != nil {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"job x goes on", "penstock replay status --follow x", "penstock replay pause x", "penstock replay cancel x"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, log.String())
		}
	}
}

// TestConfirm answers as a person does, and as a script cannot.
func TestConfirm(t *testing.T) {
	f := func(answer string, want bool) {
		t.Helper()
		cmd := Root()
		var asked bytes.Buffer
		cmd.SetIn(strings.NewReader(answer))
		cmd.SetErr(&asked)
		if got, err := confirm(cmd, "remove 3 letters?"); err != nil || got != want || !strings.HasPrefix(asked.String(), "remove 3 letters? [y/N]") {
			t.Errorf("%q is %t, %v: %q", answer, got, err, asked.String())
		}
	}
	f("y\n", true)
	f("YES\n", true)
	f("n\n", false)
	f("\n", false)
	f("", false)
	file, err := os.Open(filepath.Join("testdata", "letters.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := Root()
	cmd.SetIn(file)
	if _, err := confirm(cmd, "sure?"); err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("a script is told %v", err)
	}
}

func TestWatchShowsAgainAndSaysWhatItCannot(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	err := watchStatus(ctx, &out, func(w io.Writer) error {
		_, _ = io.WriteString(w, "shown\n")
		defer time.AfterFunc(50*time.Millisecond, cancel)
		return context.DeadlineExceeded
	})
	if err != nil || out.String() != "shown\ncontext deadline exceeded\n" {
		t.Errorf("%v %q", err, out.String())
	}
}

// TestSplitRoles asks the gateway, which has no destinations, for those of the
// worker; gives one up that no worker has any more; and runs a replay in a process
// of its own.
func TestSplitRoles(t *testing.T) {
	b := newBackend(t)
	dir := t.TempDir()
	config := func(name, destination string) string {
		file := filepath.Join(dir, name)
		write(t, file, "destinations:\n  - {name: "+destination+", protocol: http, endpoints: ['"+b.URL+"'], compression: none}\n")
		return file
	}
	nats, grpc := freePort(t), freePort(t)
	gateway, worker := freePort(t), freePort(t)
	queue := []string{"--set", "queue.url=nats://" + nats, "--set", "queue.token=t0ken"}
	starts(t, "gateway", "--queue-dir", filepath.Join(dir, "data"), "--set", "queue.max_bytes=64MiB", "--set", "queue.durability=process", "--set", "queue.token=t0ken",
		"--queue-listen", nats, "--grpc-listen", grpc, "--http-listen", "127.0.0.1:0", "--admin-listen", gateway)
	ready(t, gateway)
	stop := starts(t, append([]string{"worker", "--config", config("old.yaml", "old"), "--admin-listen", worker}, queue...)...)
	ready(t, worker)
	stop()
	starts(t, append([]string{"worker", "--config", config("new.yaml", "new"), "--admin-listen", worker}, queue...)...)
	ready(t, worker)
	wants(t, 0, `accepted 200 spans`, ``, "send", "--target", grpc, "--signal", "traces", "--count", "200")
	for _, admin := range []string{gateway, worker} { // any process answers for the whole queue
		until(t, "both destinations", func() bool {
			waiting := map[string]uint64{}
			workers := map[string]int{}
			for _, d := range reads[api.Destinations](t, "destination", "ls", "--admin", admin).Destinations {
				workers[d.Name] = len(d.Workers)
				for _, l := range d.Lags {
					waiting[d.Name] += l.Pending + uint64(l.InFlight)
				}
			}
			return len(workers) == 2 && workers["new"] == 1 && waiting["new"] == 0 && waiting["old"] == 2
		})
	}
	until(t, "the ledger to have seen both", func() bool {
		l := reads[api.Status](t, "status", "--admin", gateway).Ledger
		if l == nil {
			return false
		}
		old, _ := l.Row("traces", "old")
		return old.Pending == 200
	})
	wants(t, 1, ``, `configured at worker-`, "destination", "drop", "new", "--yes", "--admin", gateway)
	wants(t, 0, `(?s)old is given up.*PENSTOCK_TRACES_0 +2`, ``, "destination", "drop", "old", "--yes", "--admin", gateway)
	wants(t, 1, ``, `no stream has its durable`, "destination", "drop", "old", "--yes", "--admin", gateway)
	until(t, "the ledger to know it", func() bool {
		l := reads[api.Status](t, "status", "--admin", worker).Ledger
		if l == nil {
			return false
		}
		old, _ := l.Row("traces", "old")
		fresh, _ := l.Row("traces", "new")
		return old.Dropped && old.Purged == 200 && fresh.Exported == 200 && l.OK
	})

	once := append([]string{"replay", "run", "--config", config("once.yaml", "new"), "--id", "night", "--destination", "new", "--log-level", "warn"}, queue...)
	wants(t, 0, `(?s)job night is done.*200 items`, ``, once...)
	n := b.replayed.Load()
	wants(t, 0, `"phase":"done"`, ``, append(once, "-o", "json")...)
	if again := b.replayed.Load(); again != n || n == 0 {
		t.Errorf("%d requests were replayed, and %d after the job was run again", n, again)
	}
	wants(t, 2, ``, `name a configured destination`, append([]string{"replay", "run"}, queue...)...)
	wants(t, 1, ``, `queue.url`, "replay", "run", "--destination", "debug")
	wants(t, 1, ``, `nowhere`, append([]string{"replay", "run", "--destination", "nowhere", "--log-level", "error"}, queue...)...)
	if s := reads[deadletter.Summary](t, "dlq", "ls", "--summary", "--admin", worker); s.Letters != 0 {
		t.Errorf("letters are %+v", s)
	}
}
