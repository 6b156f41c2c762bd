package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/conformance"
	"github.com/penstock-otel/penstock/integration/harness"
)

// conformancePatience bounds one run of the suite; alone on a machine it takes
// two minutes.
const conformancePatience = 12 * time.Minute

// conformanceDestination is to the letter of OTLP, as conformance/README.md has
// it.
const conformanceDestination = "retry: {initial: 200ms, max: 5s}, breaker: {failures: 0}, on_refusal: strict"

// conforming starts Penstock for the suite, with destinations at two addresses on
// which the suite will listen, with TLS when it has the file of an authority.
func conforming(t *testing.T, ca string) (up *harness.Role, grpc, http string) {
	t.Helper()
	t.Setenv("PENSTOCK_GATEWAY_COMPRESSION_CODEC", "none") // an item can be too large for the queue
	grpc, http = harness.FreeAddr(t), harness.FreeAddr(t)
	up = harness.NewUpTo(t, harness.Queue{Dir: t.TempDir(), Durability: "process", MaxBytes: "2GiB"}, harness.Destinations(
		harness.Destination{Name: "grpc", Protocol: "grpc", Endpoint: grpc, CA: ca, More: conformanceDestination},
		harness.Destination{Name: "http", Protocol: "http", Endpoint: http, CA: ca, More: conformanceDestination}))
	up.Start()
	return up, grpc, http
}

// runConformance runs the suite's own command and wants every row to pass but
// those that cannot apply.
func runConformance(t *testing.T, except []string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), harness.Binary(t, harness.Conformance), append(args, "-o", "json", "-no-progress")...)
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	timer := time.AfterFunc(conformancePatience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, errs.String())
	}
	report := new(conformance.Report)
	if err := json.Unmarshal(out.Bytes(), report); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	for _, r := range report.Rows {
		if r.Outcome == conformance.Pass || slices.Contains(except, r.ID) && r.Outcome == conformance.NotApplicable || beyond(r) {
			continue
		}
		t.Errorf("row %s (%s) %s: %s: %s", r.ID, r.Level, r.Rule, r.Outcome, r.Reason)
		for _, c := range r.Cases {
			if c.Outcome != conformance.Pass {
				t.Logf("%s %s: %s %s\nsent:     %s\nexpected: %s\nseen:     %s", r.ID, c.Name, c.Outcome, c.Reason, c.Sent, c.Expected, c.Seen)
			}
		}
	}
	t.Log(report.Summary())
}

// beyond: what the specification leaves open is noted.
func beyond(r conformance.Result) bool {
	return r.Level == "beyond" && (r.Outcome == conformance.Note || r.Outcome == conformance.NotApplicable)
}

// ports are the rows about default ports: tests take free ones.
var ports = []string{"G12", "H15"}

// TestConformance: the OTLP conformance suite over gRPC and HTTP, and its scripts
// for Penstock as a client; at its end the process stops in order.
func TestConformance(t *testing.T) {
	up, grpc, http := conforming(t, "")
	runConformance(t, ports, "-grpc", up.GRPCAddr, "-http", "http://"+up.HTTPAddr, "-backend-grpc", grpc, "-backend-http", http,
		"-overload", "-quiet", "3s", "-rejected-item-bytes", fmt.Sprint(16<<20), "-client-max-bytes", fmt.Sprint(3584<<10),
		"-metrics-url", "http://"+up.AdminAddr+"/metrics", "-undelivered-metric", "^penstock_exporter_dead_letters_total",
		"-stop-pid", fmt.Sprint(up.PID()))
	if code := up.Wait(30 * time.Second); code != 0 {
		t.Errorf("exit code %d after the suite's SIGTERM", code)
	}
}

// TestConformanceTLS: the same over gRPC with TLS and HTTPS, in at the front and out
// to the backends.
func TestConformanceTLS(t *testing.T) {
	cert, key := harness.Certificate(t)
	for _, listener := range []string{"GRPC", "HTTP"} {
		t.Setenv("PENSTOCK_GATEWAY_"+listener+"_TLS_CERT_FILE", cert)
		t.Setenv("PENSTOCK_GATEWAY_"+listener+"_TLS_KEY_FILE", key)
	}
	up, grpc, http := conforming(t, cert)
	runConformance(t, ports, "-grpc", up.GRPCAddr, "-http", "https://"+up.HTTPAddr, "-tls", "-ca", cert,
		"-backend-grpc", grpc, "-backend-http", http, "-backend-cert", cert, "-backend-key", key,
		"-overload", "-quiet", "3s", "-rejected-item-bytes", fmt.Sprint(16<<20), "-client-max-bytes", fmt.Sprint(3584<<10),
		"-metrics-url", "http://"+up.AdminAddr+"/metrics", "-undelivered-metric", "^penstock_exporter_dead_letters_total",
		"-stop-pid", fmt.Sprint(up.PID()))
	if code := up.Wait(30 * time.Second); code != 0 {
		t.Errorf("exit code %d after the suite's SIGTERM", code)
	}
}

// TestConformanceResults: what is checked in has every row, and Penstock passes
// them all.
func TestConformanceResults(t *testing.T) {
	for name, must := range map[string]bool{"penstock": true, "collector": false} {
		b, err := os.ReadFile(filepath.Join("..", "conformance", "results", name+".json"))
		if err != nil {
			t.Fatalf("%v: make conformance writes it", err)
		}
		report := new(conformance.Report)
		if err := json.Unmarshal(b, report); err != nil {
			t.Fatal(err)
		}
		got := map[string]conformance.Result{}
		for _, r := range report.Rows {
			got[r.ID] = r
		}
		for _, row := range conformance.Rows() {
			r, ok := got[row.ID]
			if !ok || r.Rule != row.Rule || r.Level != row.Level {
				t.Errorf("%s: row %s is not the one of the suite: make conformance", name, row.ID)
			}
			if must && r.Outcome != conformance.Pass && !beyond(r) {
				t.Errorf("%s: row %s is %s: %s", name, row.ID, r.Outcome, r.Reason)
			}
		}
	}
}
