package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
)

// hostileRSS is the most that a gateway may ever have resident, whatever clients
// send. Nothing sets GOMEMLIMIT. The queue is a server of its own, so that what
// is measured is the door.
const hostileRSS = 150 << 20

// halvesRSS is the same for half of four bodies of 64 MiB: they are what
// gateway.limits.max_in_flight_bytes, 128 MiB, is for.
const halvesRSS = 192 << 20

// calm is how long other clients are watched before an attack.
const calm = 2 * time.Second

// attackFor is how long an attack is repeated, for measurements: once, unless
// PENSTOCK_TEST_ATTACK says more.
func attackFor(t *testing.T) time.Duration {
	text := os.Getenv("PENSTOCK_TEST_ATTACK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("PENSTOCK_TEST_ATTACK: %v", err)
	}
	return d
}

// line is what attackers share: as fast as the machine, unless PENSTOCK_TEST_LINE
// says how many bytes a second it carries. Loopback has ten times a gigabit.
var line struct {
	sync.Mutex
	free time.Time // Mutex; when the next bytes may go
}

// pace waits until n bytes may be on the line.
func pace(t *testing.T, n int) {
	text := os.Getenv("PENSTOCK_TEST_LINE")
	if text == "" {
		return
	}
	rate, err := strconv.Atoi(text)
	if err != nil {
		t.Errorf("PENSTOCK_TEST_LINE: %v", err)
		return
	}
	line.Lock()
	now := time.Now()
	if line.free.Before(now) {
		line.free = now
	}
	at := line.free
	line.free = at.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	line.Unlock()
	time.Sleep(time.Until(at))
}

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

// victim is a running gateway with the defaults.
type victim struct{ *harness.Role }

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
	v := victim{harness.NewGateway(t, q, harness.GRPCDestination(sink.GRPCAddr))}
	worker := harness.NewWorker(t, q, harness.GRPCDestination(sink.GRPCAddr))
	v.Start()
	worker.Start()
	alone(t, v)
	others := startOthers(t, v)
	time.Sleep(calm) // a measurement, not a wait for something
	before := others.window(t)
	began := time.Now()
	humbly(t, func() {
		for attack(t, v); time.Since(began) < attackFor(t); {
			attack(t, v)
		}
	})
	took := time.Since(began)
	time.Sleep(time.Second - took) // an attack may be over before the others had a turn
	beside := others.window(t)
	if err := others.end(); err != nil {
		t.Errorf("the other clients: %v", err)
	}
	failures := append(before.Failures, beside.Failures...)
	u := v.Usage()
	t.Logf("RESULT %s | %.1f s | %d | %s | %s | %d MiB", strings.TrimPrefix(t.Name(), "TestHostile"), took.Seconds(), beside.N, before, beside, u.PeakRSS>>20)
	for i, f := range failures {
		t.Errorf("a request of another client failed: %s", f)
		if i == 5 {
			t.Fatalf("%d of %d in all", len(failures), before.N+beside.N)
		}
	}
	if beside.N == 0 {
		t.Error("no request of another client was answered during the attack")
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
