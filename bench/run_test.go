//go:build linux

package main

import (
	"context"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/bench/load"
	"github.com/penstock-otel/penstock/bench/procstat"
	"github.com/penstock-otel/penstock/bench/sink"
)

// short measures scenarios in windows as short as they can be. In one that was too
// short for this machine nothing arrives, or no tick of the clock of CPU time: then
// longer ones follow.
func short(t *testing.T, scenarios string, more ...string) (r report, said string) {
	t.Helper()
	for window := time.Second; ; window *= 4 {
		args := []string{"run", "-scenarios", scenarios, "-warmup", "300ms", "-duration", window.String(), "-cell", (window / 2).String(), "-durability", "process"}
		r, said = measured(t, append(args, more...)...)
		if window > 10*time.Second || !slices.ContainsFunc(r.Results, empty) {
			return r, said
		}
		t.Logf("windows of %s were too short", window)
	}
}

func empty(r Result) bool {
	system := r.Processes[r.System]
	return r.Clients.WindowItems == 0 || r.Delivered <= 0 && r.Scenario != "gateway" || r.CPU <= 0 || system.User+system.System <= 0 ||
		r.Whole == nil || r.Whole.CPU <= 0
}

// sound is what every result must have.
func sound(t *testing.T, r Result) {
	t.Helper()
	system := r.Processes[r.System]
	if r.Accepted <= 0 || r.CPU <= 0 || r.PeakRSS <= 0 || r.Clients.Failed != 0 || r.Clients.WindowItems == 0 ||
		r.IDs && r.Proof.Distinct < r.Clients.AckedItems || r.Proof.Items < r.Clients.AckedItems || r.Proof.Duplicates != 0 {
		t.Errorf("result %+v", r)
	}
	if system.User+system.System <= 0 || system.RSS <= 0 || r.Processes["generator"].PeakRSS <= 0 || r.Processes["sink"].PeakRSS <= 0 {
		t.Errorf("processes %+v", r.Processes)
	}
	if w := r.Whole; w == nil || w.Items != r.Clients.AckedItems || w.Seconds < r.Seconds || w.Rate <= 0 || w.CPU <= 0 {
		t.Errorf("the whole load: %+v", w)
	}
	if len(r.Clients.Latency.Distribution) == 0 || r.Clients.Latency.P50 <= 0 {
		t.Errorf("latency %+v", r.Clients.Latency)
	}
}

// ofPenstock is what it tells of itself.
func ofPenstock(t *testing.T, r Result) {
	t.Helper()
	if r.Stored == nil || r.Stored.Share <= 0 || r.Stored.Share >= 1 || r.Commits == nil || r.Commits.P99 < r.Commits.P50 || r.Commits.P50 <= 0 || r.Commits.Items <= 0 {
		t.Errorf("stored %+v, commits %+v", r.Stored, r.Commits)
	}
}

// TestScenariosOfOneWindow is a whole measurement, short, of the real program.
func TestScenariosOfOneWindow(t *testing.T) {
	r, said := short(t, "traces100,metrics,zstd,http", "-clients", "8")
	if len(r.Results) != 4 {
		t.Fatalf("%d results", len(r.Results))
	}
	for _, x := range r.Results {
		sound(t, x)
		ofPenstock(t, x)
		if x.Delivered <= 0 || x.RawBytes < 80 || x.ExportItems <= 0 {
			t.Errorf("%s: %+v", x.Scenario, x)
		}
	}
	if len(r.Targets) != 7 { // of traces100 and metrics1000
		t.Errorf("targets %+v", r.Targets)
	}
	for _, want := range []string{"traces100", "metrics1000", "zstd", "http", "items/s delivered", "peak resident", "durability process"} {
		if !strings.Contains(said, want) {
			t.Errorf("table lacks %q:\n%s", want, said)
		}
	}
	if p := r.Results[0].Processes["penstock"]; p.Syncs == 0 && p.NoSyncs == "" && os.Geteuid() != 0 {
		t.Errorf("no syncs and no word why: %+v", p)
	}
}

func TestManyConnections(t *testing.T) {
	r, said := short(t, "small10", "-connections", "100", "-clients", "100")
	sound(t, r.Results[0])
	if i := r.Results[0].Idle; i == nil || i.Connections != 1000 || i.Before <= 0 || i.After <= 0 { // a collection between may make it less
		t.Errorf("idle connections %+v", i)
	}
	if !strings.Contains(said, "1000 idle connections") {
		t.Errorf("said %s", said)
	}
}

