package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childVar makes the test binary a role for the tests below, which need a
// process of their own to send signals to.
const childVar = "APP_TEST_CHILD"

func runChild() bool {
	mode := os.Getenv(childVar)
	if mode == "" {
		return false
	}
	ctx, stop := SignalContext(context.Background())
	defer stop()
	logger := slog.New(slog.DiscardHandler)
	err := New("child", logger).Run(ctx, func(_ context.Context, a *App) error {
		a.OnStop("work", time.Minute, func(ctx context.Context) error {
			fmt.Println("stopping")
			if mode == "hang" {
				<-ctx.Done()
			}
			return nil
		})
		fmt.Println("ready")
		return nil
	})
	fmt.Println("end", err)
	return true
}

// child starts the test binary and returns a function that waits for a line.
func child(t *testing.T, mode string) (cmd *exec.Cmd, line func(string), stderr *strings.Builder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+mode)
	stderr = &strings.Builder{}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	return cmd, func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the process says %q, want %q; on standard error %q", lines.Text(), want, stderr)
		}
	}, stderr
}

func TestASignalStopsInOrder(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd, line, stderr := child(t, "quick")
		line("ready")
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		line("stopping")
		line("end <nil>")
		if err := cmd.Wait(); err != nil || !strings.Contains(stderr.String(), signal.String()+": stopping") {
			t.Errorf("%v, %q", err, stderr)
		}
	}
}

func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	cmd, line, stderr := child(t, "hang")
	line("ready")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	line("stopping")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGINT) || !strings.Contains(stderr.String(), "ending at once") {
		t.Errorf("%v, %q", err, stderr)
	}
}

// The same in this process, where the end is a function.
func TestSignalContext(t *testing.T) {
	var out strings.Builder
	exits := make(chan int, 1)
	ctx, stop := signalContext(t.Context(), &out, func(code int) { exits <- code })
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), context.Canceled) || !strings.Contains(context.Cause(ctx).Error(), "received terminated") {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
	if err := self.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := <-exits; code != 143 {
		t.Errorf("exits with %d", code)
	}
	stop()
	stop()

	unsignalled, stop := SignalContext(t.Context())
	stop()
	if unsignalled.Err() == nil {
		t.Error("the context outlives its stop")
	}
	one, stop := signalContext(t.Context(), &out, func(int) { t.Error("ended") })
	if err := self.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-one.Done()
	stop()
}
