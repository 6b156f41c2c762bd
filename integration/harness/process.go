package harness

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/bench/procstat"
)

// Process is a running program. Its output is kept and printed when the test
// fails. It is killed at the end of the test, if it still runs.
type Process struct {
	Name string

	t    testing.TB
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the process ended; then err is set
	err  error
}

// Start runs a program.
func Start(t testing.TB, name, path string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, t: t, cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.log = filepath.Join(t.TempDir(), name+".log")
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the child has its own copy
	p.cmd.Stdout, p.cmd.Stderr = log, log
	for _, kv := range os.Environ() { // what steers the tests is no configuration of the program
		if !strings.HasPrefix(kv, "PENSTOCK_TEST_") && !strings.HasPrefix(kv, "PENSTOCK_ALLOW_") {
			p.cmd.Env = append(p.cmd.Env, kv)
		}
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		if !p.Ended() {
			p.Kill()
		}
		if t.Failed() {
			t.Logf("output of %s, process %d (%s):\n%s", p.Name, p.PID(), p.cmd.ProcessState, p.tail(12<<10))
		}
	})
	return p
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended says whether the process is over.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill is kill -9, and waits for the end.
func (p *Process) Kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("kill %s: %v", p.Name, err)
	}
	<-p.done
}

// Signal sends a signal to a process that must be running.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("send %s to %s: %v\n%s", s, p.Name, err, p.tail(4<<10))
	}
}

// Stop is SIGTERM. It fails the test unless the process ends within the
// patience and with code 0.
func (p *Process) Stop(patience time.Duration) {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if p.err != nil {
			p.t.Errorf("%s ended with %v after SIGTERM, want exit code 0", p.Name, p.err)
		}
	case <-time.After(patience):
		p.t.Errorf("%s still runs %s after SIGTERM", p.Name, patience)
		p.Kill()
	}
}

// Wait is until the process ended by itself; it returns its exit code.
func (p *Process) Wait(patience time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s still runs after %s", p.Name, patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Log is everything that the process wrote so far.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (p *Process) tail(n int) string {
	log := p.Log()
	if len(log) > n {
		log = fmt.Sprintf("… %d bytes before …\n%s", len(log)-n, log[len(log)-n:])
	}
	return log
}

// Usage is what the kernel counts of the process, which must be running.
func (p *Process) Usage() procstat.Usage {
	p.t.Helper()
	u, err := procstat.Read(p.PID())
	if err != nil {
		p.t.Fatalf("usage of %s: %v", p.Name, err)
	}
	return u
}

// Ready waits until the URL answers 200, and fails the test when the process
// ends before, or the patience does.
func (p *Process) Ready(url string, patience time.Duration) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		answer := get(url)
		if answer == "" {
			return
		}
		if p.Ended() {
			p.t.Fatalf("%s ended (%v) before it was ready", p.Name, p.err)
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is not ready after %s: %s", p.Name, patience, answer)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// get is empty for 200, else what was wrong.
func get(url string) string {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return ""
	}
	var why strings.Builder
	fmt.Fprintf(&why, "%s %s: ", url, resp.Status)
	body := make([]byte, 2048)
	n, _ := resp.Body.Read(body)
	why.Write(body[:n])
	return why.String()
}

// Until polls the condition and fails the test with the text of what when it
// does not come true within the patience.
func Until(t testing.TB, patience time.Duration, what func() string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what())
		}
	}
}
