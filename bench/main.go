//go:build linux

// Command bench measures Penstock from outside, end to end, on one machine:
//
//	generate ──OTLP──▶ penstock (or a peer) ──OTLP/gRPC──▶ sink
//
// Every part is a process of its own. A window begins after a warm-up; in it,
// items are counted at the sink, CPU time, storage writes and fsyncs of each
// process are read from the kernel, and latency is that of the clients' requests.
// After the window the queue must drain, and everything acknowledged must have
// arrived: by identity for traces and logs, by exact count for metrics. A run
// that does not prove that has no result.
//
// The commands are listed by usage below.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/penstock-otel/penstock/bench/load"
	"github.com/penstock-otel/penstock/bench/page"
	"github.com/penstock-otel/penstock/bench/sink"
)

const usage = `go run ./bench [run] -scenarios traces100,metrics1000,logs512 -duration 20s
go run ./bench list                      the scenarios and their targets
go run ./bench compare -turns 3          Penstock and the Collector, turn by turn
go run ./bench backlog -stored 2048      a worker that starts before a full queue
go run ./bench replay -rate 60000        live latency with and without a replay beside it
go run ./bench noisy -quota 5000         one tenant's latency beside another far above its quota
go run ./bench rules -duration 3m        an alerter on one core
go run ./bench cost                      where the CPU time of a byte goes, by part
go run ./bench page                      the page of plots from the results in bench/results
go run ./bench generate, sink            the processes that the others start
`

// commands take their arguments and say what they found on out.
var commands = map[string]func(ctx context.Context, args []string, out, errs io.Writer) error{
	"run":     runScenarios,
	"list":    runList,
	"compare": runCompare,
	"backlog": runBacklog,
	"replay":  runReplay,
	"noisy":   runNoisy,
	"rules":   runRules,
	"cost":    runCost,
	"page":    func(_ context.Context, args []string, _, errs io.Writer) error { return page.Run(args, errs) },
	"sink":    func(ctx context.Context, args []string, _, _ io.Writer) error { return sink.Run(ctx, args) },
	"generate": func(ctx context.Context, args []string, out, _ io.Writer) error {
		return load.Run(ctx, args, os.Stdin, out)
	},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is runScenarios unless the first argument is another command.
func run(ctx context.Context, args []string, out, errs io.Writer) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return runScenarios(ctx, args, out, errs)
	}
	command := commands[args[0]]
	if command == nil {
		return fmt.Errorf("unknown command %q:\n%s", args[0], usage)
	}
	return command(ctx, args[1:], out, errs)
}