func TestHalfLoad(t *testing.T) {
	r, _ := short(t, "half", "-rate", "20000")
	if len(r.Results) != 2 || r.Results[0].Variant != "strict" || r.Results[1].Variant != "process" || len(r.Targets) != 2 {
		t.Fatalf("%d results, targets %+v", len(r.Results), r.Targets)
	}
	for _, x := range r.Results {
		sound(t, x)
		if x.Disk == nil || x.Disk.Syncs == 0 || x.Disk.Latency.P99 <= 0 || x.Load.Rate != 20000 || x.Durability != x.Variant {
			t.Errorf("%s: disk %+v, load %+v", x.Variant, x.Disk, x.Load)
		}
	}
}

func TestTurns(t *testing.T) {
	r, said := short(t, "shards,profile", "-turns", "1", "-clients", "8")
	if len(r.Results) != 4 || len(r.Ratios) != 4 || len(r.Targets) != 1 {
		t.Fatalf("%d results, ratios %+v, targets %+v", len(r.Results), r.Ratios, r.Targets)
	}
	for _, x := range r.Results {
		sound(t, x)
	}
	for _, x := range r.Ratios {
		if len(x.Turns) != 1 || x.Median != x.Turns[0] || x.Median <= 0 {
			t.Errorf("ratio %+v", x)
		}
	}
	if !strings.Contains(said, "delivered of 4 shards is") || !strings.Contains(said, "price of fsync") {
		t.Errorf("said %s", said)
	}
}

func TestGatewayAlone(t *testing.T) {
	r, _ := short(t, "gateway", "-clients", "8")
	x := r.Results[0]
	sound(t, x)
	if x.Delivered != 0 || !x.PerAccepted || x.Proof.Distinct < x.Clients.AckedItems {
		t.Errorf("result %+v", x)
	}
}

func TestExternalQueue(t *testing.T) {
	r, _ := short(t, "external3", "-clients", "8", "-durability", "strict")
	x := r.Results[0]
	sound(t, x)
	if n := x.Processes["nats"]; n.User+n.System <= 0 || n.Written <= 0 {
		t.Errorf("nats-servers %+v", n)
	}
}

func TestMatrix(t *testing.T) {
	batches, concurrency := seedBatches, seedConcurrency
	seedBatches, seedConcurrency = []int{100, 5000}, []int{10}
	defer func() { seedBatches, seedConcurrency = batches, concurrency }()
	r, _ := short(t, "seed")
	if len(r.Results) != 4 || r.Results[3].Variant != "trace3 5000 x 10" || r.Results[3].Load.Story != "trace3" {
		t.Fatalf("%d results", len(r.Results))
	}
	for _, x := range r.Results {
		sound(t, x)
	}
}

// startSink gives the address of a sink's counters after it has taken something.
func startSink(t *testing.T) (stats string) {
	t.Helper()
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sink.Run(ctx, []string{"-listen", ports[0], "-stats", ports[1]}) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("sink: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	in, commands := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		sent <- load.Run(ctx, []string{"-target", ports[0], "-clients", "1", "-connections", "1"}, in, io.Discard)
	}()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if now, err := sink.Read(ctx, ports[1]); err == nil && now.Items > 0 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("nothing arrived: %v", err)
		}
	}
	commands.Close()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return ports[1]
}

