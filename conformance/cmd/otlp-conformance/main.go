// Command otlp-conformance runs the OTLP conformance suite against an endpoint.
// Exit code 0: no MUST or SHOULD failed; 1: one did; 2: it could not be run.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "otlp-conformance:", err)
		os.Exit(2)
	case failed:
		os.Exit(1)
	}
}
