package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/penstock-otel/penstock/integration/harness"
)

// hostileRSS is the most that a gateway may ever have resident, whatever clients
// send. Nothing sets GOMEMLIMIT. The queue is a server of its own, so that what
// is measured is the door.
const hostileRSS = 150 << 20

// halvesRSS is the same for half of four bodies of 64 MiB: they are what
// gateway.limits.max_in_flight_bytes, 128 MiB, is for.
const halvesRSS = 192 << 20

// alone gives the gateway a core of its own, for measurements: that whose number
// PENSTOCK_TEST_CORE has. What runs beside it has to be kept on the others (taskset).
func alone(t *testing.T, v victim) {
	t.Helper()
	core := os.Getenv("PENSTOCK_TEST_CORE")
	if core == "" {
		return
	}
	if out, err := exec.Command("taskset", "-acp", core, fmt.Sprint(v.PID())).CombinedOutput(); err != nil {
		t.Fatalf("taskset: %v: %s", err, out)
	}
}

// victim is a running gateway with the defaults, and where it is attacked.
type victim struct {
	*harness.Role
	GRPCAddr, HTTPAddr string

	// arrived ends the part of an attack that is watched by itself, and told of: what
	// is begun after it is the attack.
	arrived func()
}

// underAttack runs a Penstock, and other clients beside an attack on it. All of
// their requests have to succeed, the memory stays within its bound, the process
// goes on. Their latencies are printed, not asserted: other things run here too.
func underAttack(t *testing.T, attack func(t *testing.T, v victim)) {
	t.Helper()
	underAttackWithin(t, hostileRSS, attack)
}

func underAttackWithin(t *testing.T, rss int64, attack func(t *testing.T, v victim)) {
	t.Helper()
	sink := harness.NewSink(t)
	nats := harness.NewNATS(t)
	nats.Start()
	q := harness.Queue{URL: nats.URL, MonitorURL: nats.MonitorURL, Durability: "process", MaxBytes: "1GiB"}
	gateway := harness.NewGateway(t, q, harness.GRPCDestination(sink.GRPCAddr))
	worker := harness.NewWorker(t, q, harness.GRPCDestination(sink.GRPCAddr))
	gateway.Start()
	worker.Start()
	v := victim{Role: gateway, GRPCAddr: gateway.GRPCAddr, HTTPAddr: gateway.HTTPAddr}
	alone(t, v)
	others := startOthers(t, v)
	v.arrived = func() {
		w := others.window(t)
		t.Logf("ARRIVED %s | %d | %s", strings.TrimPrefix(t.Name(), "TestHostile"), w.N, w)
		for _, f := range w.Failures {
			t.Errorf("a request of another client failed meanwhile: %s", f)
		}
	}
	if os.Getenv(floorEnv) == "1" {
		v.GRPCAddr, v.HTTPAddr = startThrower(t)
	}
	var all turns
	for range turnsOf(t) {
		turn := takeTurn(t, v, others, attack)
		all = append(all, turn)
		t.Logf("RESULT %s | %s", strings.TrimPrefix(t.Name(), "TestHostile"), turn)
	}
	if err := others.end(); err != nil {
		t.Errorf("the other clients: %v", err)
	}
	u := v.Usage()
	t.Logf("MEDIANS %s | %s | %d MiB", strings.TrimPrefix(t.Name(), "TestHostile"), all, u.PeakRSS>>20)
	for i, f := range all.failures() {
		t.Errorf("a request of another client failed: %s", f)
		if i == 5 {
			t.Fatalf("%d in all", len(all.failures()))
		}
	}
	if u.PeakRSS > rss && os.Getenv("PENSTOCK_TEST_RACE") == "" { // the race detector multiplies memory
		t.Errorf("%d MiB were resident, want at most %d", u.PeakRSS>>20, rss>>20)
	}
	if v.Ended() {
		t.Fatal("the process ended")
	}
	worker.Terminate()
	v.Terminate()
}

// manyFiles raises the limit of open files, for this process and those that it
// starts.
func manyFiles(t *testing.T, n uint64) {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	if l.Cur >= n {
		return
	}
	raised := syscall.Rlimit{Cur: n, Max: max(n, l.Max)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
		t.Fatalf("%d files are needed and the limit is %d: %v; run as root or raise it (ulimit -n)", n, l.Max, err)
	}
}