func TestDrainedDoesNotBelieveAnExcess(t *testing.T) {
	stats := startSink(t)
	if _, err := drained(context.Background(), stats, 1, 0, false); err == nil {
		t.Error("more items than were acknowledged passed as proof")
	}
	if _, err := drained(context.Background(), stats, 1, 1, false); err != nil {
		t.Errorf("a request failed, its items may be among those that arrived: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := drained(ctx, stats, 1<<40, 0, false); err == nil {
		t.Error("fewer items than were acknowledged passed as proof")
	}
}

func TestScenariosAreChosenByNameOrLetter(t *testing.T) {
	got, err := pickScenarios(options{scenarios: "logs, traces100,h", clients: 7, connections: 3})
	if err != nil || len(got) != 4 || got[0].name != "logs512" || got[1].load.Clients != 7 || got[1].load.Connections != 3 || got[3].name != "zstd" {
		t.Errorf("got %+v, error %v", got, err)
	}
	if scenarios[0].load.Clients == 7 {
		t.Error("the table was changed")
	}
	if _, err := pickScenarios(options{scenarios: "profiles"}); err == nil || !strings.Contains(err.Error(), "traces100, metrics1000, logs512") {
		t.Errorf("error %v does not name the scenarios", err)
	}
	for _, args := range [][]string{{"-clients", "1", "extra"}, {"run", "extra"}, {"list", "extra"}, {"nothing"}, {"run", "-turns", "0"}, {"compare", "-collector", "/nothing"}} {
		if err := run(context.Background(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	var out strings.Builder
	if err := run(context.Background(), []string{"list"}, &out, io.Discard); err != nil || !strings.Contains(out.String(), "delivered ≥ 330000 items/s") {
		t.Errorf("list says %s, %v", out.String(), err)
	}
}

func TestReportNamesCommandCommitAndMachine(t *testing.T) {
	o, err := parseOptions("run", []string{"-scenarios", "traces", "-set", "a=b", "-set", "c=d"}, io.Discard)
	if err != nil || len(o.set) != 2 {
		t.Fatalf("options %+v, error %v", o, err)
	}
	m := map[string]*meter{"penstock": newMeter(false), "nats": newMeter(false)}
	use := func(cpu time.Duration, written int64) reading {
		return reading{Usage: procstat.Usage{User: cpu, Written: written}}
	}
	a := snapshot{at: time.Unix(100, 0), of: map[string]reading{}, metrics: series{
		`penstock_queue_committed_raw_bytes_total{signal="traces"}`: 100, `penstock_queue_committed_bytes_total{signal="traces"}`: 10}}
	b := snapshot{at: time.Unix(110, 0), arrived: sink.Stats{Requests: 10, Items: 1_000_000, Bytes: 440_000_000},
		of: map[string]reading{"penstock": use(4*time.Second, 100_000_000), "nats": use(time.Second, 50_000_000)},
		metrics: series{
			`penstock_queue_committed_raw_bytes_total{signal="traces"}`: 1100, `penstock_queue_committed_bytes_total{signal="traces"}`: 210,
			`penstock_queue_committed_items_total{signal="traces"}`: 10, `penstock_commit_seconds_count`: 10,
			`penstock_commit_seconds_bucket{le="0.001"}`: 5, `penstock_commit_seconds_bucket{le="0.002"}`: 10, `penstock_commit_seconds_bucket{le="+Inf"}`: 10}}
	x := figures(a, b, load.Result{WindowItems: 2_000_000}, m)
	x.Scenario, x.System = "traces100", "penstock"
	if x.Delivered != 100_000 || x.Accepted != 200_000 || x.CPU != 4 || x.Written != 150 || x.RawBytes != 440 || x.ExportItems != 100_000 ||
		x.Stored.Share != 0.2 || x.Commits.P50 != 1 || math.Abs(x.Commits.P99-1.98) > 1e-9 || x.Processes["nats"].PerItem != 1 {
		t.Errorf("figures %+v, stored %+v, commits %+v", x, x.Stored, x.Commits)
	}
	r := newReport([]string{"run", "-scenarios", "traces"}, o.common)
	r.add(outcome{Results: []Result{x}, Targets: scenarios[0].verdicts(x)})
	var table strings.Builder
	r.table(&table)
	dir := filepath.Join(t.TempDir(), "results")
	path, err := r.write(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.write(dir); err != nil || again == path { // another run of the same second
		t.Errorf("a second run was written to %s, %v", again, err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"go run ./bench run -scenarios traces", `"system_cpu_us_per_item": 4`, `"kernel"`, r.Commit} {
		if !strings.Contains(string(file), want) {
			t.Errorf("result file lacks %q:\n%s", want, file)
		}
	}
	for _, want := range []string{"100000", "missed by 69.7 %", "missed by 33.3 %", "not counted: -syncs=false", "a=b, c=d"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, table.String())
		}
	}
}

func TestVerdicts(t *testing.T) {
	c := delivered(100).orElse(cpu(2))
	for _, x := range []struct {
		r    Result
		met  bool
		said string
	}{
		{Result{Delivered: 100, CPU: 9}, true, "met"},
		{Result{Delivered: 50, CPU: 2}, true, "missed by 50 %, but CPU met"},
		{Result{Delivered: 50, CPU: 3}, false, "missed by 50 %"},
	} {
		if v := c.judge(x.r); v.Met != x.met || v.Said != x.said {
			t.Errorf("%+v: %+v", x.r, v)
		}
	}
}

func TestQuantileOfAHistogram(t *testing.T) {
	b := func(le string) string { return `h_bucket{le="` + le + `"}` }
	before := series{b("1"): 10, b("2"): 10, b("+Inf"): 10}
	after := series{b("1"): 10, b("2"): 14, b("+Inf"): 20}
	if v, more := after.quantile(before, "h", 0.2); v != 1.5 || more {
		t.Errorf("%v, %v", v, more)
	}
	if v, more := after.quantile(before, "h", 0.9); v != 2 || !more {
		t.Errorf("above the last bound: %v, %v", v, more)
	}
	if v, more := before.quantile(before, "h", 0.9); v != 0 || more {
		t.Errorf("of nothing: %v, %v", v, more)
	}
}
