package conformance

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lastRows end the endpoint.
var lastRows = []Row{
	{ID: "C10", Level: "SHOULD", Section: "OTLP/gRPC: Concurrent Requests", run: rowC10,
		Rule: "A client can be made to wait at its end for the answers that it has not got yet."},
}

// stopPause is how long a process that waits is watched waiting.
const stopPause = time.Second

func rowC10(c *check) {
	c.try("SIGTERM while a request has no answer", func(ctx context.Context) Verdict {
		b := c.anyBackend()
		switch {
		case b == nil:
			return notApplicable("no backend was given, to which the endpoint exports")
		case c.StopPID == 0:
			return notApplicable("the endpoint's process is not known: give -stop-pid")
		}
		process, err := os.FindProcess(c.StopPID)
		if err != nil {
			return notApplicable("process %d: %v", c.StopPID, err)
		}
		defer func() { _ = process.Release() }()
		hold := make(chan struct{})
		release := func() {
			if hold != nil {
				close(hold)
				hold = nil
			}
		}
		defer release()
		until := (<-chan struct{})(hold)
		const sent, expected = "SIGTERM while a request has no answer", "the process to wait for it, and to end after it"
		w, err := c.through(ctx, b, func(int, *arrival) reply { return reply{hold: until} })
		if err != nil {
			return failed(sent, expected, err.Error())
		}
		if err := process.Signal(syscall.SIGTERM); err != nil {
			return notApplicable("process %d: %v", c.StopPID, err)
		}
		select {
		case <-time.After(stopPause):
		case <-ctx.Done():
		}
		if process.Signal(syscall.Signal(0)) != nil {
			return failed(sent, expected, "it ended without the answer")
		}
		release()
		for deadline := time.Now().Add(c.Patience); process.Signal(syscall.Signal(0)) == nil; {
			if time.Now().After(deadline) || ctx.Err() != nil {
				return failed(sent, expected, fmt.Sprintf("it still runs %s after the answer", c.Patience))
			}
			time.Sleep(50 * time.Millisecond)
		}
		if n := w.count(); n != 1 {
			return failed(sent, "the request, once", fmt.Sprintf("%d times", n))
		}
		return passed
	})
}
