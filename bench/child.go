//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/penstock-otel/penstock/bench/load"
)

// penstockBinary builds cmd/penstock of this tree, unless one is given.
func penstockBinary(ctx context.Context, given string) (path string, cleanup func(), err error) {
	if given != "" {
		path, err = filepath.Abs(given)
		return path, func() {}, err
	}
	dir, err := os.MkdirTemp("", "penstock-bench-bin")
	if err != nil {
		return "", nil, err
	}
	cleanup = func() { os.RemoveAll(dir) }
	path = filepath.Join(dir, "penstock")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/penstock-otel/penstock/cmd/penstock")
	if out, err := build.CombinedOutput(); err != nil {
		cleanup()
		return "", nil, fmt.Errorf("build cmd/penstock: %w\n%s", err, out)
	}
	return path, cleanup, nil
}

// child is a process of the measurement. Its standard error goes to a file.
type child struct {
	name string
	cmd  *exec.Cmd
	log  string
	in   io.WriteCloser
	out  io.Reader
	done chan struct{} // closed when the process ended; then err is set
	err  error
}

// spawn starts a process. withPipes opens its standard input and output; env is
// added to that of this process.
func spawn(dir, name string, withPipes bool, env []string, argv ...string) (*child, error) {
	c := &child{name: name, cmd: exec.Command(argv[0], argv[1:]...), log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own copy
	c.cmd.Stderr = log
	c.cmd.Stdout = log
	// If this process is killed, its children go too.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if withPipes {
		c.cmd.Stdout = nil
		if c.in, err = c.cmd.StdinPipe(); err != nil {
			return nil, err
		}
		if c.out, err = c.cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if !withPipes { // with a pipe, Wait must follow the reader's end
		go c.wait()
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) wait() {
	c.err = c.cmd.Wait()
	close(c.done)
}

// finish ends a generator and reads its result.
func finish(c *child) (load.Result, error) {
	closed := c.in.Close()
	b, err := io.ReadAll(c.out)
	c.wait()
	if err = errors.Join(err, closed, c.err); err != nil {
		return load.Result{}, fmt.Errorf("generator: %w\n%s", err, c.tail())
	}
	return load.Decode(b)
}

// says reads from the output of a process the line that it must say next.
func (c *child) says(line string) error {
	got := make([]byte, len(line))
	if _, err := io.ReadFull(c.out, got); err != nil || string(got) != line {
		return fmt.Errorf("%s says %q, want %q: %w\n%s", c.name, got, line, err, c.tail())
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// tail is the end of the child's log, for error messages.
func (c *child) tail() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4096):])
}

// stop asks the process to end and waits for it.
func (c *child) stop(patience time.Duration) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.done:
	case <-time.After(patience):
		c.kill()
		return fmt.Errorf("%s did not end within %s after SIGTERM:\n%s", c.name, patience, c.tail())
	}
	if c.err != nil {
		return fmt.Errorf("%s ended with %w:\n%s", c.name, c.err, c.tail())
	}
	return nil
}

// kill ends the process for certain; it does nothing when it has ended.
func (c *child) kill() {
	if err := c.cmd.Process.Kill(); err != nil {
		return // it has ended
	}
	<-c.done
}

// ready waits until the address answers 200.
func (c *child) ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		select {
		case <-c.done:
			return fmt.Errorf("%s ended before it was ready: %w\n%s", c.name, c.err, c.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready at %s: %w\n%s", c.name, url, err, c.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freePorts asks the kernel for loopback ports that nobody uses now.
func freePorts(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}
