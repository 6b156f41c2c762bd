package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/penstock-otel/penstock/integration/harness"
)

// bystanderEnv tells this program to be a bystander of the gateway whose gRPC and
// HTTP addresses it has, with a blank between.
const bystanderEnv = "PENSTOCK_TEST_BYSTANDER"

// window is what a bystander measured since the one before.
type window struct {
	N        int
	P50, P99 time.Duration
	Failures []string
}

func (w window) String() string {
	return fmt.Sprintf("%.1f / %.1f ms", float64(w.P50.Microseconds())/1000, float64(w.P99.Microseconds())/1000)
}

// bystander is four clients that mean well: over both transports, on connections
// of their own, at a steady pace. For each line of in it writes a window to out; it
// ends with in.
func bystander(to string, in io.Reader, out io.Writer) int {
	grpcAddr, httpAddr, _ := strings.Cut(to, " ")
	var mu sync.Mutex
	var took []time.Duration
	var failures []string
	done := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 {
		send, end, err := harness.OpenClient(grpcAddr, httpAddr, i%2 == 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		clients.Go(func() {
			for {
				select {
				case <-done:
					if err := end(); err != nil {
						fmt.Fprintln(os.Stderr, "close a client:", err)
					}
					return
				case <-time.After(10 * time.Millisecond):
				}
				began := time.Now()
				err := send()
				mu.Lock()
				if err != nil {
					failures = append(failures, err.Error())
				} else {
					took = append(took, time.Since(began))
				}
				mu.Unlock()
			}
		})
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		mu.Lock()
		w := window{N: len(took), Failures: failures}
		slices.Sort(took)
		if w.N > 0 {
			w.P50, w.P99 = took[w.N/2], took[w.N*99/100]
		}
		took, failures = nil, nil
		mu.Unlock()
		if err := json.NewEncoder(out).Encode(w); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	close(done)
	clients.Wait()
	return 0
}

// others is a bystander in a process of its own, so that an attack from this one
// takes nothing of its turns on the cores.
type others struct {
	in  io.WriteCloser
	out *json.Decoder
	end func() error
}

func startOthers(t *testing.T, v victim) *others {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), bystanderEnv+"="+v.Role.GRPCAddr+" "+v.Role.HTTPAddr)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	o := &others{in, json.NewDecoder(out), sync.OnceValue(func() error {
		if err := in.Close(); err != nil {
			return err
		}
		return c.Wait()
	})}
	t.Cleanup(func() {
		if err := o.end(); err != nil {
			t.Errorf("the other clients: %v", err)
		}
	})
	return o
}

// window takes what was measured since the last one.
func (o *others) window(t *testing.T) (w window) {
	t.Helper()
	if _, err := io.WriteString(o.in, "\n"); err != nil {
		t.Fatal(err)
	}
	if err := o.out.Decode(&w); err != nil {
		t.Fatal(err)
	}
	return w
}

// Policies of Linux's sched_setscheduler.
const (
	schedOther = 0
	schedIdle  = 5 // runs when nobody else wants the core
)

// humbly runs f so that all of this process has a core only while nobody else wants
// it: an attack has its own elsewhere. A nice value does not do: the others would
// wait for the end of its slice.
func humbly(t *testing.T, f func()) {
	t.Helper()
	schedule := func(policy uintptr) {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			var tid int
			if _, err := fmt.Sscan(task.Name(), &tid); err != nil {
				t.Fatal(err)
			}
			var priority int32
			_, _, err := syscall.Syscall(syscall.SYS_SCHED_SETSCHEDULER, uintptr(tid), policy, uintptr(unsafe.Pointer(&priority)))
			if err != 0 && err != syscall.ESRCH { // a thread may have ended since
				t.Fatalf("the scheduling policy of this test is to become %d: %v; run as root", policy, err)
			}
		}
	}
	schedule(schedIdle)
	defer schedule(schedOther)
	f()
}
