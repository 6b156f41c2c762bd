//go:build linux

package syncs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// childEnv makes the test binary the process that is counted.
const childEnv = "SYNCS_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child keeps three threads, and for each line of input syncs: on each of those
// fsync twice and fdatasync once, on a fourth thread that is made for it and
// ends, fsync five times, and each of the other calls once.
func child(dir string, in io.Reader, out io.Writer) error {
	f, err := os.Create(filepath.Join(dir, "f"))
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_SHARED)
	if err != nil {
		return err
	}
	onThread := func(work <-chan struct{}, do func() error) <-chan error {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			defer close(done)
			for range work {
				done <- do()
			}
		}()
		return done
	}
	old := func() error {
		return errors.Join(unix.Fsync(fd), unix.Fsync(fd), unix.Fdatasync(fd))
	}
	var works []chan struct{}
	var dones []<-chan error
	for range 3 {
		w := make(chan struct{})
		works, dones = append(works, w), append(dones, onThread(w, old))
	}
	fmt.Fprintln(out, "ready")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		for i := range works {
			works[i] <- struct{}{}
			err = errors.Join(err, <-dones[i])
		}
		w := make(chan struct{}, 1)
		w <- struct{}{}
		close(w)
		done := onThread(w, func() error {
			for range 5 {
				if err := unix.Fsync(fd); err != nil {
					return err
				}
			}
			return errors.Join(unix.Syncfs(fd), unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE), unix.Msync(page, unix.MS_SYNC))
		})
		for e := range done {
			err = errors.Join(err, e)
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "done")
	}
	return nil
}

// counted is a running child.
type counted struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startChild(t *testing.T) *counted {
	t.Helper()
	c := &counted{t: t, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), childEnv+"="+t.TempDir(), "GORACE=atexit_sleep_ms=0")
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.expect("ready")
	return c
}

func (c *counted) expect(want string) {
	c.t.Helper()
	if line, err := c.out.ReadString('\n'); err != nil || strings.TrimSpace(line) != want {
		c.t.Fatalf("the child said %q, %v, want %q", line, err, want)
	}
}

// round lets the child sync once more.
func (c *counted) round() {
	c.t.Helper()
	if _, err := io.WriteString(c.in, "go\n"); err != nil {
		c.t.Fatal(err)
	}
	c.expect("done")
}

func (c *counted) end() {
	c.t.Helper()
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		c.t.Error(err)
	}
}

// open counts a process, or shows that who may not is told why.
func open(t *testing.T, pid int) *Counter {
	t.Helper()
	c, err := Open(pid)
	if os.Geteuid() != 0 && err != nil {
		if !strings.Contains(err.Error(), "root") {
			t.Fatalf("without root the error does not name it: %v", err)
		}
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestEveryCallOfEveryThreadIsCounted(t *testing.T) {
	p := startChild(t)
	defer p.end()
	p.round() // before the counter: not counted
	c := open(t, p.cmd.Process.Pid)
	if c == nil {
		return
	}
	read := func() Counts {
		t.Helper()
		n, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := read(); n != (Counts{}) {
		t.Errorf("%+v were counted before anything was done", n)
	}
	const rounds = 20
	for range rounds {
		p.round()
	}
	first := read()
	each := Counts{Fsync: 11, Fdatasync: 3, Syncfs: 1, SyncFileRange: 1, Msync: 1}
	want := Counts{Fsync: rounds * each.Fsync, Fdatasync: rounds * each.Fdatasync, Syncfs: rounds, SyncFileRange: rounds, Msync: rounds}
	if first != want {
		t.Errorf("counted %+v in %d rounds, want %+v", first, rounds, want)
	}
	p.round()
	if n := read().Since(first); n != each || n.Durable() != 14 {
		t.Errorf("one more round counted %+v, want %+v", n, each)
	}
}

func TestCountsStayWhenTheProcessHasEnded(t *testing.T) {
	p := startChild(t)
	c := open(t, p.cmd.Process.Pid)
	p.round()
	p.end()
	if c == nil {
		return
	}
	if n, err := c.Read(); err != nil || n.Fsync != 11 || n.Fdatasync != 3 {
		t.Errorf("after the end: %+v, %v", n, err)
	}
}

func TestProcessesDoNotDisturbEachOther(t *testing.T) {
	a, b := startChild(t), startChild(t)
	defer a.end()
	defer b.end()
	ca, cb := open(t, a.cmd.Process.Pid), open(t, b.cmd.Process.Pid)
	var both sync.WaitGroup
	for i, p := range []*counted{a, b} {
		both.Go(func() {
			for range 2 + i {
				p.round()
			}
		})
	}
	both.Wait()
	if ca == nil {
		return
	}
	na, errA := ca.Read()
	nb, errB := cb.Read()
	if err := errors.Join(errA, errB); err != nil || na.Durable() != 28 || nb.Durable() != 42 {
		t.Errorf("%+v and %+v, %v, want 28 and 42 calls", na, nb, err)
	}
}

func TestWhatCannotBeCounted(t *testing.T) {
	p := startChild(t)
	pid := p.cmd.Process.Pid
	p.end()
	c, err := Open(pid)
	if err == nil {
		t.Fatalf("process %d has ended and is counted: %v", pid, c.Close())
	}
	if !strings.Contains(err.Error(), fmt.Sprint(pid)) {
		t.Errorf("the error does not name process %d: %v", pid, err)
	}
}
