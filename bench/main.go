//go:build linux

// Command bench measures Penstock from outside, end to end, on one machine:
//
//	generate ──OTLP/gRPC──▶ penstock up (strict, embedded queue) ──OTLP/gRPC──▶ sink
//
// Every part is a process of its own. A window begins after a warm-up; in it,
// items are counted at the sink, CPU time and storage writes of Penstock alone
// are read from the kernel, and latency is that of the clients' requests. After
// the window the queue must drain, and everything acknowledged must have
// arrived: by identity for traces and logs, by exact count for metrics. A run
// that does not prove that has no result.
//
//	go run ./bench -scenarios traces,metrics,logs -duration 20s
//	go run ./bench backlog -stored 2048     a worker that starts before a full queue
//	go run ./bench replay -rate 60000       live latency with and without a replay beside it
//	go run ./bench noisy -quota 5000        one tenant's latency beside another far above its quota
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type options struct {
	scenarios   string
	warmup      time.Duration
	duration    time.Duration
	dir         string
	penstock    string
	results     string
	durability  string
	connections int
	clients     int
	seed        uint64
	set         list
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.scenarios, "scenarios", "traces,metrics,logs", "what to measure, separated by commas")
	f.DurationVar(&o.warmup, "warmup", 5*time.Second, "load before the window")
	f.DurationVar(&o.duration, "duration", 20*time.Second, "length of the window")
	f.StringVar(&o.dir, "dir", "", "where data directories are made; the disk of this directory is measured (default: the system's temporary directory)")
	f.StringVar(&o.penstock, "penstock", "", "binary to measure (default: built from this tree)")
	f.StringVar(&o.results, "results", "", "directory to write result files to (default: none)")
	f.StringVar(&o.durability, "durability", "strict", "queue.durability")
	f.IntVar(&o.connections, "connections", 0, "client connections (default: the scenario's)")
	f.IntVar(&o.clients, "clients", 0, "requests in flight, over all connections (default: the scenario's)")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the telemetry")
	f.Var(&o.set, "set", "key=value handed to penstock up; may be repeated")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return o, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "sink":
			return runSink(ctx, args[1:])
		case "generate":
			return runGenerate(ctx, args[1:], os.Stdin, out)
		case "backlog":
			return runBacklog(ctx, args[1:], out, errs)
		case "replay":
			return runReplay(ctx, args[1:], out, errs)
		case "rules":
			return runRules(ctx, args[1:], out, errs)
		case "noisy":
			return runNoisy(ctx, args[1:], out, errs)
		}
	}
	o, err := parse(args, errs)
	if err != nil {
		return err
	}
	chosen, err := pickScenarios(o)
	if err != nil {
		return err
	}
	bin, cleanup, err := penstockBinary(ctx, o.penstock)
	if err != nil {
		return err
	}
	defer cleanup()
	var results []Result
	for _, s := range chosen {
		fmt.Fprintf(errs, "%s: %d items a request, %d in flight on %d connections, %s warm-up, %s window\n",
			s.Name, s.Items, s.Clients, s.Connections, o.warmup, o.duration)
		r, err := measure(ctx, o, s, bin)
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.Name, err)
		}
		results = append(results, r)
	}
	report := newReport(args, o, results)
	report.table(out)
	if o.results == "" {
		return nil
	}
	path, err := report.write(o.results)
	if err != nil {
		return err
	}
	fmt.Fprintln(errs, "wrote", path)
	return nil
}
