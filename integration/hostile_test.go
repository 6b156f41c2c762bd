package integration

import (
	"fmt"
	"os"
	"slices"
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

// calm is how long other clients are watched before an attack.
const calm = 2 * time.Second

// hugeRSS is the same where what is sent is sound, or looks so, and each request
// has 10 MiB and more: it is held as it came, in its group, compressed and as it
// is written to the queue, and a collector that has to share the cores comes
// late.
const hugeRSS = 320 << 20

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
	others := startOthers(t, v)
	time.Sleep(calm) // a measurement, not a wait for something
	before := others.window()
	began := time.Now()
	attack(t, v)
	took := time.Since(began)
	time.Sleep(time.Second - took) // an attack may be over before the others had a turn
	beside := others.window()
	failures := others.stop()
	u := v.Usage()
	t.Logf("RESULT %s | %.1f s | %d | %s | %s | %d MiB", strings.TrimPrefix(t.Name(), "TestHostile"), took.Seconds(), beside.n, before, beside, u.PeakRSS>>20)
	for i, f := range failures {
		t.Errorf("a request of another client failed: %v", f)
		if i == 5 {
			t.Fatalf("%d of %d in all", len(failures), before.n+beside.n)
		}
	}
	if beside.n == 0 {
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

// others are clients that mean well: over both transports, on connections of
// their own, at a steady pace.
type others struct {
	done chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	took     []time.Duration // mu; since the last window
	failures []error         // mu
}

func startOthers(t *testing.T, v victim) *others {
	t.Helper()
	o := &others{done: make(chan struct{})}
	for i := range 4 {
		send := harness.Client(t, v.GRPCAddr, v.HTTPAddr, i%2 == 0)
		o.wg.Go(func() {
			for {
				select {
				case <-o.done:
					return
				case <-time.After(10 * time.Millisecond):
				}
				began := time.Now()
				err := send()
				o.mu.Lock()
				if err != nil {
					o.failures = append(o.failures, err)
				} else {
					o.took = append(o.took, time.Since(began))
				}
				o.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { o.stop() })
	return o
}

// latencies of a window.
type latencies struct {
	n        int
	p50, p99 time.Duration
}

func (l latencies) String() string {
	return fmt.Sprintf("%.1f / %.1f ms", float64(l.p50.Microseconds())/1000, float64(l.p99.Microseconds())/1000)
}

// window takes what was measured since the last one.
func (o *others) window() (l latencies) {
	o.mu.Lock()
	defer o.mu.Unlock()
	slices.Sort(o.took)
	if l.n = len(o.took); l.n > 0 {
		l.p50, l.p99 = o.took[l.n/2], o.took[l.n*99/100]
	}
	o.took = nil
	return l
}

func (o *others) stop() []error {
	select {
	case <-o.done:
	default:
		close(o.done)
	}
	o.wg.Wait()
	return o.failures
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
