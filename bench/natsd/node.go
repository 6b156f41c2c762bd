//go:build linux

package natsd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopPatience is for a server that has to hand its leaderships on first.
const stopPatience = 20 * time.Second

// node is one server process. Its output goes to a file in its directory.
type node struct {
	name, monitor, log string
	cmd                *exec.Cmd
	done               chan struct{} // closed when the process has ended; then err is set
	err                error
	stopping           bool // asked by signal: then how it ends is no error
}

func run(binary, name, dir, monitor, config string) (*node, error) {
	file := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	n := &node{name: name, monitor: monitor, log: filepath.Join(dir, "log"), cmd: exec.Command(binary, "-c", file), done: make(chan struct{})}
	log, err := os.Create(n.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own copy
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start nats-server %s: %w", name, err)
	}
	go func() {
		n.err = n.cmd.Wait()
		close(n.done)
	}()
	return n, nil
}

// ready waits until the server says that it is healthy.
func (n *node) ready(ctx context.Context) error {
	for {
		err := n.healthy(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-n.done:
			return fmt.Errorf("nats-server %s ended before it was ready: %v\n%s", n.name, n.err, n.tail())
		case <-ctx.Done():
			return fmt.Errorf("nats-server %s is not ready: %w\n%s", n.name, err, n.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (n *node) healthy(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.monitor+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", req.URL, resp.Status)
	}
	return nil
}

// signal asks the server to end.
func (n *node) signal() {
	select {
	case <-n.done:
	default:
		n.stopping = true
		// It may end at this moment; stop sees how it ended.
		_ = n.cmd.Process.Signal(syscall.SIGTERM)
	}
}

// stop waits for the end of a server that was asked to. One that had ended
// before, or does not end in time, is an error; at the end none runs.
func (n *node) stop() error {
	select {
	case <-n.done:
	case <-time.After(stopPatience):
		err := n.cmd.Process.Kill()
		<-n.done
		return errors.Join(fmt.Errorf("nats-server %s did not end within %s of SIGTERM\n%s", n.name, stopPatience, n.tail()), err)
	}
	if !n.stopping {
		n.stopping = true // said once
		return fmt.Errorf("nats-server %s ended on its own: %v\n%s", n.name, n.err, n.tail())
	}
	return nil
}

// tail is the end of the log, for errors.
func (n *node) tail() string {
	b, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4096):])
}
