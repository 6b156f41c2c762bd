//go:build linux

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/bench/load"
)

// TestMain lets the test binary be the sink and the generator that measure
// starts, as the command's own binary is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "sink" || os.Args[1] == "generate") {
		main()
		return
	}
	probeFor, idleWatch = 200*time.Millisecond, 200*time.Millisecond
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if c, err := binary(); err == nil {
			c.cleanup()
		}
		os.Exit(code)
	}))
}

// built is the program under test, made once.
type built struct {
	path    string
	cleanup func()
}

var binary = sync.OnceValues(func() (built, error) {
	path, cleanup, err := penstockBinary(context.Background(), "")
	return built{path, cleanup}, err
})

// measured runs a whole measurement, small, of the real program.
func measured(t *testing.T, args ...string) (r report, said string) {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	dir := t.TempDir()
	err = run(context.Background(), append(args, "-penstock", bin.path, "-dir", t.TempDir(), "-results", dir, "-set", "log.level=warn"), &out, &errs)
	http.DefaultClient.CloseIdleConnections()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("result files %q, error %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r, out.String()
}

func TestBacklogOfPenstock(t *testing.T) {
	r, said := measured(t, "backlog", "-stored", "8", "-clients", "16")
	got := r.Backlog
	if got == nil || got.Stored < 8<<20 || got.FirstExport <= 0 || got.Drain < got.FirstExport || got.WorkerRSS <= 0 || got.Proof.Distinct != got.Items || got.Proof.Duplicates != 0 {
		t.Errorf("result %+v", got)
	}
	if !strings.Contains(said, "first export after") {
		t.Errorf("said %q", said)
	}
}

func TestReplayBesideLiveTraffic(t *testing.T) {
	r, said := measured(t, "replay", "-rate", "1000", "-pairs", "1", "-window", "2s", "-fill", "3s", "-durability", "process")
	got := r.Replay
	if got == nil || len(got.Windows) != 1 || got.Replayed == 0 || got.Ratio <= 0 {
		t.Fatalf("result %+v", got)
	}
	for _, g := range []load.Result{got.Windows[0].Alone, got.Windows[0].Beside} {
		if g.WindowItems == 0 || g.WindowItems > 2000+liveClients*liveItems || g.Latency.P99 < g.Latency.P50 || g.Latency.P50 <= 0 {
			t.Errorf("window %+v, want some 2000 items", g)
		}
	}
	if !strings.Contains(said, "p99 beside a replay") {
		t.Errorf("said %q", said)
	}
}

// TestRules is an alerter on one core with few series.
func TestRules(t *testing.T) {
	report, _ := measured(t, "rules", "-series", "2000", "-rules", "4", "-group", "2", "-interval", "1s", "-warmup", "10s", "-duration", "5s", "-set", "alerter.query_offset=1s")
	r := report.Rules
	if r == nil || !r.Fired || r.Missed != 0 || r.Failures != 0 || r.Samples < 500 || r.PeakRSS <= 0 || r.Cores <= 0 {
		t.Errorf("%+v", r)
	}
}
