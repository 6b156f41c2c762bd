//go:build linux

package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// common are the options of everything that measures Penstock.
type common struct {
	dir        string
	penstock   string
	results    string
	durability string
	seed       uint64
	set        list

	bin string // what is measured; made by prepare
}

// flagSet declares the common flags for the command "bench name". What is set
// before is the default.
func (c *common) flagSet(name string, errs io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet(strings.TrimSpace("bench "+name), flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&c.dir, "dir", "", "where data directories are made; the disk of this directory is measured (default: the system's temporary directory)")
	f.StringVar(&c.penstock, "penstock", "", "binary to measure (default: built from this tree)")
	f.StringVar(&c.results, "results", "", "directory to write a result file to (default: none)")
	f.StringVar(&c.durability, "durability", cmp.Or(c.durability, "strict"), "queue.durability")
	f.Uint64Var(&c.seed, "seed", 1, "seed of the telemetry")
	f.Var(&c.set, "set", "key=value handed to penstock; may be repeated")
	return f
}

// parse takes flags and nothing else.
func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return nil
}

// prepare has the binary that is measured. Whoever calls it calls cleanup.
func (c *common) prepare(ctx context.Context) (cleanup func(), err error) {
	c.bin, cleanup, err = penstockBinary(ctx, c.penstock)
	return cleanup, err
}

// options are those of scenarios.
type options struct {
	common
	scenarios   string
	warmup      time.Duration
	duration    time.Duration
	cell        time.Duration
	connections int
	clients     int
	turns       int
	rate        float64
	syncs       bool
	collector   string
}

func parseOptions(name string, args []string, errs io.Writer) (options, error) {
	var o options
	f := o.flagSet(name, errs)
	f.StringVar(&o.scenarios, "scenarios", "traces100,metrics1000,logs512", "what to measure, separated by commas; bench list tells all")
	f.DurationVar(&o.warmup, "warmup", 5*time.Second, "load before the window")
	f.DurationVar(&o.duration, "duration", 20*time.Second, "length of the window")
	f.DurationVar(&o.cell, "cell", 2*time.Second, "length of a window of the matrix")
	f.IntVar(&o.connections, "connections", 0, "client connections (default: the scenario's)")
	f.IntVar(&o.clients, "clients", 0, "requests in flight, over all connections (default: the scenario's)")
	f.IntVar(&o.turns, "turns", 3, "how often each side of a comparison is measured")
	f.Float64Var(&o.rate, "rate", 0, "items a second of the scenario half (default: half of the maximum, which is measured first)")
	f.BoolVar(&o.syncs, "syncs", true, "count fsyncs, which needs root")
	if name == "compare" {
		f.StringVar(&o.collector, "collector", "bin/otelcol-bench", "the Collector, as scripts/bench-collector.sh builds it")
	}
	if err := parse(f, args); err != nil {
		return o, err
	}
	if o.turns < 1 {
		return o, fmt.Errorf("-turns %d: want 1 or more", o.turns)
	}
	return o, nil
}
