package cli

import (
	"context"
	"net"
	"testing"
	"time"
)

// freePort is a loopback address that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // taken again right away
	return l.Addr().String()
}

// starts runs a role by its command line, until the test ends or what it returns
// is called.
func starts(t *testing.T, args ...string) (stop func()) {
	t.Helper()
	var out output
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cmd := Root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s ended with %v", args[0], err)
			}
		case <-time.After(60 * time.Second):
			t.Errorf("%s did not stop", args[0])
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return stop
}

// ready waits until a process says that it is.
func ready(t *testing.T, admin string) {
	t.Helper()
	until(t, admin+" is ready", func() bool { code, _, _ := run(t, "healthcheck", "--admin", admin); return code == 0 })
}
