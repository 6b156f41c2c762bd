//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the sink and the generator that measure
// starts, as the command's own binary is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "sink" || os.Args[1] == "generate") {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// TestMeasureOfPenstock is a whole measurement, short, of the real program.
func TestMeasureOfPenstock(t *testing.T) {
	var out, errs strings.Builder
	dir := t.TempDir()
	err := run(context.Background(), []string{"-scenarios", "traces", "-warmup", "300ms", "-duration", "1s", "-clients", "8",
		"-durability", "process", "-dir", t.TempDir(), "-results", dir, "-set", "log.level=warn"}, &out, &errs)
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
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	got := r.Results[0]
	if got.Delivered <= 0 || got.Accepted <= 0 || got.CPUMicros <= 0 || got.PeakRSS <= 0 || got.RawBytes < 300 ||
		got.Latency.Failed != 0 || got.Proof.Distinct != got.Latency.AckedItems || got.Proof.Duplicates != 0 {
		t.Errorf("result %+v", got)
	}
}

// measured runs a whole measurement, small, of the real program.
func measured(t *testing.T, args ...string) (r report, said string) {
	t.Helper()
	var out, errs strings.Builder
	dir := t.TempDir()
	err := run(context.Background(), append(args, "-dir", t.TempDir(), "-results", dir, "-set", "log.level=warn"), &out, &errs)
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
	for _, g := range []generated{got.Windows[0].Alone, got.Windows[0].Beside} {
		if g.WindowItems == 0 || g.WindowItems > 2000+liveClients*liveItems || g.P99 < g.P50 || g.P50 <= 0 {
			t.Errorf("window %+v, want some 2000 items", g)
		}
	}
	if !strings.Contains(said, "p99 beside a replay") {
		t.Errorf("said %q", said)
	}
}

func startSink(t *testing.T, ids bool) (addr, stats string) {
	t.Helper()
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	args := []string{"-listen", ports[0], "-stats", ports[1]}
	if ids {
		args = append(args, "-ids")
	}
	go func() { done <- runSink(ctx, args) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("sink: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := readStats(ctx, ports[1]); err == nil {
			return ports[0], ports[1]
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestGeneratorIntoSink is the measurement without what it measures: every
// acknowledged item is counted, in number and by identity.
func TestGeneratorIntoSink(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.Name, func(t *testing.T) {
			addr, stats := startSink(t, s.IDs)
			in, commands := io.Pipe()
			var out bytes.Buffer
			done := make(chan error, 1)
			go func() {
				done <- runGenerate(context.Background(), []string{"-target", addr, "-signal", s.Signal, "-items", "50", "-connections", "2", "-clients", "4"}, in, &out)
			}()
			io.WriteString(commands, "mark\n")
			for {
				if now, err := readStats(context.Background(), stats); err != nil {
					t.Fatal(err)
				} else if now.Items >= 10_000 {
					break
				}
			}
			io.WriteString(commands, "end\n")
			commands.Close()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			var g generated
			if err := json.Unmarshal(out.Bytes(), &g); err != nil {
				t.Fatal(err)
			}
			got, err := drained(context.Background(), stats, g, s.IDs)
			if err != nil {
				t.Fatal(err)
			}
			if g.Failed != 0 || got.Items != g.AckedItems || got.Duplicates != 0 || s.IDs && got.Distinct != got.Items {
				t.Errorf("acknowledged %+v, arrived %+v", g, got)
			}
			if g.WindowItems == 0 || g.P50 <= 0 || g.P99 < g.P50 || g.Max < g.P99 {
				t.Errorf("window and latencies are %+v", g)
			}
		})
	}
}

func TestFailedRequestsAreCounted(t *testing.T) {
	ports, err := freePorts(1) // nobody listens there
	if err != nil {
		t.Fatal(err)
	}
	in, commands := io.Pipe()
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() {
		done <- runGenerate(context.Background(), []string{"-target", ports[0], "-clients", "1", "-connections", "1"}, in, &out)
	}()
	commands.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var g generated
	if err := json.Unmarshal(out.Bytes(), &g); err != nil {
		t.Fatal(err)
	}
	if g.AckedItems != 0 {
		t.Errorf("nobody answered and %+v", g)
	}
}

func TestDrainedDoesNotBelieveAnExcess(t *testing.T) {
	addr, stats := startSink(t, false)
	in, commands := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- runGenerate(context.Background(), []string{"-target", addr, "-clients", "1", "-connections", "1"}, in, io.Discard)
	}()
	for {
		if now, err := readStats(context.Background(), stats); err != nil || now.Items > 0 {
			break
		}
	}
	commands.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := drained(context.Background(), stats, generated{AckedItems: 1}, false); err == nil {
		t.Error("more items than were acknowledged passed as proof")
	}
}

func TestScenariosAreChosenByName(t *testing.T) {
	got, err := pickScenarios(options{scenarios: "logs, traces", clients: 7, connections: 3})
	if err != nil || len(got) != 2 || got[0].Name != "logs" || got[1].Clients != 7 || got[1].Connections != 3 {
		t.Errorf("got %+v, error %v", got, err)
	}
	if _, err := pickScenarios(options{scenarios: "profiles"}); err == nil || !strings.Contains(err.Error(), "traces, metrics, logs") {
		t.Errorf("error %v does not name the scenarios", err)
	}
	if _, err := parse([]string{"extra"}, io.Discard); err == nil {
		t.Error("an argument too many was taken")
	}
}

func TestReportNamesCommandCommitAndMachine(t *testing.T) {
	o, err := parse([]string{"-scenarios", "traces", "-set", "a=b", "-set", "c=d"}, io.Discard)
	if err != nil || len(o.set) != 2 {
		t.Fatalf("options %+v, error %v", o, err)
	}
	s := scenarios[0]
	a := snapshot{at: time.Unix(100, 0)}
	b := snapshot{at: time.Unix(110, 0), sink: sinkStats{Requests: 10, Items: 1_000_000, Bytes: 440_000_000}}
	b.penstock.CPU, b.penstock.Written = 4*time.Second, 100_000_000
	r := newReport([]string{"-scenarios", "traces"}, o, []Result{figures(s, a, b, generated{WindowItems: 2_000_000})})
	got := r.Results[0]
	if got.Delivered != 100_000 || got.Accepted != 200_000 || got.CPUMicros != 4 || got.Written != 100 || got.RawBytes != 440 || got.ExportItems != 100_000 {
		t.Errorf("figures %+v", got)
	}
	var table strings.Builder
	r.table(&table)
	path, err := r.write(filepath.Join(t.TempDir(), "results"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"go run ./bench -scenarios traces", `"penstock_cpu_us_per_item": 4`, `"kernel"`, r.Commit} {
		if !strings.Contains(string(file), want) {
			t.Errorf("result file lacks %q:\n%s", want, file)
		}
	}
	if !strings.Contains(table.String(), "100000") {
		t.Errorf("table lacks the rate:\n%s", table.String())
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
